//! Coalescing: how long a shard lets datagrams gather between two looks at its socket.
//!
//! A sleep and a wake cost as much as a dozen forwarded packets, whatever the shard then finds. So a shard with little to do
//! looks once in an interval. The more it has to do, the less there is to save: its turns are long, so that datagrams gather
//! behind them unasked, and what waits for a look waits for the turn after it too. There the interval shrinks, down to none.
//! A shard that is nearly full lets more gather than ever, so that several packets for one listener leave as one message, and it
//! bears more. An operator who wants fewer and larger messages whatever there is to do, or the earliest ones, fixes the interval.

use std::time::Duration;

/// From one look at the socket to the next under a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coalescing {
    /// A millisecond where there is little to do, nothing from half of the shard's time on, and up to five where it is nearly
    /// full.
    #[default]
    Adaptive,
    /// So long, whatever there is to do; with no time at all the shard wakes for each datagram.
    Fixed(Duration),
}

/// From look to look where there is little to do. Sleeping as long after each turn was measured at 10 000 and 30 000 datagrams a
/// second, in per cent of a core: 7.1 and 8.2 with 250 µs, 5.9 and 7.7 with 500 µs, 2.5 and 4.4 with 1 ms, 27 and 51 without.
/// From look to look it is a little more, and what waits, waits half as long.
const INTERVAL: Duration = Duration::from_millis(1);

/// Up to this share of its time at work a shard lets datagrams gather for the whole interval: a fifth of a core, what 600
/// listeners of one voice each take, of which a wake for each packet would be a large part.
const WHOLE_TO: f32 = 0.2;

/// From this share on nothing gathers: what is on the way when a turn ends is on the average half a turn old by then, and a
/// shard of which half is idle can pay for the wakes.
const NONE_FROM: f32 = 0.5;

/// The longest that a shard chooses which is nearly full: with so much gathered, a copy of a picture's packet costs a fifth less,
/// and what a listener waits is less than where a queue builds up.
const HOLD_MAX: Duration = Duration::from_millis(5);

/// From this share on a shard holds packets back: below, it has room for whatever comes in a moment.
const HOLD_FROM: f32 = 0.7;

/// From this share on it holds them for the whole time; one that is full never sleeps, since its turns are longer than that.
const HOLD_WHOLE_FROM: f32 = 0.85;

/// A shorter rest is none: the sleep and its wake take twenty microseconds of work, and the kernel may end it fifty late.
const REST_MIN: Duration = Duration::from_micros(100);

/// Looks that the share is taken over: some tens of milliseconds, so that no burst decides.
const LOOKS: f32 = 32.0;

/// What one look counts for at the most, so that no long turn decides either, nor one in which the host stood still, nor the
/// turns without a sleep between them of a shard that had fallen behind, which count as one, nor a night without a call.
const LOOK_MAX: Duration = Duration::from_millis(8);

/// How datagrams gather, and how busy the shard was lately.
#[derive(Debug)]
pub(super) struct Coalescer {
    coalescing: Coalescing,
    /// Seconds at work, each look's weighing a thirty-second less than that of the next.
    worked: f32,
    /// Seconds altogether, weighed alike.
    passed: f32,
}

impl Coalescer {
    pub(super) fn new(coalescing: Coalescing) -> Self {
        Self { coalescing, worked: 0.0, passed: 0.0 }
    }

    /// Counts a look: the sleep of `slept` before it, and what `worked` until the next sleep.
    pub(super) fn count(&mut self, slept: Duration, worked: Duration) {
        let passed = (slept + worked).as_secs_f32();
        let weight = LOOK_MAX.as_secs_f32() / passed.max(LOOK_MAX.as_secs_f32());
        self.worked += worked.as_secs_f32() * weight - self.worked / LOOKS;
        self.passed += passed * weight - self.passed / LOOKS;
    }

    /// Whether datagrams come so closely that letting them gather pays, where the next came after a sleep of `slept`.
    pub(super) fn is_streaming(&self, slept: Duration) -> bool {
        let interval = match self.coalescing {
            Coalescing::Adaptive => INTERVAL,
            Coalescing::Fixed(interval) => interval,
        };
        slept < interval
    }

