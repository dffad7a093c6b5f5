//! Which packets a receiver misses and when it asks for them, as browsers do: at once when a later one comes, then once a
//! round trip.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a packet is asked for before it is given up.
const TIMES_MAX: u8 = 10;

/// How old a missing packet may grow before it is given up.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The shortest time between two requests for one packet.
const RETRY_INTERVAL_MIN: Duration = Duration::from_millis(20);

/// Missing packets at most; with more, only a key frame helps.
const MISSING_MAX: usize = 1000;

/// The packets of one stream that are missing.
#[derive(Debug)]
pub(crate) struct Losses {
    retry_interval: Duration,
    newest: Option<u64>,
    missing: BTreeMap<u64, Missing>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    asked_at: Option<Instant>,
    times: u8,
}

impl Losses {
    /// Nothing is missing; requests are repeated each `round_trip`.
    pub(crate) fn new(round_trip: Duration) -> Self {
        Self { retry_interval: round_trip.max(RETRY_INTERVAL_MIN), newest: None, missing: BTreeMap::new() }
    }

    /// The newest packet that came.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Notes that a packet came; `false` where too many are missing now, and all are given up.
    pub(crate) fn on_packet(&mut self, sequence: u64, now: Instant) -> bool {
        self.missing.remove(&sequence);
        let first = self.newest.map_or(sequence, |newest| newest + 1);
        if sequence < first {
            return true;
        }
        self.newest = Some(sequence);
        if self.missing.len() as u64 + (sequence - first) >= MISSING_MAX as u64 {
            self.missing.clear();
            return false;
        }
        let missing = Missing { since: now, asked_at: None, times: 0 };
        self.missing.extend((first..sequence).map(|number| (number, missing)));
        true
    }

    /// Forgets what is missing before a packet.
    pub(crate) fn forget_before(&mut self, sequence: u64) {
        self.missing = self.missing.split_off(&sequence);
    }

    /// When a packet is to be asked for.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.missing.values().map(|missing| self.due_at(missing)).min()
    }

    fn due_at(&self, missing: &Missing) -> Instant {
        missing.asked_at.map_or(missing.since, |at| at + self.retry_interval)
    }

    /// The packets to ask for now; those that were asked for in vain for too long are given up.
    pub(crate) fn poll_requests(&mut self, now: Instant) -> Vec<u64> {
        let retry_interval = self.retry_interval;
        let is_due = |missing: &Missing| missing.asked_at.map_or(missing.since, |at| at + retry_interval) <= now;
        let is_hopeless =
            |missing: &Missing| missing.times >= TIMES_MAX || now.saturating_duration_since(missing.since) > AGE_MAX;
        self.missing.retain(|_, missing| !(is_due(missing) && is_hopeless(missing)));
        let due = self.missing.iter_mut().filter(|(_, missing)| is_due(missing));
        let ask = |(number, missing): (&u64, &mut Missing)| {
            missing.asked_at = Some(now);
            missing.times += 1;
            *number
        };
        due.map(ask).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    #[test]
    fn a_gap_is_asked_for_at_once_and_then_once_a_round_trip_until_it_is_filled() {
        let start = Instant::now();
        let mut losses = Losses::new(ROUND_TRIP);
        losses.on_packet(10, start);
        assert_eq!(losses.poll_timeout(), None);
        losses.on_packet(13, start);
        assert_eq!(losses.poll_requests(start), [11, 12]);
        assert_eq!(losses.poll_timeout(), Some(start + ROUND_TRIP));
        losses.on_packet(12, start + ROUND_TRIP / 2);
        assert!(losses.poll_requests(start + ROUND_TRIP / 2).is_empty());
        assert_eq!(losses.poll_requests(start + ROUND_TRIP), [11]);
        losses.on_packet(11, start + ROUND_TRIP);
        assert_eq!(losses.poll_timeout(), None);
    }

    #[test]
    fn what_never_comes_is_given_up_after_ten_requests_or_a_second() {
        for (round_trip, times) in [(ROUND_TRIP, 10), (Duration::from_millis(300), 4)] {
            let mut now = Instant::now();
            let mut losses = Losses::new(round_trip);
            losses.on_packet(1, now);
            losses.on_packet(3, now);
            for _ in 0..times {
                assert_eq!(losses.poll_requests(now), [2]);
                now += round_trip;
            }
            assert!(losses.poll_requests(now).is_empty());
            assert_eq!(losses.poll_timeout(), None);
        }
    }

    #[test]
    fn a_gap_of_more_than_a_thousand_is_not_asked_for() {
        let now = Instant::now();
        let mut losses = Losses::new(ROUND_TRIP);
        assert!(losses.on_packet(1, now));
        assert!(!losses.on_packet(1002, now));
        assert_eq!((losses.poll_timeout(), losses.newest()), (None, Some(1002)));
    }
}
