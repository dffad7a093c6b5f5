//! What arrived on a transport: counted, checked and timed, by stream.

use std::collections::HashMap;

use rtp::packet::Packet;

use crate::picture;
use crate::voice::VoicePayload;
use crate::window::{Place, Window};

/// Streams that one transport keeps figures of; more than any call of a test has.
const STREAMS_MAX: usize = 4096;
/// RTP clock ticks a second of voice.
const VOICE_CLOCK_RATE_HZ: u32 = 48_000;
/// One packet's share of time: 20 ms.
pub(crate) const PACKET_TIME_NS: u64 = 20_000_000;

/// The figures of one received stream.
#[derive(Clone, Debug, Default)]
pub struct StreamReception {
    /// The payload type of the last packet.
    pub payload_type: u8,
    /// Who sent it, as its content says.
    pub publisher: Option<u32>,
    /// Packets with good content that arrived for the first time.
    pub packets: u64,
    /// Packets whose content is not what its publisher sent, or is another publisher's.
    pub altered: u64,
    /// Packets whose content had arrived before.
    pub repeats: u64,
    /// Packets that came after a later one.
    pub misordered: u64,
    /// Contents between the first and the latest that did not arrive (yet).
    pub lost: u64,
    /// Places in the RTP sequence between the first and the latest that no packet had.
    pub sequence_gaps: u64,
    /// The longest time without a packet, in nanoseconds; what the publisher itself was late by is taken off.
    pub silence_max_ns: u64,
    /// The longest time from sending to arrival, in nanoseconds.
    pub transit_max_ns: u64,
    /// The first place in the RTP sequence.
    first_sequence: u64,
    sequences: Window,
    counters: Window,
    arrivals: u64,
    latest: Option<Latest>,
    clock_rate_hz: u32,
    jitter: f64,
    /// Expected and received at the last report.
    reported: (u32, u64),
}

/// The latest content that arrived in order.
#[derive(Clone, Copy, Debug)]
struct Latest {
    sent_at_ns: u64,
    arrived_at_ns: u64,
    timestamp: u32,
}

/// The part of a receiver report that comes from the stream itself (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossReport {
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost in all.
    pub total_lost: u32,
    /// The extended highest sequence number.
    pub highest_sequence: u32,
    /// The interarrival jitter in ticks of the stream's clock.
    pub jitter: u32,
}

impl StreamReception {
    /// The highest place in the stream that arrived, from zero.
    pub fn latest_counter(&self) -> Option<u64> {
        self.counters.highest()
    }

    /// The highest sequence number that arrived.
    pub fn latest_sequence(&self) -> Option<u16> {
        self.sequences.highest().map(|highest| highest as u16)
    }

    fn handle_packet(&mut self, packet: &Packet, arrived_at_ns: u64) {
        self.payload_type = packet.header.payload_type;
        self.arrivals += 1;
        self.note_sequence(packet.header.sequence_number);
        let Some((payload, clock_rate_hz)) = decode(&packet.payload) else {
            self.altered += 1;
            return;
        };
        if *self.publisher.get_or_insert(payload.publisher) != payload.publisher {
            self.altered += 1;
            return;
        }
        self.clock_rate_hz = clock_rate_hz;
        self.note_content(&payload, packet.header.timestamp, arrived_at_ns);
    }

    /// Extends the sequence number (RFC 3550 A.1, without its probation), and notes it.
    fn note_sequence(&mut self, sequence: u16) {
        let extended = self.sequences.extend(sequence);
        match self.sequences.note(extended) {
            Place::First => self.first_sequence = extended,
            Place::Ahead(steps) => self.sequence_gaps += steps - 1,
            Place::Late => self.sequence_gaps = self.sequence_gaps.saturating_sub(1),
            Place::Repeat => {}
        }
    }