    /// How long to sleep after a turn that took `worked`, so that the next look comes an interval after the last one.
    pub(super) fn rest(&self, worked: Duration) -> Duration {
        match self.coalescing {
            Coalescing::Adaptive => {
                let share = if self.passed > 0.0 { self.worked / self.passed } else { 0.0 };
                let idleness = ((NONE_FROM - share) / (NONE_FROM - WHOLE_TO)).clamp(0.0, 1.0);
                let fullness = ((share - HOLD_FROM) / (HOLD_WHOLE_FROM - HOLD_FROM)).clamp(0.0, 1.0);
                let interval = INTERVAL.mul_f32(idleness) + HOLD_MAX.mul_f32(fullness);
                Some(interval.saturating_sub(worked)).filter(|rest| *rest >= REST_MIN).unwrap_or_default()
            }
            Coalescing::Fixed(interval) => interval.saturating_sub(worked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard that has looked some hundreds of times once a millisecond, each turn `worked` long.
    fn after(coalescing: Coalescing, worked: Duration) -> Coalescer {
        let mut coalescer = Coalescer::new(coalescing);
        for _ in 0..300 {
            coalescer.count(INTERVAL.saturating_sub(worked), worked);
        }
        coalescer
    }

    #[test]
    fn a_shard_with_little_to_do_looks_once_an_interval() {
        for micros in [1, 50, 190] {
            let worked = Duration::from_micros(micros);
            assert_eq!(after(Coalescing::Adaptive, worked).rest(worked), INTERVAL - worked);
        }
    }

    #[test]
    fn the_busier_a_shard_the_less_gathers_and_from_half_on_nothing_until_it_is_nearly_full() {
        let rests = [200, 300, 400]
            .map(|micros| after(Coalescing::Adaptive, Duration::from_micros(micros)).rest(Duration::ZERO));
        assert!(rests.is_sorted_by(|before, after| before > after), "{rests:?}");
        for micros in [500, 600, 690] {
            assert_eq!(after(Coalescing::Adaptive, Duration::from_micros(micros)).rest(Duration::ZERO), Duration::ZERO);
        }
    }

    #[test]
    fn a_shard_that_is_nearly_full_holds_packets_back_and_one_that_is_full_never_sleeps() {
        let rests = [720, 760, 800].map(|micros| {
            let worked = Duration::from_micros(micros);
            after(Coalescing::Adaptive, worked).rest(worked)
        });
        assert!(rests.is_sorted_by(|before, after| before < after), "{rests:?}");
        assert!(rests.iter().all(|rest| *rest < HOLD_MAX));
        let worked = Duration::from_millis(6);
        assert_eq!(after(Coalescing::Adaptive, worked).rest(worked), Duration::ZERO);
    }

    #[test]
    fn a_rest_that_costs_more_than_it_saves_is_none() {
        let coalescer = after(Coalescing::Adaptive, Duration::from_micros(100));
        assert_eq!(coalescer.rest(INTERVAL - REST_MIN), REST_MIN);
        assert_eq!(coalescer.rest(INTERVAL - REST_MIN / 2), Duration::ZERO);
    }

    #[test]
    fn no_single_look_decides_however_long_and_a_lasting_load_does_both_ways() {
        let quiet = Duration::from_micros(50);
        for long in [12, 200, 10_000].map(Duration::from_millis) {
            let mut coalescer = after(Coalescing::Adaptive, quiet);
            coalescer.count(Duration::ZERO, long);
            assert!(coalescer.rest(quiet) > INTERVAL / 2, "{long:?}");
            for _ in 0..300 {
                coalescer.count(Duration::ZERO, long);
            }
            assert_eq!(coalescer.rest(long), Duration::ZERO);
            assert_eq!(coalescer.rest(Duration::ZERO), HOLD_MAX);
            coalescer.count(long, quiet);
            assert!(coalescer.rest(Duration::ZERO) > HOLD_MAX / 2, "{long:?}");
            for _ in 0..300 {
                coalescer.count(INTERVAL, quiet);
            }
            assert_eq!(coalescer.rest(Duration::ZERO), INTERVAL);
        }
    }

    #[test]
    fn a_fixed_interval_stays_whatever_there_is_to_do() {
        let interval = Duration::from_millis(5);
        for worked in [10, 700, 4000].map(Duration::from_micros) {
            assert_eq!(after(Coalescing::Fixed(interval), worked).rest(worked), interval - worked);
        }
        let full = after(Coalescing::Fixed(interval), Duration::from_millis(7));
        assert_eq!(full.rest(Duration::from_millis(7)), Duration::ZERO);
    }

    #[test]
    fn without_an_interval_nothing_gathers_and_nothing_counts_as_a_stream() {
        let coalescer = after(Coalescing::Fixed(Duration::ZERO), Duration::from_micros(10));
        assert_eq!(coalescer.rest(Duration::ZERO), Duration::ZERO);
        assert!(!coalescer.is_streaming(Duration::ZERO));
    }
}
