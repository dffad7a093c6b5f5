//! The receiving side of a transport: each RTP packet finds its stream by SSRC and touches that one small struct.
//!
//! A verified receiver authenticates every packet, and compares its content with what the producer must have sent; the
//! others look at headers alone. Headers are not encrypted, so loss, repeats, order and jitter are known of all.

use std::sync::Arc;

use peer::{LossReport, Srtp, VoicePayload, Window, decode_picture};
use rtp_util::marshal::Unmarshal;

use super::outcome::{ContentOutcome, LaneOutcome, StreamOutcome};
use crate::measure::stream::{Counts, StreamFigures};
use crate::source::{Found, Kind, Ledger};

/// The fixed part of an RTP header (RFC 3550 5.1).
const HEADER_LEN: usize = 12;

/// SSRCs of packets that came before their streams were known; more than a server lets flow at once, unasked.
const EARLY_SSRCS_MAX: usize = 64;
/// The SSRC by which servers of mediasoup's kind probe the bandwidth; its packets are padding.
const PROBE_SSRC: u32 = 1234;

/// A stream that is to arrive.
#[derive(Clone, Debug)]
pub struct StreamStart {
    /// The SSRC of its packets.
    pub ssrc: u32,
    /// The SSRC of its retransmissions, where it has some.
    pub rtx_ssrc: Option<u32>,
    /// What it carries.
    pub kind: Kind,
    /// The number of its producer in payloads.
    pub publisher: u32,
    /// Where its producer notes payloads that do not speak for themselves.
    pub ledger: Option<Arc<Ledger>>,
    /// When it was asked for, in nanoseconds since the Unix epoch.
    pub opened_at_ns: u64,
}

/// The streams of one receiving transport.
pub struct Receiver {
    is_verified: bool,
    /// When the join began, until the first packet comes.
    join_began_at_ns: Option<u64>,
    streams: Vec<Stream>,
    /// Packets of SSRCs that no stream has yet: where media flows without being asked for, it may overtake the answer.
    early: Vec<(u32, u64)>,
}

struct Stream {
    start: StreamStart,
    is_closed: bool,
    figures: StreamFigures,
    content: Option<Box<Content>>,
}

/// What a verified stream's payloads have told.
#[derive(Default)]
struct Content {
    window: Window,
    lowest: u64,
    counts: Counts,
    latency_sum_ns: u128,
    has_key_frame: bool,
}

/// An RTP packet and its arrival.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// The protected packet.
    pub bytes: &'a [u8],
    /// In nanoseconds since the Unix epoch.
    pub at_ns: u64,
}

impl Receiver {
    /// One whose join began at a nanosecond since the Unix epoch.
    pub fn new(is_verified: bool, join_began_at_ns: u64) -> Self {
        Self { is_verified, join_began_at_ns: Some(join_began_at_ns), streams: Vec::new(), early: Vec::new() }
    }

    /// Streams that have not ended.
    pub fn streams_open(&self) -> usize {
        self.streams.iter().filter(|stream| !stream.is_closed).count()
    }

    /// Expects a stream from now on.
    pub fn open(&mut self, start: StreamStart) {
        self.early.retain(|(ssrc, _)| *ssrc != start.ssrc && Some(*ssrc) != start.rtx_ssrc);
        let figures = StreamFigures::new(start.kind.clock_rate_hz());
        let content = self.is_verified.then(Box::default);
        self.streams.push(Stream { start, is_closed: false, figures, content });
    }

