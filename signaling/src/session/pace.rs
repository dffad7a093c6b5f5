//! How fast one connection may ask, and when it has gone too far.

use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Requests a second in the long run. A client that joins a room of forty makes about a hundred, once.
const REQUESTS_PER_SECOND: std::num::NonZeroU32 = std::num::NonZeroU32::new(50).unwrap();

/// Requests at once: joining a room of ninety.
const BURST: std::num::NonZeroU32 = std::num::NonZeroU32::new(200).unwrap();

/// How long a connection may go on asking too much before it is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A refusal this long after the one before begins a new offence.
const CALM: Duration = Duration::from_secs(1);

/// What is to be done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It is within the limits.
    Fine,
    /// It is refused; another try is worth it after this time.
    TooFast {
        /// Milliseconds.
        retry_after_ms: u64,
    },
    /// The connection is closed.
    Enough,
}

/// The limits of one connection.
pub(super) struct Pacer {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
    offence: Offence,
}

impl Default for Pacer {
    fn default() -> Self {
        let limiter = RateLimiter::direct(Quota::per_second(REQUESTS_PER_SECOND).allow_burst(BURST));
        Self { limiter, clock: DefaultClock::default(), offence: Offence::default() }
    }
}

impl Pacer {
    /// Counts a frame in.
    pub(super) fn handle_frame(&mut self, now: Instant) -> Pace {
        let Err(not_until) = self.limiter.check() else { return Pace::Fine };
        if self.offence.handle_refusal(now) {
            return Pace::Enough;
        }
        let wait = not_until.wait_time_from(self.clock.now());
        // Rounded up: a client that waits exactly that long is not refused again.
        Pace::TooFast { retry_after_ms: wait.as_millis() as u64 + 1 }
    }
}

/// A time of refusals close to one another.
#[derive(Default)]
struct Offence {
    /// Its first and its last refusal.
    span: Option<(Instant, Instant)>,
}

impl Offence {
    /// Counts a refusal; whether patience is at its end.
    fn handle_refusal(&mut self, now: Instant) -> bool {
        let since = match self.span {
            Some((since, last)) if now.saturating_duration_since(last) <= CALM => since,
            _ => now,
        };
        self.span = Some((since, now));
        now.saturating_duration_since(since) >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_more_is_refused_with_a_time_to_wait() {
        let mut pacer = Pacer::default();
        let now = Instant::now();
        let paces: Vec<Pace> = (0..2000).map(|_| pacer.handle_frame(now)).collect();
        assert!(paces[..200].iter().all(|&pace| pace == Pace::Fine));
        let refused = paces.iter().find_map(|pace| match pace {
            Pace::TooFast { retry_after_ms } => Some(*retry_after_ms),
            _ => None,
        });
        assert!((1..=21).contains(&refused.unwrap()));
    }

    #[test]
    fn ten_seconds_of_refusals_are_enough_and_a_calm_second_is_forgiven() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut offence = Offence::default();
        assert!((0..99).all(|step| !offence.handle_refusal(at(step * 100))));
        assert!(offence.handle_refusal(at(10_000)));
        let mut offence = Offence::default();
        for step in 0..50 {
            assert!(!offence.handle_refusal(at(step * 100)));
        }
        assert!(!offence.handle_refusal(at(6_000)));
        assert!((0..99).all(|step| !offence.handle_refusal(at(6_000 + step * 100))));
    }
}