    fn note_content(&mut self, payload: &VoicePayload, timestamp: u32, arrived_at_ns: u64) {
        self.transit_max_ns = self.transit_max_ns.max(arrived_at_ns.saturating_sub(payload.sent_at_ns));
        let now = Latest { sent_at_ns: payload.sent_at_ns, arrived_at_ns, timestamp };
        match self.counters.note(payload.counter) {
            Place::First => self.latest = Some(now),
            Place::Ahead(steps) => {
                self.lost += steps - 1;
                if let Some(before) = self.latest.replace(now) {
                    self.note_silence(before, now, steps);
                    self.note_jitter(before, now);
                }
            }
            Place::Late => {
                self.lost = self.lost.saturating_sub(1);
                self.misordered += 1;
            }
            Place::Repeat => {
                self.repeats += 1;
                return;
            }
        }
        self.packets += 1;
    }

    /// The time since the packet before, less what the publisher was itself late by.
    fn note_silence(&mut self, before: Latest, now: Latest, steps: u64) {
        let between_sending_ns = now.sent_at_ns.saturating_sub(before.sent_at_ns);
        let late_by_ns = between_sending_ns.saturating_sub(steps.saturating_mul(PACKET_TIME_NS));
        let silence_ns = now.arrived_at_ns.saturating_sub(before.arrived_at_ns).saturating_sub(late_by_ns);
        self.silence_max_ns = self.silence_max_ns.max(silence_ns);
    }

    /// Interarrival jitter (RFC 3550 6.4.1).
    fn note_jitter(&mut self, before: Latest, now: Latest) {
        let arrival_ns = now.arrived_at_ns.saturating_sub(before.arrived_at_ns) as f64;
        let arrival_ticks = arrival_ns * f64::from(self.clock_rate_hz) / 1e9;
        let media_ticks = f64::from(now.timestamp.wrapping_sub(before.timestamp) as i32);
        self.jitter += ((arrival_ticks - media_ticks).abs() - self.jitter) / 16.0;
    }

    /// What a receiver report says, since the last one (RFC 3550 A.3).
    pub(crate) fn poll_report(&mut self) -> Option<LossReport> {
        let highest = self.sequences.highest()?;
        let expected = u32::try_from(highest - self.first_sequence + 1).unwrap_or(u32::MAX);
        let (expected_before, received_before) = std::mem::replace(&mut self.reported, (expected, self.arrivals));
        let expected_since = expected.wrapping_sub(expected_before);
        let lost_since = u64::from(expected_since).saturating_sub(self.arrivals - received_before);
        let fraction_lost = (lost_since * 256).checked_div(expected_since.into()).unwrap_or(0);
        Some(LossReport {
            fraction_lost: u8::try_from(fraction_lost).unwrap_or(u8::MAX),
            total_lost: u32::try_from(u64::from(expected).saturating_sub(self.arrivals)).unwrap_or(u32::MAX),
            highest_sequence: (highest - (1 << 16)) as u32,
            jitter: self.jitter as u32,
        })
    }
}

/// What a payload says, of voice or of a picture, and its clock rate.
fn decode(payload: &[u8]) -> Option<(VoicePayload, u32)> {
    let voice = VoicePayload::decode(payload).map(|voice| (voice, VOICE_CLOCK_RATE_HZ));
    voice.or_else(|| Some((picture::decode_picture(payload)?, picture::CLOCK_RATE_HZ)))
}

/// The figures of one received stream of retransmissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetransmissionReception {
    /// Packets with good content.
    pub packets: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Packets whose content nobody sent.
    pub altered: u64,
}

impl RetransmissionReception {
    fn handle_packet(&mut self, packet: &Packet) {
        // Behind the number of the packet that is sent again.
        let content = packet.payload.get(2..).and_then(decode);
        *(if content.is_some() { &mut self.packets } else { &mut self.altered }) += 1;
        self.payload_bytes += packet.payload.len() as u64;
    }
}

/// All that arrived on one transport.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    /// The streams by SSRC.
    pub streams: HashMap<u32, StreamReception>,
    /// The streams that were announced as retransmissions, by SSRC.
    pub retransmissions: HashMap<u32, RetransmissionReception>,
    /// RTP and RTCP that failed authentication or could not be read.
    pub unreadable: u64,
    /// RTCP packets that arrived, each of a compound packet counted.
    pub rtcp_packets: u64,
}

