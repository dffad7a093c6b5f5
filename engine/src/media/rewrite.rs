//! One consumer's continuous sequence and time, whatever its producer's does.
//!
//! A receiver must see one unbroken stream: its sequence numbers go on by one over every pause, and its timestamps run
//! with the clock, so that a decoder takes a pause for silence and not for loss. Loss and reordering on the publisher's
//! way stay visible as they were. The way back, from a number that a receiver misses to the publisher's packet, needs no
//! memory of packets: only of the runs.

use std::mem::offset_of;
use std::time::{Duration, Instant};

use crate::wire::rtcp::NtpTimestamp;
use crate::wire::sequence::{PacketIndex, SeqNo, Timestamp};

/// The farthest step from one copy to the next. A receiver takes one of 2^15 for a step back and its roll-over counter for
/// another (RFC 3711 section 3.3.1); half of that leaves room for what is lost on its own way.
const STEP_MAX: u64 = 1 << 14;

/// Runs before the current one that are kept for retransmissions. One ends with a pause or a change of the encoding, which a
/// key frame a second bounds.
const PAST_MAX: usize = 3;

/// How far the publisher's own clock may differ from the arrival of its packets in telling the time between two of them.
/// More is no jitter but a clock that was set, or a lie.
const CAPTURE_ERROR_MAX: Duration = Duration::from_secs(1);

/// Which unbroken run of a producer's packets one belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId {
    /// Changes whenever packets were held back: sequence numbers begin anew.
    pub run: u32,
    /// Changes whenever the publisher's timestamps have another origin: a new SSRC.
    pub clock: u32,
}

/// The running numbers that some payload formats give to pictures; 0 where a payload has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureNumbers {
    /// PictureID of VP8 and VP9, 7 or 15 bits.
    pub picture_id: u16,
    /// TL0PICIDX of VP8 and VP9.
    pub tl0_index: u8,
}

impl PictureNumbers {
    fn plus(self, other: Self) -> Self {
        Self {
            picture_id: self.picture_id.wrapping_add(other.picture_id),
            tl0_index: self.tl0_index.wrapping_add(other.tl0_index),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            picture_id: self.picture_id.wrapping_sub(other.picture_id),
            tl0_index: self.tl0_index.wrapping_sub(other.tl0_index),
        }
    }
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
    /// When that was, on the publisher's clock, where its reports have told.
    pub captured_at: Option<NtpTimestamp>,
    /// Whether no packet of the publisher's stream with a higher index has come.
    pub is_newest: bool,
    /// Whether a receiver can begin with it: with any sound, but of pictures only with the first packet of a key frame.
    pub begins_run: bool,
    /// The publisher's numbers of the picture, where it has some.
    pub pictures: Option<PictureNumbers>,
}

/// What a copy is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its index.
    pub index: PacketIndex,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its numbers of the picture.
    pub pictures: PictureNumbers,
}

/// Where a copy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The run of the publisher's packet.
    pub id: RunId,
    /// The index of the publisher's packet.
    pub index: PacketIndex,
    mapping: Mapping,
}

impl Origin {
    /// What the publisher's packet, which had `timestamp` and `pictures`, was sent with, or is to be.
    pub fn map(&self, timestamp: Timestamp, pictures: PictureNumbers) -> Mapped {
        self.mapping.map(self.index, timestamp, pictures)
    }
}

/// A run, as it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    id: RunId,
    /// The run's first packet, here and there; what is older belongs to no run.
    first_in: PacketIndex,
    first_out: PacketIndex,
    /// Added to the publisher's timestamps.
    timestamp_offset: u32,
    /// Added to the publisher's numbers of pictures.
    picture_offset: PictureNumbers,
}

impl Mapping {
    /// The index to send the publisher's packet with; `None` for one that is older than the run.
    fn index(&self, index: PacketIndex) -> Option<PacketIndex> {
        Some(PacketIndex(self.first_out.0 + index.0.checked_sub(self.first_in.0)?))
    }

