//! When the packets of a paced run come: every speaker at the same interval, each at a moment of its own.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::shape::Shape;

/// The moments of arrival.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    /// Of each stream the moment within the interval, earliest first.
    phases: Vec<(Duration, usize)>,
}

impl Pace {
    /// Gives each stream a moment of the interval, drawn by `seed`.
    pub fn new(shape: Shape, interval: Duration, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let phase = |stream| (interval.mul_f64(random.random_range(0.0..1.0)), stream);
        let mut phases: Vec<_> = (0..shape.streams()).map(phase).collect();
        phases.sort_unstable();
        Self { interval, phases }
    }

    /// All arrivals before `end`, in their order: when, and of which stream.
    pub fn arrivals(&self, end: Duration) -> impl Iterator<Item = (Duration, usize)> + '_ {
        (0u32..)
            .map(|round| self.interval * round)
            .take_while(move |begin| *begin < end)
            .flat_map(|begin| self.phases.iter().map(move |(phase, stream)| (begin + *phase, *stream)))
            .filter(move |(at, _)| *at < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);

    #[test]
    fn each_stream_comes_once_an_interval_at_its_own_moment() {
        let shape = Shape::new(10, 5, 2).unwrap();
        let pace = Pace::new(shape, INTERVAL, 3);
        let arrivals: Vec<_> = pace.arrivals(Duration::from_secs(1)).collect();
        assert_eq!(arrivals.len(), 20 * 50);
        assert!(arrivals.is_sorted_by_key(|(at, _)| *at));
        for stream in 0..shape.streams() {
            let of_stream: Vec<_> = arrivals.iter().filter(|arrival| arrival.1 == stream).map(|(at, _)| *at).collect();
            assert!(of_stream.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL));
        }
        // Phases are spread: the busiest millisecond of twenty does not have half of all.
        let in_first = |slot: u128| arrivals.iter().filter(|(at, _)| at.as_millis() == slot).count();
        assert!((0..20).all(|slot| in_first(slot) < 10));
    }

    #[test]
    fn nothing_comes_at_or_after_the_end() {
        let pace = Pace::new(Shape::new(1, 2, 2).unwrap(), INTERVAL, 3);
        assert!(pace.arrivals(Duration::from_millis(50)).all(|(at, _)| at < Duration::from_millis(50)));
        assert_eq!(pace.arrivals(Duration::ZERO).count(), 0);
    }
}
