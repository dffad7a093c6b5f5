//! Durations in a histogram with bounded error, and their summary.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest duration that is told apart, in nanoseconds: a minute. Longer ones count as that.
const LONGEST_NS: u64 = 60_000_000_000;
/// The shortest that is told apart: a microsecond.
const SHORTEST_NS: u64 = 1_000;
/// Significant digits: an error of a thousandth.
const DIGITS: u8 = 3;

/// Durations from a microsecond to a minute.
#[derive(Clone, Debug)]
pub struct Durations(Histogram<u64>);

/// What a table shows of many durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many there were.
    pub count: u64,
    /// The shortest.
    pub min_ms: f64,
    /// Their mean.
    pub mean_ms: f64,
    /// Half were no longer.
    pub p50_ms: f64,
    /// 90 % were no longer.
    pub p90_ms: f64,
    /// 99 % were no longer.
    pub p99_ms: f64,
    /// 99.9 % were no longer.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Default for Durations {
    fn default() -> Self {
        // The bounds are good ones; a histogram that grows by itself would serve as well.
        let bounded = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS);
        Self(bounded.unwrap_or_else(|_| unreachable!("the bounds are constants")))
    }
}

impl Durations {
    /// Notes a duration in nanoseconds.
    pub fn note_ns(&mut self, duration_ns: u64) {
        self.0.saturating_record(duration_ns);
    }

    /// Notes a duration.
    pub fn note(&mut self, duration: Duration) {
        self.note_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Notes how late a thing was that should happen every `interval`: while it waited, those after it waited too.
    pub fn note_expected(&mut self, duration: Duration, interval: Duration) {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Longer than a minute is a minute.
        let _ = self.0.record_correct(ns(duration).min(LONGEST_NS), ns(interval));
    }

    /// Takes those of another.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The duration, in milliseconds, that a share of them does not exceed.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e6
    }

    /// Their summary; zeros where there are none.
    pub fn summary(&self) -> Summary {
        if self.is_empty() {
            return Summary::default();
        }
        Summary {
            count: self.0.len(),
            min_ms: self.0.min() as f64 / 1e6,
            mean_ms: self.0.mean() / 1e6,
            p50_ms: self.quantile_ms(0.5),
            p90_ms: self.quantile_ms(0.9),
            p99_ms: self.quantile_ms(0.99),
            p999_ms: self.quantile_ms(0.999),
            max_ms: self.0.max() as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_shares_of_what_was_noted() {
        let (mut odd, mut even) = (Durations::default(), Durations::default());
        for ms in 1..=1000u64 {
            let half = if ms % 2 == 0 { &mut even } else { &mut odd };
            half.note(Duration::from_millis(ms));
        }
        odd.add(&even);
        let summary = odd.summary();
        assert_eq!(summary.count, 1000);
        for (found, expected) in [(summary.p50_ms, 500.0), (summary.p99_ms, 990.0), (summary.max_ms, 1000.0)] {
            assert!((found - expected).abs() < expected / 500.0, "{found} is not {expected}");
        }
        odd.note(Duration::from_secs(3600));
        assert!(odd.summary().max_ms < 61_000.0);
        odd.clear();
        assert_eq!(odd.summary(), Summary::default());
    }
}