    /// `index` is not older than the run.
    fn map(&self, index: PacketIndex, timestamp: Timestamp, pictures: PictureNumbers) -> Mapped {
        Mapped {
            index: PacketIndex(self.first_out.0 + index.0 - self.first_in.0),
            timestamp: timestamp.plus(self.timestamp_offset),
            pictures: pictures.plus(self.picture_offset),
        }
    }
}

/// The newest packet that went out.
#[derive(Clone, Copy, Debug)]
struct Newest {
    mapped: Mapped,
    /// The newest that had numbers of a picture.
    numbered: (PacketIndex, PictureNumbers),
    captured_at: Option<NtpTimestamp>,
    /// When its timestamp went out first.
    at: Instant,
}

/// Maps a producer's packet indices and timestamps to those of one consumer. What each packet needs stands last.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Rewriter {
    /// Oldest first, at most [`PAST_MAX`].
    past: Vec<Mapping>,
    first_index: PacketIndex,
    first_timestamp: Timestamp,
    clock_rate_hz: u32,
    mapping: Option<Mapping>,
    newest: Option<Newest>,
    needs_sync: bool,
}

impl Rewriter {
    /// Where what each packet needs begins in it, in bytes.
    pub(super) const PACKET_STATE_OFFSET: usize = offset_of!(Self, mapping);

    /// Makes a rewriter whose first packet will have `first_index` and `first_timestamp`; chosen at random below 2^15, the
    /// first sequence number keeps the receiver from guessing the roll-over wrong when first packets are lost (RFC 3711
    /// section 3.3.1).
    pub fn new(clock_rate_hz: u32, first_index: PacketIndex, first_timestamp: Timestamp) -> Self {
        Self {
            past: Vec::new(),
            first_index,
            first_timestamp,
            clock_rate_hz,
            mapping: None,
            newest: None,
            needs_sync: true,
        }
    }

    /// Keeps past runs too, so that [`Self::origin`] finds what was sent in them.
    #[must_use]
    pub fn with_past(mut self) -> Self {
        self.past.reserve_exact(PAST_MAX);
        self
    }

    /// Reads a little of what [`Self::map`] needs, and gives a word of it.
    pub fn warm(&self) -> u64 {
        let first_out = self.mapping.map_or(0, |mapping| mapping.first_out.0);
        first_out ^ self.newest.map_or(0, |newest| newest.mapped.index.0)
    }

    /// Says that packets were held back: the next one follows the newest that went out.
    pub fn break_run(&mut self) {
        self.needs_sync = true;
    }

    /// What to send `arrival` with, or `None` for one that is older than the run.
    pub fn map(&mut self, arrival: Arrival, now: Instant) -> Option<Mapped> {
        let mapping = match self.mapping_of(arrival) {
            Some(mapping) => mapping,
            None => self.begin_run(arrival, now)?,
        };
        mapping.index(arrival.index)?;
        let mapped = mapping.map(arrival.index, arrival.timestamp, arrival.pictures.unwrap_or_default());
        // A packet of mere padding has no numbers, and may have overtaken the picture before it.
        let known = self.newest.map(|newest| newest.numbered);
        let numbered = match known {
            Some(known) if arrival.pictures.is_none() || known.0 > mapped.index => known,
            _ => (mapped.index, mapped.pictures),
        };
        match &mut self.newest {
            Some(newest) if mapped.index <= newest.mapped.index => newest.numbered = numbered,
            // Padding repeats the timestamp of a picture that may be long past.
            Some(newest) if mapped.timestamp == newest.mapped.timestamp => {
                *newest = Newest { mapped, numbered, ..*newest }
            }
            newest => *newest = Some(Newest { mapped, numbered, captured_at: arrival.captured_at, at: now }),
        }
        Some(mapped)
    }

    /// Whether `arrival` belongs to the run that is under way; another has to begin one.
    pub fn is_under_way(&self, arrival: Arrival) -> bool {
        self.mapping_of(arrival).is_some()
    }