impl Reception {
    pub(crate) fn handle_rtp(&mut self, packet: &Packet, arrived_at_ns: u64) {
        if let Some(stream) = self.retransmissions.get_mut(&packet.header.ssrc) {
            stream.handle_packet(packet);
        } else if self.streams.len() < STREAMS_MAX || self.streams.contains_key(&packet.header.ssrc) {
            self.streams.entry(packet.header.ssrc).or_default().handle_packet(packet, arrived_at_ns);
        } else {
            self.unreadable += 1;
        }
    }

    /// The stream of the publisher, if any of its content arrived.
    pub fn from_publisher(&self, publisher: u32) -> Option<&StreamReception> {
        self.streams.values().find(|stream| stream.publisher == Some(publisher))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const MS: u64 = 1_000_000;

    fn packet(counter: u64, sequence_number: u16, sent_at_ns: u64) -> Packet {
        let payload = VoicePayload { publisher: 5, counter, sent_at_ns }.encode(VoicePayload::LEN);
        let header =
            rtp::header::Header { ssrc: 1, sequence_number, timestamp: counter as u32 * 960, ..Default::default() };
        Packet { header, payload: payload.into() }
    }

    /// Feeds (counter, sequence, sent at, arrived at), times in milliseconds.
    fn receive(arrivals: &[(u64, u16, u64, u64)]) -> StreamReception {
        let mut reception = Reception::default();
        for &(counter, sequence, sent_at_ms, arrived_at_ms) in arrivals {
            reception.handle_rtp(&packet(counter, sequence, sent_at_ms * MS), arrived_at_ms * MS);
        }
        reception.streams[&1].clone()
    }

    #[test]
    fn an_even_stream_has_no_blemish_over_the_wrap_of_its_sequence() {
        let arrivals: Vec<_> = (0..300u64).map(|n| (n, (65_400 + n) as u16, n * 20, n * 20 + 3)).collect();
        let mut stream = receive(&arrivals);
        assert_eq!((stream.packets, stream.lost, stream.repeats, stream.misordered), (300, 0, 0, 0));
        assert_eq!((stream.sequence_gaps, stream.altered), (0, 0));
        assert_eq!((stream.silence_max_ns, stream.transit_max_ns), (20 * MS, 3 * MS));
        let report = stream.poll_report().expect("packets arrived");
        let expected = LossReport { fraction_lost: 0, total_lost: 0, highest_sequence: 65_699, jitter: 0 };
        assert_eq!(report, expected);
    }

    #[test]
    fn loss_repeats_and_reordering_are_told_apart() {
        let mut stream = receive(&[(0, 7, 0, 0), (3, 10, 60, 60), (2, 9, 40, 61), (2, 9, 40, 62), (4, 11, 80, 80)]);
        assert_eq!((stream.packets, stream.lost, stream.repeats, stream.misordered), (4, 1, 1, 1));
        assert_eq!(stream.sequence_gaps, 1);
        assert_eq!(stream.poll_report().map(|report| report.total_lost), Some(0));
        assert_eq!(stream.silence_max_ns, 60 * MS);
    }

    #[test]
    fn a_late_publisher_is_not_blamed_on_the_service() {
        let stream = receive(&[(0, 0, 0, 0), (1, 1, 500, 501), (2, 2, 520, 590)]);
        assert_eq!(stream.silence_max_ns, 89 * MS);
    }

    #[test]
    fn foreign_and_broken_content_counts_as_altered() {
        let mut reception = Reception::default();
        reception.handle_rtp(&packet(0, 0, 0), 0);
        let mut foreign = packet(1, 1, 0);
        foreign.payload = VoicePayload { publisher: 6, counter: 1, sent_at_ns: 0 }.encode(320).into();
        reception.handle_rtp(&foreign, 0);
        foreign.payload = Bytes::from_static(b"not voice");
        reception.handle_rtp(&foreign, 0);
        assert_eq!(reception.streams[&1].altered, 2);
        assert_eq!(reception.streams[&1].packets, 1);
    }
}
