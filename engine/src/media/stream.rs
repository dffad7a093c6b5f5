//! What a shard keeps of one SSRC that a publisher sends: its replay window and its reception statistics.

use std::time::{Duration, Instant};

use shard_protocol::tables::Ssrc;

use crate::security::srtp::ReplayWindow;
use crate::wire::rtcp::{CompactDelay, CompactNtp, ReportBlock};
use crate::wire::sequence::{PacketIndex, Timestamp};

/// A publisher's stream as it arrives.
#[derive(Debug)]
pub struct InboundStream {
    /// Whose packets these are.
    pub ssrc: Ssrc,
    /// Which packets have come; also extends sequence numbers.
    pub replay: ReplayWindow,
    statistics: Option<Statistics>,
    jitter: Jitter,
    sender_report: Option<SenderReport>,
}

/// What the publisher's newest sender report said.
#[derive(Clone, Copy, Debug)]
struct SenderReport {
    ntp: CompactNtp,
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
    /// Makes the state of a stream of which nothing has come since `replay` was last its window.
    pub fn new(ssrc: Ssrc, clock_rate_hz: u32, replay: ReplayWindow) -> Self {
        Self {
            ssrc,
            replay,
            statistics: None,
            jitter: Jitter { clock_rate_hz, transit: None, scaled: 0 },
            sender_report: None,
        }
    }

    /// Counts an authenticated packet; `true` where none with a higher index has come.
    pub fn on_packet(
        &mut self,
        index: PacketIndex,
        timestamp: Timestamp,
        received_at: Instant,
        epoch: Instant,
    ) -> bool {
        self.replay.accept(index);
        self.jitter.on_packet(timestamp, received_at.saturating_duration_since(epoch));
        let Some(statistics) = &mut self.statistics else {
            self.statistics =
                Some(Statistics { first: index, newest: index, received: 1, expected_before: 0, received_before: 0 });
            return true;
        };
        statistics.received += 1;
        statistics.first = statistics.first.min(index);
        let is_newest = index > statistics.newest;
        statistics.newest = statistics.newest.max(index);
        is_newest
    }

    /// Notes a sender report of the publisher.
    pub fn on_sender_report(&mut self, ntp: CompactNtp, now: Instant) {
        self.sender_report = Some(SenderReport { ntp, at: now });
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
            Some(report) => (report.ntp, CompactDelay::from_duration(now.saturating_duration_since(report.at))),
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
        let arrival_ticks = (arrival.as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000) as u32;
        let transit = arrival_ticks.wrapping_sub(timestamp.0);
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

    const FRAME: Duration = Duration::from_millis(20);

    fn stream() -> InboundStream {
        InboundStream::new(Ssrc(7), 48_000, ReplayWindow::default())
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
        let mut newest = |index| stream.on_packet(PacketIndex(index), Timestamp(0), start, start);
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
        stream.on_sender_report(CompactNtp(0xabcd_1234), start);
        let report = stream.take_report(start + Duration::from_millis(1500)).unwrap();
        assert_eq!(report.last_sender_report, CompactNtp(0xabcd_1234));
        assert_eq!(report.delay_since_last_sender_report, CompactDelay(3 * 65_536 / 2));
    }
}
