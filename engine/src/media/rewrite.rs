//! One consumer's continuous sequence and time, whatever its producer's does.
//!
//! A receiver must see one unbroken stream: its sequence numbers go on by one over every pause, and its timestamps run
//! with the clock, so that a decoder takes a pause for silence and not for loss. Loss and reordering on the publisher's
//! way stay visible as they were.

use std::time::{Duration, Instant};

use crate::wire::sequence::{PacketIndex, Timestamp};

/// The farthest step from one copy to the next. A receiver takes one of 2^15 for a step back and its roll-over counter for
/// another (RFC 3711 section 3.3.1); half of that leaves room for what is lost on its own way.
const STEP_MAX: u64 = 1 << 14;

/// Which unbroken run of a producer's packets one belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId {
    /// Changes whenever packets were held back: sequence numbers begin anew.
    pub run: u32,
    /// Changes whenever the publisher's timestamps have another origin: a new SSRC.
    pub clock: u32,
}

/// A producer's packet as a rewriter sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its run.
    pub id: RunId,
    /// Its index in the publisher's stream.
    pub index: PacketIndex,
    /// The publisher's timestamp.
    pub timestamp: Timestamp,
    /// Whether no packet of the publisher's stream with a higher index has come; only such a one begins a run.
    pub is_newest: bool,
}

/// The current run, as it is mapped.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    id: RunId,
    /// The run's first packet, here and there; what is older belongs to no run.
    first_in: PacketIndex,
    first_out: PacketIndex,
    /// Added to the publisher's timestamps.
    timestamp_offset: u32,
}

impl Mapping {
    /// The index to send `arrival` with; `None` for one that is older than the run.
    fn index(&self, arrival: Arrival) -> Option<PacketIndex> {
        Some(PacketIndex(self.first_out.0 + arrival.index.0.checked_sub(self.first_in.0)?))
    }
}

/// The newest packet that went out.
#[derive(Clone, Copy, Debug)]
struct Newest {
    index: PacketIndex,
    timestamp: Timestamp,
    at: Instant,
}

/// Maps a producer's packet indices and timestamps to those of one consumer.
#[derive(Clone, Debug)]
pub struct Rewriter {
    clock_rate_hz: u32,
    first_index: PacketIndex,
    first_timestamp: Timestamp,
    mapping: Option<Mapping>,
    newest: Option<Newest>,
    needs_sync: bool,
}

impl Rewriter {
    /// Makes a rewriter whose first packet will have `first_index` and `first_timestamp`; chosen at random below 2^15, the
    /// first sequence number keeps the receiver from guessing the roll-over wrong when first packets are lost (RFC 3711
    /// section 3.3.1).
    pub fn new(clock_rate_hz: u32, first_index: PacketIndex, first_timestamp: Timestamp) -> Self {
        Self { clock_rate_hz, first_index, first_timestamp, mapping: None, newest: None, needs_sync: true }
    }

    /// Says that packets were held back: the next one follows the newest that went out.
    pub fn break_run(&mut self) {
        self.needs_sync = true;
    }

    /// The index and timestamp to send `arrival` with, or `None` for one that is older than the run.
    pub fn map(&mut self, arrival: Arrival, now: Instant) -> Option<(PacketIndex, Timestamp)> {
        let mapping = match self.mapping {
            Some(mapping) if !self.needs_sync && mapping.id == arrival.id && !self.is_too_far(&mapping, arrival) => {
                mapping
            }
            _ => self.begin_run(arrival, now)?,
        };
        let index = mapping.index(arrival)?;
        let timestamp = arrival.timestamp.plus(mapping.timestamp_offset);
        if self.newest.is_none_or(|newest| index > newest.index) {
            self.newest = Some(Newest { index, timestamp, at: now });
        }
        Some((index, timestamp))
    }

    /// The newest timestamp that went out, and when; for sender reports.
    pub fn newest_timestamp(&self) -> Option<(Timestamp, Instant)> {
        self.newest.map(|newest| (newest.timestamp, newest.at))
    }

    /// RTP clock ticks in `elapsed`.
    pub fn ticks(&self, elapsed: Duration) -> u32 {
        // Wraps as timestamps do.
        (elapsed.as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000) as u32
    }

    /// Whether a receiver could not follow the step to `arrival`.
    fn is_too_far(&self, mapping: &Mapping, arrival: Arrival) -> bool {
        let newest = self.newest.map(|newest| newest.index.0);
        newest.zip(mapping.index(arrival)).is_some_and(|(newest, index)| index.0 > newest + STEP_MAX)
    }