    /// The stream of `ssrc` has ended; what is still under way is taken as before.
    pub fn close(&mut self, ssrc: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.start.ssrc == ssrc) {
            stream.is_closed = true;
        }
    }

    /// Takes a packet of the RTP class.
    pub fn handle_rtp(&mut self, arrival: Arrival<'_>, srtp: &Srtp, outcome: &mut LaneOutcome) {
        let Some((sequence, timestamp, ssrc)) = header(arrival.bytes) else {
            outcome.rubbish.unknown += 1;
            return;
        };
        outcome.traffic.received += 1;
        outcome.traffic.received_bytes += arrival.bytes.len() as u64;
        let Some(place) = self.streams.iter().position(|stream| stream.start.ssrc == ssrc) else {
            self.handle_other(ssrc, arrival, srtp, outcome);
            return;
        };
        let stream = &mut self.streams[place];
        if stream.content.is_some() && !stream.check(arrival, srtp, outcome) {
            return;
        }
        stream.figures.note(sequence, timestamp, arrival.at_ns);
        if let Some(began_at_ns) = self.join_began_at_ns.take() {
            outcome.first_packet.note_ns(arrival.at_ns.saturating_sub(began_at_ns));
        }
    }

    /// A packet of no stream's own SSRC: a retransmission, or rubbish.
    fn handle_other(&mut self, ssrc: u32, arrival: Arrival<'_>, srtp: &Srtp, outcome: &mut LaneOutcome) {
        let is_retransmission = self.streams.iter().any(|stream| stream.start.rtx_ssrc == Some(ssrc));
        if ssrc == PROBE_SSRC {
            return;
        }
        if !is_retransmission {
            match self.early.iter().position(|(early, _)| *early == ssrc) {
                Some(place) => self.early[place].1 += 1,
                None if self.early.len() < EARLY_SSRCS_MAX => self.early.push((ssrc, 1)),
                None => outcome.rubbish.unknown += 1,
            }
        } else if self.is_verified && srtp.unprotect_rtp(arrival.bytes).is_err() {
            outcome.rubbish.unauthenticated += 1;
        } else {
            outcome.traffic.retransmissions += 1;
        }
    }

    /// What the next receiver report says of each stream.
    pub fn poll_losses(&mut self) -> impl Iterator<Item = (u32, LossReport)> {
        let open = self.streams.iter_mut().filter(|stream| !stream.is_closed);
        open.filter_map(|stream| Some((stream.start.ssrc, stream.figures.poll_report()?)))
    }

    /// Tells of all streams; they end now if the transport `is_closed` before the run is over.
    pub fn conclude(&self, is_closed: bool, outcome: &mut LaneOutcome) {
        outcome.rubbish.unknown += self.early.iter().map(|(_, count)| count).sum::<u64>();
        outcome.streams.extend(self.streams.iter().map(|stream| StreamOutcome {
            publisher: stream.start.publisher,
            kind: stream.start.kind,
            opened_at_ns: stream.start.opened_at_ns,
            latest_at_ns: stream.figures.latest_at_ns(),
            is_closed: is_closed || stream.is_closed,
            counts: stream.figures.counts(),
            jitter_ms: stream.figures.jitter_ms(),
            content: stream.content.as_ref().map(|content| content.outcome()),
        }));
    }
}

impl StreamStart {
    /// Which of its producer's packets had this payload; `None` where none had.
    fn find(&self, payload: &[u8], highest: Option<u64>) -> Option<Found> {
        if let Some(ledger) = &self.ledger {
            return ledger.find(payload, highest.map(|highest| highest + 1));
        }
        let decoded = match self.kind {
            Kind::Audio => VoicePayload::decode(payload),
            Kind::Video => decode_picture(payload),
        };
        let decoded = decoded.filter(|decoded| decoded.publisher == self.publisher)?;
        Some(Found { counter: decoded.counter, sent_at_ns: decoded.sent_at_ns })
    }
}

impl Stream {
    /// Authenticates a packet and compares its content; false where it is rubbish.
    fn check(&mut self, arrival: Arrival<'_>, srtp: &Srtp, outcome: &mut LaneOutcome) -> bool {
        let Some(content) = &mut self.content else { return true };
        let Ok(mut plain) = srtp.unprotect_rtp(arrival.bytes) else {
            outcome.rubbish.unauthenticated += 1;
            return false;
        };
        outcome.traffic.checked += 1;
        let payload = rtp::packet::Packet::unmarshal(&mut plain).map(|packet| packet.payload).unwrap_or_default();
        let Some(found) = self.start.find(&payload, content.window.highest()) else {
            outcome.rubbish.altered += 1;
            return false;
        };
        let latency_ns = arrival.at_ns.saturating_sub(found.sent_at_ns);
        content.note(found.counter, latency_ns);
        match self.start.kind {
            Kind::Audio => outcome.audio_latency.note_ns(latency_ns),
            Kind::Video => {
                outcome.video_latency.note_ns(latency_ns);
                if !content.has_key_frame && is_key_frame_start(&payload) {
                    content.has_key_frame = true;
                    outcome.first_key_frame.note_ns(arrival.at_ns.saturating_sub(self.start.opened_at_ns));
                }
            }
        }
        true
    }
}

impl Content {
    fn note(&mut self, counter: u64, latency_ns: u64) {
        let before = self.window.highest();
        self.counts.note(self.window.note(counter));
        self.lowest = if before.is_none() { counter } else { self.lowest.min(counter) };
        self.latency_sum_ns += u128::from(latency_ns);
    }

    fn outcome(&self) -> ContentOutcome {
        let highest = self.window.highest();
        let expected = highest.map_or(0, |highest| highest - self.lowest + 1);
        let arrived = self.counts.received + self.counts.repeats;
        ContentOutcome {
            counts: Counts { expected, ..self.counts },
            highest,
            latency_mean_ms: if arrived == 0 { 0.0 } else { self.latency_sum_ns as f64 / arrived as f64 / 1e6 },
        }
    }
}

/// Sequence number, timestamp and SSRC.
fn header(packet: &[u8]) -> Option<(u16, u32, u32)> {
    let header: &[u8; HEADER_LEN] = packet.first_chunk()?;
    let [_, _, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *header;
    Some((u16::from_be_bytes([s0, s1]), u32::from_be_bytes([t0, t1, t2, t3]), u32::from_be_bytes([c0, c1, c2, c3])))
}

/// The first packet of a VP8 frame that needs no other: the descriptor begins a partition, and the frame's first byte
/// has no P.
fn is_key_frame_start(payload: &[u8]) -> bool {
    matches!(payload, [0x90, _, _, _, frame, ..] if frame & 1 == 0)
}
