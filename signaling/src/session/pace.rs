//! How fast one connection may ask, and when it has gone too far.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Requests a second in the long run. A client that joins a room of forty makes about a hundred, once.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// Requests at once: joining a room of ninety.
const BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// Bytes that count as one request: a frame counts once for each such piece that it begins. All requests of a call but
/// `join` fit in one piece, and `join` in two. Without this, 50 frames of the largest size would keep the one thread of
/// signaling busy for half of each second.
const PIECE_LEN: usize = 16 * 1024;

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
    /// Counts a frame of `len` bytes in.
    pub(super) fn handle_frame(&mut self, len: usize, now: Instant) -> Pace {
        let pieces = u32::try_from(len / PIECE_LEN).unwrap_or(u32::MAX).saturating_add(1);
        // No frame has more pieces than the burst, so that none is refused for ever.
        let pieces = NonZeroU32::new(pieces).map_or(BURST, |pieces| pieces.min(BURST));
        let Ok(Err(not_until)) = self.limiter.check_n(pieces) else { return Pace::Fine };
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
        let paces: Vec<Pace> = (0..2000).map(|_| pacer.handle_frame(100, now)).collect();
        assert!(paces[..200].iter().all(|&pace| pace == Pace::Fine));
        let refused = paces.iter().find_map(|pace| match pace {
            Pace::TooFast { retry_after_ms } => Some(*retry_after_ms),
            _ => None,
        });
        assert!((1..=21).contains(&refused.unwrap()));
    }

    #[test]
    fn large_frames_count_as_many_requests() {
        let mut pacer = Pacer::default();
        let now = Instant::now();
        let passed = (0..200).filter(|_| pacer.handle_frame(crate::wire::FRAME_LEN_MAX, now) == Pace::Fine).count();
        assert!((11..=13).contains(&passed), "{passed} frames of 17 pieces in a burst of 200 pieces");
        assert_eq!(Pacer::default().handle_frame(usize::MAX, now), Pace::Fine);
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