    fn begin_run(&mut self, arrival: Arrival, now: Instant) -> Option<Mapping> {
        if !arrival.is_newest {
            // A straggler from before; beginning with it would leave a hole behind it.
            return None;
        }
        let same_clock = self.mapping.filter(|mapping| mapping.id.clock == arrival.id.clock);
        let (first_out, timestamp_offset) = match (self.newest, same_clock) {
            (None, _) => (self.first_index, self.first_timestamp.since(arrival.timestamp)),
            // The publisher's clock ran on through the pause.
            (Some(newest), Some(mapping)) => (PacketIndex(newest.index.0 + 1), mapping.timestamp_offset),
            (Some(newest), None) => {
                // At least one tick: a receiver takes equal timestamps for one sample or frame.
                let elapsed = self.ticks(now.saturating_duration_since(newest.at)).max(1);
                (PacketIndex(newest.index.0 + 1), newest.timestamp.plus(elapsed).since(arrival.timestamp))
            }
        };
        let mapping = Mapping { id: arrival.id, first_in: arrival.index, first_out, timestamp_offset };
        self.mapping = Some(mapping);
        self.needs_sync = false;
        Some(mapping)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const RATE_HZ: u32 = 48_000;
    const FRAME_TICKS: u32 = 960;
    const FRAME: Duration = Duration::from_millis(20);

    fn rewriter() -> Rewriter {
        Rewriter::new(RATE_HZ, PacketIndex(0x7ffe), Timestamp(u32::MAX - 1000))
    }

    fn arrival(index: u64) -> Arrival {
        Arrival {
            id: RunId { run: 0, clock: 0 },
            index: PacketIndex(index),
            timestamp: Timestamp((index as u32).wrapping_mul(FRAME_TICKS)),
            is_newest: true,
        }
    }

    #[test]
    fn a_pause_leaves_no_gap_in_sequence_and_the_clock_runs_on() {
        let start = Instant::now();
        let mut rewriter = rewriter();
        let mut out = Vec::new();
        for n in (0..40).chain(50..100) {
            if n == 50 {
                rewriter.break_run();
            }
            out.push(rewriter.map(arrival(0xfff0 + n), start + FRAME * n as u32).unwrap());
        }
        for (n, pair) in out.windows(2).enumerate() {
            assert_eq!(pair[1].0.0, pair[0].0.0 + 1);
            let expected = if n == 39 { 11 * FRAME_TICKS } else { FRAME_TICKS };
            assert_eq!(pair[1].1.since(pair[0].1), expected);
        }
    }

    #[test]
    fn a_new_ssrc_goes_on_in_sequence_and_in_elapsed_time() {
        let start = Instant::now();
        let mut rewriter = rewriter();
        let (index, timestamp) = rewriter.map(arrival(7), start).unwrap();
        let restarted = Arrival { id: RunId { run: 0, clock: 1 }, ..arrival(60_000) };
        let later = rewriter.map(restarted, start + Duration::from_secs(1)).unwrap();
        assert_eq!(later, (PacketIndex(index.0 + 1), timestamp.plus(RATE_HZ)));
    }

    #[test]
    fn a_straggler_neither_begins_a_run_nor_goes_before_it() {
        let start = Instant::now();
        let mut rewriter = rewriter();
        let (first, _) = rewriter.map(arrival(100), start).unwrap();
        rewriter.break_run();
        assert_eq!(rewriter.map(Arrival { is_newest: false, ..arrival(105) }, start), None);
        let (next, _) = rewriter.map(arrival(110), start).unwrap();
        assert_eq!(next.0, first.0 + 1);
        assert_eq!(rewriter.map(Arrival { is_newest: false, ..arrival(109) }, start), None);
        assert!(rewriter.map(arrival(111), start).is_some());
    }

    #[test]
    fn a_step_that_no_receiver_could_follow_is_one_to_the_next_number() {
        let start = Instant::now();
        let mut rewriter = rewriter();
        let (first, first_timestamp) = rewriter.map(arrival(100), start).unwrap();
        let (far, _) = rewriter.map(arrival(100 + STEP_MAX), start).unwrap();
        assert_eq!(far.0, first.0 + STEP_MAX);
        let (farther, timestamp) = rewriter.map(arrival(101 + 3 * STEP_MAX), start).unwrap();
        assert_eq!(farther.0, far.0 + 1);
        // The publisher's clock ran on all the same.
        assert_eq!(timestamp.since(first_timestamp), (1 + 3 * STEP_MAX as u32) * FRAME_TICKS);
        let (next, _) = rewriter.map(arrival(102 + 3 * STEP_MAX), start).unwrap();
        assert_eq!(next.0, farther.0 + 1);
    }

    proptest! {
        #[test]
        fn no_index_goes_out_twice_and_runs_join_without_a_gap(
            first_in in 0u64..200_000,
            steps in prop::collection::vec((0u8..20, 0u64..6, 0u64..4), 1..300),
        ) {
            let start = Instant::now();
            let mut rewriter = rewriter();
            let mut head = first_in;
            let mut came = BTreeSet::new();
            // The naive reference: all that went out, and where the current run began.
            let mut out = BTreeSet::new();
            let mut run = None;
            let mut timestamp_offset = None;
            for (step, (action, ahead, behind)) in steps.into_iter().enumerate() {
                if action == 0 {
                    rewriter.break_run();
                    run = None;
                    continue;
                }
                head += ahead;
                let index = head.saturating_sub(behind);
                let is_newest = came.last().is_none_or(|&newest| index > newest);
                if !came.insert(index) {
                    continue;
                }
                let arrival = Arrival { is_newest, ..arrival(index) };
                let Some((mapped, timestamp)) = rewriter.map(arrival, start + FRAME * step as u32) else {
                    prop_assert!(run.is_none_or(|(run_in, _)| index < run_in), "{index} was refused within its run");
                    continue;
                };
                if run.is_none() {
                    prop_assert!(is_newest);
                    prop_assert_eq!(mapped.0, out.last().map_or(0x7ffe, |newest| newest + 1));
                }
                let (run_in, run_out) = *run.get_or_insert((index, mapped.0));
                prop_assert_eq!(mapped.0 - run_out, index - run_in);
                prop_assert!(out.insert(mapped.0), "{} went out twice", mapped.0);
                let offset = timestamp.since(arrival.timestamp);
                prop_assert_eq!(*timestamp_offset.get_or_insert(offset), offset);
            }
        }
    }
}
