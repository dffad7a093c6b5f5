//! What a shard keeps of one SSRC that a publisher sends: its replay window and its reception statistics.

use std::time::{Duration, Instant};

use shard_protocol::tables::{MediaKind, Ssrc};

use super::nack::NackList;
use super::rewrite::ticks;
use crate::security::srtp::ReplayWindow;
use crate::wire::rtcp::{CompactDelay, NtpTimestamp, ReportBlock, SenderStatement};
use crate::wire::sequence::{PacketIndex, Timestamp};

/// A publisher's stream as it arrives.
#[derive(Debug)]
pub struct InboundStream {
    /// Whose packets these are.
    pub ssrc: Ssrc,
    /// Which packets have come; also extends sequence numbers.
    pub replay: ReplayWindow,
    /// What has not come and is worth asking for: pictures.
    pub missing: Option<NackList>,
    /// Where its newest key frame begins.
    key_frame: Option<PacketIndex>,
    statistics: Option<Statistics>,
    jitter: Jitter,
    sender_report: Option<SenderReport>,
}

/// What a packet was to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// None with a higher index has come.
    pub is_newest: bool,
    /// So many before it are missing that only a key frame helps.
    pub is_beyond_repair: bool,
}

/// What the publisher's newest sender report said.
#[derive(Clone, Copy, Debug)]
struct SenderReport {
    ntp: NtpTimestamp,
    timestamp: Timestamp,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Statistics {
    first: PacketIndex,
    newest: PacketIndex,
    received: u64,
    expected_before: u64,
    received_before: u64,
}

impl InboundStream {
    /// Makes the state of a stream that begins, or goes on where `replay` left off.
    pub fn new(kind: MediaKind, ssrc: Ssrc, clock_rate_hz: u32, replay: ReplayWindow) -> Self {
        Self {
            ssrc,
            replay,
            missing: (kind == MediaKind::Video).then(NackList::default),
            key_frame: None,
            statistics: None,
            jitter: Jitter { clock_rate_hz, transit: None, scaled: 0 },
            sender_report: None,
        }
    }

    /// Reads a little of what [`Self::on_packet`] needs, and gives a word of it.
    pub fn warm(&self) -> u32 {
        self.ssrc.0 ^ self.jitter.scaled ^ self.statistics.map_or(0, |statistics| statistics.received as u32)
    }

    /// Counts an authenticated packet.
    pub fn on_packet(
        &mut self,
        index: PacketIndex,
        timestamp: Timestamp,
        received_at: Instant,
        epoch: Instant,
    ) -> Reception {
        self.jitter.on_packet(timestamp, received_at.saturating_duration_since(epoch));
        let reception = self.on_repair(index, received_at);
        if let Some(statistics) = &mut self.statistics {
            statistics.received += 1;
        }
        reception
    }

    /// Whether a retransmission of the packet `index` is of use. What is not missed has come, or is of a stream before this
    /// one: nothing in a retransmission names the SSRC that its number belongs to.
    pub fn misses(&self, index: PacketIndex) -> bool {
        self.missing.as_ref().is_some_and(|missing| missing.contains(index))
    }

    /// Notes a packet that came as a retransmission, which is no part of what is reported (RFC 4588 section 4).
    pub fn on_repair(&mut self, index: PacketIndex, received_at: Instant) -> Reception {
        self.replay.accept(index);
        let Some(statistics) = &mut self.statistics else {
            self.statistics =
                Some(Statistics { first: index, newest: index, received: 0, expected_before: 0, received_before: 0 });
            return Reception { is_newest: true, is_beyond_repair: false };
        };
        statistics.first = statistics.first.min(index);
        let newest = statistics.newest;
        statistics.newest = newest.max(index);
        let is_beyond_repair = match &mut self.missing {
            Some(missing) if index > newest => missing.on_step(newest, index, received_at).is_err(),
            Some(missing) => {
                missing.on_straggler(index);
                false
            }
            None => false,
        };
        Reception { is_newest: index > newest, is_beyond_repair }
    }

    /// Notes that a key frame begins with the packet `index`.
    pub fn on_key_frame(&mut self, index: PacketIndex) {
        self.key_frame = self.key_frame.max(Some(index));
    }

    /// Whether a key frame makes up for a packet `index` that never came: one has begun after it.
    pub fn is_made_up_for(&self, index: PacketIndex) -> bool {
        self.key_frame > Some(index)
    }

    /// Notes a sender report of the publisher.
    pub fn on_sender_report(&mut self, statement: &SenderStatement, now: Instant) {
        self.sender_report = Some(SenderReport { ntp: statement.ntp, timestamp: statement.timestamp, at: now });
    }

    /// When a sample with `timestamp` was captured, on the publisher's clock; `None` before its first report.
    pub fn captured_at(&self, timestamp: Timestamp) -> Option<NtpTimestamp> {
        let report = self.sender_report?;
        let ticks = timestamp.since(report.timestamp) as i32;
        Some(report.ntp.plus_ticks(ticks, self.jitter.clock_rate_hz))
    }

    /// The timestamp of a sample that is captured at `captured_at` on the publisher's clock; `None` before its first report.
    pub fn timestamp_at(&self, captured_at: NtpTimestamp) -> Option<Timestamp> {
        let report = self.sender_report?;
        Some(report.timestamp.plus(captured_at.ticks_since(report.ntp, self.jitter.clock_rate_hz)))
    }