    /// Whether a packet that is not the newest of its stream may begin a run all the same, because all that overtook it can
    /// still be had: it is newer than whatever of the stream went out.
    pub fn is_ahead(&self, arrival: Arrival) -> bool {
        let mut end = self.newest.map(|newest| newest.mapped.index.next());
        for mapping in self.mapping.iter().chain(self.past.iter().rev()) {
            let Some(end_out) = end.replace(mapping.first_out) else { return true };
            if mapping.id.clock == arrival.id.clock {
                return arrival.index.0 >= mapping.first_in.0 + (end_out.0 - mapping.first_out.0);
            }
        }
        true
    }

    /// Where the copy with the number `sequence` came from, or would have; `None` for one that is not sent yet, or longer
    /// ago than the runs that are kept.
    pub fn origin(&self, sequence: SeqNo) -> Option<Origin> {
        let newest = self.newest?.mapped.index;
        let age = u64::from(newest.sequence().0.wrapping_sub(sequence.0));
        if age > STEP_MAX {
            return None;
        }
        let out = newest.0.checked_sub(age)?;
        let mapping = self.mapping.iter().chain(self.past.iter().rev()).find(|mapping| mapping.first_out.0 <= out)?;
        let index = PacketIndex(mapping.first_in.0 + (out - mapping.first_out.0));
        Some(Origin { id: mapping.id, index, mapping: *mapping })
    }

    /// The newest timestamp that went out, and when; for sender reports.
    pub fn newest_timestamp(&self) -> Option<(Timestamp, Instant)> {
        self.newest.map(|newest| (newest.mapped.timestamp, newest.at))
    }

    /// The publisher's stream that the receiver gets, by its clock.
    pub fn clock(&self) -> Option<u32> {
        self.mapping.map(|mapping| mapping.id.clock)
    }

    /// What a timestamp of the publisher's stream `clock` is to the receiver, while that is the stream that it gets.
    pub fn timestamp(&self, clock: u32, timestamp: Timestamp) -> Option<Timestamp> {
        let mapping = self.mapping.filter(|mapping| mapping.id.clock == clock)?;
        Some(timestamp.plus(mapping.timestamp_offset))
    }

    /// RTP clock ticks in `elapsed`.
    pub fn ticks(&self, elapsed: Duration) -> u32 {
        ticks(self.clock_rate_hz, elapsed)
    }

    fn mapping_of(&self, arrival: Arrival) -> Option<Mapping> {
        let mapping = self.mapping.filter(|mapping| !self.needs_sync && mapping.id == arrival.id)?;
        (!self.is_too_far(&mapping, arrival)).then_some(mapping)
    }

    /// Whether a receiver could not follow the step to `arrival`.
    fn is_too_far(&self, mapping: &Mapping, arrival: Arrival) -> bool {
        let newest = self.newest.map(|newest| newest.mapped.index.0);
        newest.zip(mapping.index(arrival.index)).is_some_and(|(newest, index)| index.0 > newest + STEP_MAX)
    }

    fn begin_run(&mut self, arrival: Arrival, now: Instant) -> Option<Mapping> {
        let keeps_past = self.past.capacity() > 0;
        // Beginning with a straggler would leave a hole behind it, where what overtook it cannot be had any more.
        if !arrival.begins_run || !(arrival.is_newest || keeps_past && self.is_ahead(arrival)) {
            return None;
        }
        let same_clock = self.mapping.filter(|mapping| mapping.id.clock == arrival.id.clock);
        let (first_out, timestamp_offset) = match (self.newest, same_clock) {
            (None, _) => (self.first_index, self.first_timestamp.since(arrival.timestamp)),
            // The publisher's clock ran on through the pause.
            (Some(newest), Some(mapping)) => (newest.mapped.index.next(), mapping.timestamp_offset),
            (Some(newest), None) => {
                // At least one tick: a receiver takes equal timestamps for one sample or frame.
                let elapsed = self.ticks(elapsed(newest, arrival, now)).max(1);
                (newest.mapped.index.next(), newest.mapped.timestamp.plus(elapsed).since(arrival.timestamp))
            }
        };
        let pictures = arrival.pictures.unwrap_or_default();
        let following =
            self.newest.map(|newest| newest.numbered.1.plus(PictureNumbers { picture_id: 1, tl0_index: 1 }));
        let picture_offset = following.unwrap_or(pictures).minus(pictures);
        let mapping = Mapping { id: arrival.id, first_in: arrival.index, first_out, timestamp_offset, picture_offset };
        if let Some(ended) = self.mapping.replace(mapping).filter(|_| keeps_past) {
            if self.past.len() == PAST_MAX {
                self.past.remove(0);
            }
            self.past.push(ended);
        }
        self.needs_sync = false;
        Some(mapping)
    }
}

