//! How long a shard lets datagrams gather between two looks at its socket.
//!
//! A sleep and a wake cost as much as a dozen forwarded packets, whatever the shard then finds. So a shard with little to do
//! looks once in an interval. The more it has to do, the less there is to save: its turns are long, so that datagrams gather
//! behind them unasked, and what waits for a look waits for the turn after it too. There the interval shrinks, down to none.

use std::time::Duration;

/// From one look at the socket to the next under a stream at the most. Sleeping as long after each turn was measured at 10 000
/// and 30 000 datagrams a second, in per cent of a core: 7.1 and 8.2 with 250 µs, 5.9 and 7.7 with 500 µs, 2.5 and 4.4 with
/// 1 ms, 27 and 51 without. From look to look it is a little more, and what waits, waits half as long.
pub const GATHER_DEFAULT: Duration = Duration::from_millis(1);

/// Up to this share of its time at work a shard lets datagrams gather for the whole interval: a fifth of a core, what 600
/// listeners of one voice each take, of which a wake for each packet would be a large part.
const WHOLE_TO: f32 = 0.2;

/// From this share on nothing gathers: what is on the way when a turn ends is on the average half a turn old by then, and a
/// shard of which half is idle can pay for the wakes. They do not lower what it can bear, for one that is full never sleeps.
const NONE_FROM: f32 = 0.5;

/// Looks that the share is taken over: a few milliseconds under load, so that neither one long turn nor one burst decides.
const LOOKS: f32 = 32.0;

/// The interval, and how busy the shard was lately.
#[derive(Debug)]
pub(super) struct Gather {
    interval: Duration,
    /// Seconds at work, each look's weighing a thirty-second less than that of the next.
    worked: f32,
    /// Seconds altogether, weighed alike.
    passed: f32,
}

impl Gather {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, worked: 0.0, passed: 0.0 }
    }

    /// Counts a turn that took `worked` and the sleep of `slept` before it.
    pub(super) fn count(&mut self, slept: Duration, worked: Duration) {
        self.worked += worked.as_secs_f32() - self.worked / LOOKS;
        self.passed += (slept + worked).as_secs_f32() - self.passed / LOOKS;
    }

    /// Whether datagrams come so closely that letting them gather pays, where one look was `apart` from the next.
    pub(super) fn is_streaming(&self, apart: Duration) -> bool {
        apart < self.interval
    }

    /// How long to sleep after a turn that took `worked`, so that the next look comes an interval after the last one.
    pub(super) fn rest(&self, worked: Duration) -> Duration {
        if self.passed <= 0.0 {
            return Duration::ZERO;
        }
        let share = self.worked / self.passed;
        let idleness = ((NONE_FROM - share) / (NONE_FROM - WHOLE_TO)).clamp(0.0, 1.0);
        self.interval.mul_f32(idleness).saturating_sub(worked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(1);

    /// What a shard does that wakes once an interval for some hundreds of looks, each turn `worked` long.
    fn gather_of(worked: Duration) -> Gather {
        let mut gather = Gather::new(INTERVAL);
        for _ in 0..300 {
            gather.count(INTERVAL.saturating_sub(worked), worked);
        }
        gather
    }

    #[test]
    fn a_shard_with_little_to_do_looks_once_an_interval() {
        for micros in [1, 50, 190] {
            let worked = Duration::from_micros(micros);
            assert_eq!(gather_of(worked).rest(worked), INTERVAL - worked);
        }
    }

    #[test]
    fn the_busier_a_shard_the_less_gathers_and_from_half_on_nothing() {
        let rests = [200, 300, 400].map(|micros| gather_of(Duration::from_micros(micros)).rest(Duration::ZERO));
        assert!(rests.is_sorted_by(|before, after| before > after), "{rests:?}");
        for micros in [500, 700, 1000, 5000] {
            assert_eq!(gather_of(Duration::from_micros(micros)).rest(Duration::ZERO), Duration::ZERO);
        }
    }

    #[test]
    fn one_long_turn_does_not_end_the_gathering_and_a_lasting_load_does_both_ways() {
        let (quiet, long) = (Duration::from_micros(50), Duration::from_millis(2));
        let mut gather = gather_of(quiet);
        gather.count(Duration::ZERO, long);
        assert!(gather.rest(Duration::ZERO) > INTERVAL / 2);
        for _ in 0..100 {
            gather.count(Duration::ZERO, long);
        }
        assert_eq!(gather.rest(Duration::ZERO), Duration::ZERO);
        for _ in 0..300 {
            gather.count(INTERVAL, quiet);
        }
        assert_eq!(gather.rest(Duration::ZERO), INTERVAL);
    }

    #[test]
    fn without_an_interval_nothing_gathers_and_nothing_counts_as_a_stream() {
        let mut gather = Gather::new(Duration::ZERO);
        assert_eq!(gather.rest(Duration::ZERO), Duration::ZERO);
        gather.count(INTERVAL, Duration::from_micros(10));
        assert_eq!(gather.rest(Duration::ZERO), Duration::ZERO);
        assert!(!gather.is_streaming(Duration::ZERO));
    }
}