    /// The report block for now, and begins the next interval; `None` where nothing has come since the last.
    pub fn take_report(&mut self, now: Instant) -> Option<ReportBlock> {
        let statistics = self.statistics.as_mut()?;
        let expected = statistics.newest.0 - statistics.first.0 + 1;
        let expected_interval = expected - statistics.expected_before;
        let received_interval = statistics.received - statistics.received_before;
        if received_interval == 0 {
            return None;
        }
        statistics.expected_before = expected;
        statistics.received_before = statistics.received;
        // RFC 3550 A.3: 0 where more came than was expected.
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction_lost = (lost_interval << 8).checked_div(expected_interval).unwrap_or(0).min(255) as u8;
        let (last_sender_report, delay) = match self.sender_report {
            Some(report) => {
                (report.ntp.compact(), CompactDelay::from_duration(now.saturating_duration_since(report.at)))
            }
            None => Default::default(),
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            lost: clamp_to_24_bits(expected as i64 - statistics.received as i64),
            extended_highest_sequence: statistics.newest.0 as u32,
            jitter: self.jitter.scaled >> 4,
            last_sender_report,
            delay_since_last_sender_report: delay,
        })
    }
}

/// Interarrival jitter, RFC 3550 A.8, in whole numbers: `scaled` is sixteen times the estimate.
#[derive(Clone, Copy, Debug)]
struct Jitter {
    clock_rate_hz: u32,
    transit: Option<u32>,
    scaled: u32,
}

impl Jitter {
    fn on_packet(&mut self, timestamp: Timestamp, arrival: Duration) {
        let transit = ticks(self.clock_rate_hz, arrival).wrapping_sub(timestamp.0);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            self.scaled =
                self.scaled.saturating_add(difference) - ((self.scaled.saturating_add(8)) >> 4).min(self.scaled);
        }
    }
}

fn clamp_to_24_bits(lost: i64) -> i32 {
    lost.clamp(-0x80_0000, 0x7f_ffff) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtcp::CompactNtp;

    const FRAME: Duration = Duration::from_millis(20);

    fn stream() -> InboundStream {
        InboundStream::new(MediaKind::Audio, Ssrc(7), 48_000, ReplayWindow::default())
    }

    #[test]
    fn losses_are_reported_for_the_interval_and_in_all() {
        let start = Instant::now();
        let mut stream = stream();
        for n in (0..100u64).filter(|n| n % 4 != 3) {
            stream.on_packet(PacketIndex(0xfff0 + n), Timestamp(n as u32 * 960), start + FRAME * n as u32, start);
        }
        let first = stream.take_report(start).unwrap();
        // The last, number 99, is lost but not missed yet.
        assert_eq!((first.lost, first.fraction_lost), (24, (24 * 256 / 99) as u8));
        assert_eq!(first.extended_highest_sequence, 0xfff0 + 98);
        assert_eq!(first.jitter, 0);
        assert_eq!(stream.take_report(start), None);
        for n in 100..200u64 {
            stream.on_packet(PacketIndex(0xfff0 + n), Timestamp(n as u32 * 960), start + FRAME * n as u32, start);
        }
        let second = stream.take_report(start).unwrap();
        assert_eq!((second.lost, second.fraction_lost), (25, (256 / 101) as u8));
    }

    #[test]
    fn the_newest_packet_is_told_from_a_straggler() {
        let start = Instant::now();
        let mut stream = stream();
        let mut newest = |index| stream.on_packet(PacketIndex(index), Timestamp(0), start, start).is_newest;
        assert!(newest(5));
        assert!(newest(8));
        assert!(!newest(6));
        assert!(!newest(4));
        assert!(newest(9));
    }

    #[test]
    fn jitter_comes_near_the_mean_deviation() {
        let start = Instant::now();
        let mut stream = stream();
        for n in 0..1000u64 {
            // Every second packet is 5 ms late: consecutive transits differ by 240 ticks.
            let late = Duration::from_millis(if n % 2 == 0 { 0 } else { 5 });
            stream.on_packet(PacketIndex(n), Timestamp(n as u32 * 960), start + FRAME * n as u32 + late, start);
        }
        let jitter = stream.take_report(start).unwrap().jitter;
        assert!((235..=240).contains(&jitter), "{jitter}");
    }

    #[test]
    fn a_report_names_the_senders_last_report_and_its_age() {
        let start = Instant::now();
        let mut stream = stream();
        stream.on_packet(PacketIndex(1), Timestamp(0), start, start);
        let ntp = NtpTimestamp(0x5678_abcd_1234_0000);
        stream.on_sender_report(&SenderStatement { ntp, timestamp: Timestamp(500), packets: 1, payload_len: 1 }, start);
        assert_eq!(stream.captured_at(Timestamp(500 + 48_000)), Some(ntp.plus(Duration::from_secs(1))));
        assert_eq!(stream.timestamp_at(ntp.plus_ticks(-960, 48_000)), Some(Timestamp(500_u32.wrapping_sub(960))));
        let report = stream.take_report(start + Duration::from_millis(1500)).unwrap();
        assert_eq!(report.last_sender_report, CompactNtp(0xabcd_1234));
        assert_eq!(report.delay_since_last_sender_report, CompactDelay(3 * 65_536 / 2));
    }
}