/// The time from the newest copy to `arrival` of another stream: what the publisher's clock says, which knows nothing of
/// the network, or else the time between their coming.
fn elapsed(newest: Newest, arrival: Arrival, now: Instant) -> Duration {
    let between_arrivals = now.saturating_duration_since(newest.at);
    let captured = arrival.captured_at.zip(newest.captured_at).map(|(at, before)| {
        // A key frame that was late, or sent again, may have been captured before what came in its stead: no time has passed.
        if before.since(at) <= CAPTURE_ERROR_MAX { Duration::ZERO } else { at.since(before) }
    });
    captured.filter(|captured| captured.abs_diff(between_arrivals) <= CAPTURE_ERROR_MAX).unwrap_or(between_arrivals)
}

/// Ticks of a clock of `rate_hz` in `elapsed`; wraps as timestamps do.
pub(super) fn ticks(rate_hz: u32, elapsed: Duration) -> u32 {
    (elapsed.as_nanos() * u128::from(rate_hz) / 1_000_000_000) as u32
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
            captured_at: None,
            is_newest: true,
            begins_run: true,
            pictures: None,
        }
    }

    fn map(rewriter: &mut Rewriter, arrival: Arrival, now: Instant) -> Option<(PacketIndex, Timestamp)> {
        rewriter.map(arrival, now).map(|mapped| (mapped.index, mapped.timestamp))
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
            out.push(map(&mut rewriter, arrival(0xfff0 + n), start + FRAME * n as u32).unwrap());
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
        let (index, timestamp) = map(&mut rewriter, arrival(7), start).unwrap();
        let restarted = Arrival { id: RunId { run: 0, clock: 1 }, ..arrival(60_000) };
        let later = map(&mut rewriter, restarted, start + Duration::from_secs(1)).unwrap();
        assert_eq!(later, (PacketIndex(index.0 + 1), timestamp.plus(RATE_HZ)));
    }

    #[test]
    fn a_straggler_neither_begins_a_run_nor_goes_before_it() {
        let start = Instant::now();
        let mut rewriter = rewriter();
        let (first, _) = map(&mut rewriter, arrival(100), start).unwrap();
        rewriter.break_run();
        assert_eq!(map(&mut rewriter, Arrival { is_newest: false, ..arrival(105) }, start), None);
        let (next, _) = map(&mut rewriter, arrival(110), start).unwrap();
        assert_eq!(next.0, first.0 + 1);
        assert_eq!(map(&mut rewriter, Arrival { is_newest: false, ..arrival(109) }, start), None);
        assert!(map(&mut rewriter, arrival(111), start).is_some());
    }

    #[test]
    fn a_step_that_no_receiver_could_follow_is_one_to_the_next_number() {
        let start = Instant::now();
        let mut rewriter = rewriter();
        let (first, first_timestamp) = map(&mut rewriter, arrival(100), start).unwrap();
        let (far, _) = map(&mut rewriter, arrival(100 + STEP_MAX), start).unwrap();
        assert_eq!(far.0, first.0 + STEP_MAX);
        let (farther, timestamp) = map(&mut rewriter, arrival(101 + 3 * STEP_MAX), start).unwrap();
        assert_eq!(farther.0, far.0 + 1);
        // The publisher's clock ran on all the same.
        assert_eq!(timestamp.since(first_timestamp), (1 + 3 * STEP_MAX as u32) * FRAME_TICKS);
        let (next, _) = map(&mut rewriter, arrival(102 + 3 * STEP_MAX), start).unwrap();
        assert_eq!(next.0, farther.0 + 1);
    }

    #[test]
    fn a_stream_that_replaces_another_is_told_the_time_by_the_publishers_clock_unless_that_lies() {
        let start = Instant::now();
        let ntp = NtpTimestamp(77 << 32);
        let after = |captured: Duration| {
            let mut rewriter = rewriter();
            let (_, before) = map(&mut rewriter, Arrival { captured_at: Some(ntp), ..arrival(7) }, start).unwrap();
            let captured_at = Some(ntp.plus(captured));
            let other = Arrival { id: RunId { run: 0, clock: 1 }, captured_at, ..arrival(60_000) };
            map(&mut rewriter, other, start + Duration::from_millis(130)).unwrap().1.since(before)
        };
        // NTP's fraction of a second is rounded down.
        assert!((RATE_HZ / 10 - 1..=RATE_HZ / 10).contains(&after(Duration::from_millis(100))));
        assert_eq!(after(Duration::from_secs(20)), RATE_HZ * 13 / 100);
    }

    #[test]
    fn pictures_are_numbered_on_over_pauses_and_new_streams() {
        let start = Instant::now();
        let mut rewriter = rewriter();
        let mut picture = |clock, index, picture_id, tl0_index| {
            let pictures = Some(PictureNumbers { picture_id, tl0_index });
            let arrival = Arrival { id: RunId { run: 0, clock }, pictures, ..arrival(index) };
            let PictureNumbers { picture_id, tl0_index } = rewriter.map(arrival, start).unwrap().pictures;
            (picture_id & 0x7fff, tl0_index)
        };
        assert_eq!(picture(0, 7, 0x7ffe, 255), (0x7ffe, 255));
        assert_eq!(picture(0, 8, 0x7fff, 0), (0x7fff, 0));
        assert_eq!(picture(1, 100, 5, 9), (0, 1));
        assert_eq!(picture(1, 101, 5, 9), (0, 1));
        assert_eq!(picture(1, 102, 6, 10), (1, 2));
    }

    #[test]
    fn a_straggler_that_is_ahead_of_all_that_went_out_begins_a_run_where_past_ones_are_kept() {
        let start = Instant::now();
        let mut rewriter = rewriter().with_past();
        let (first, _) = map(&mut rewriter, arrival(100), start).unwrap();
        rewriter.break_run();
        assert_eq!(map(&mut rewriter, Arrival { is_newest: false, ..arrival(100) }, start), None);
        let (next, _) = map(&mut rewriter, Arrival { is_newest: false, ..arrival(105) }, start).unwrap();
        assert_eq!(next.0, first.0 + 1);
        assert_eq!(map(&mut rewriter, arrival(108), start).unwrap().0.0, next.0 + 3);
    }

    proptest! {
        #[test]
        fn what_is_missing_is_found_by_the_number_that_it_went_out_with(
            steps in prop::collection::vec((0u8..20, 1u64..5), 1..300),
        ) {
            let start = Instant::now();
            let mut rewriter = rewriter().with_past();
            let (mut head, mut clock, mut runs) = (40_000, 0, 0);
            let mut out = Vec::new();
            for (action, ahead) in steps {
                head += ahead;
                match action {
                    0 => rewriter.break_run(),
                    1 => clock += 1,
                    _ => {}
                }
                runs += u32::from(action < 2);
                let arrival = Arrival { id: RunId { run: 0, clock }, ..arrival(head) };
                let mapped = rewriter.map(arrival, start).unwrap();
                out.push((runs, mapped, arrival));
            }
            let found = |mapped: Mapped| rewriter.origin(mapped.index.sequence());
            for (run, mapped, arrival) in out {
                let expected = (runs - run <= PAST_MAX as u32).then_some((arrival.id, arrival.index));
                prop_assert_eq!(found(mapped).map(|origin| (origin.id, origin.index)), expected);
                if let Some(origin) = found(mapped) {
                    prop_assert_eq!(origin.map(arrival.timestamp, PictureNumbers::default()), mapped);
                }
            }
        }

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
                let Some((mapped, timestamp)) = map(&mut rewriter, arrival, start + FRAME * step as u32) else {
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
