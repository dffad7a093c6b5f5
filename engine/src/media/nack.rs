//! What of a publisher's stream has not come, and when to ask for it again (RFC 4585 section 6.2.1).

use std::time::{Duration, Instant};

use crate::wire::sequence::PacketIndex;

/// Packets that are missed at one time. Two thirds of a second of the fastest stream that browsers send; who misses more
/// needs a new key frame and not all of that.
pub const MISSING_MAX: usize = 256;

/// How long a packet may be overtaken by others before it counts as lost. Networks reorder within milliseconds; asking for
/// what is under way costs the publisher's bandwidth.
const REORDERING_WAIT: Duration = Duration::from_millis(10);

/// The least time between two tries: an answer that is under way is not to be asked for again.
const RETRY_MIN: Duration = Duration::from_millis(20);

/// The most, so that a wrong idea of the round trip does not end recovery.
const RETRY_MAX: Duration = Duration::from_millis(250);

/// Tries for one packet: at a loss of 30 % each way, all but one in a thousand come by then. libwebrtc makes as many.
const TRIES_MAX: u8 = 10;

/// A round trip where none has been measured yet.
const ROUND_TRIP_DEFAULT: Duration = Duration::from_millis(100);

/// A packet that has not come.
#[derive(Clone, Copy, Debug)]
struct Missing {
    index: PacketIndex,
    due_at: Instant,
    tries: u8,
}

/// The missing packets of one stream.
#[derive(Debug)]
pub struct NackList {
    /// In the order of their indices; never more than its capacity.
    missing: Vec<Missing>,
}

/// There were too many to ask for: only a key frame helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMissing;

impl Default for NackList {
    fn default() -> Self {
        Self { missing: Vec::with_capacity(MISSING_MAX) }
    }
}

impl NackList {
    /// Notes that all packets between `newest`, which had come, and `index`, which has now, have not.
    ///
    /// # Errors
    /// Where they are too many; then nothing is missing any more.
    pub fn on_step(&mut self, newest: PacketIndex, index: PacketIndex, now: Instant) -> Result<(), TooManyMissing> {
        let gap = index.0.saturating_sub(newest.0 + 1);
        if gap == 0 {
            return Ok(());
        }
        if gap > (MISSING_MAX - self.missing.len()) as u64 {
            self.missing.clear();
            return Err(TooManyMissing);
        }
        let due_at = now + REORDERING_WAIT;
        self.missing.extend((newest.0 + 1..index.0).map(|index| Missing {
            index: PacketIndex(index),
            due_at,
            tries: 0,
        }));
        Ok(())
    }

    /// Notes that `index` has come after all.
    pub fn on_straggler(&mut self, index: PacketIndex) {
        if let Ok(place) = self.missing.binary_search_by_key(&index, |missing| missing.index) {
            self.missing.remove(place);
        }
    }

    /// Whether `index` is missed.
    pub fn contains(&self, index: PacketIndex) -> bool {
        self.missing.binary_search_by_key(&index, |missing| missing.index).is_ok()
    }

    /// When [`Self::take_due`] has something to give.
    pub fn next_at(&self) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.due_at).min()
    }

    /// Hands the packets that are due to `ask` in their order, as long as it takes them; each is due again a round trip
    /// later, until it has been tried often enough. Gives the last of those that are given up: they will not come any more.
    pub fn take_due(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        mut ask: impl FnMut(PacketIndex) -> bool,
    ) -> Option<PacketIndex> {
        // Half as much again, for the jitter of the answer.
        let retry = (round_trip.unwrap_or(ROUND_TRIP_DEFAULT) * 3 / 2).clamp(RETRY_MIN, RETRY_MAX);
        for missing in self.missing.iter_mut().filter(|missing| missing.due_at <= now) {
            if missing.tries < TRIES_MAX && !ask(missing.index) {
                break;
            }
            missing.tries += 1;
            missing.due_at = now + retry;
        }
        let mut given_up = None;
        self.missing.retain(|missing| {
            let is_kept = missing.tries <= TRIES_MAX;
            given_up = if is_kept { given_up } else { Some(missing.index) };
            is_kept
        });
        given_up
    }

    /// Forgets everything: nothing of it is wanted any more.
    pub fn clear(&mut self) {
        self.missing.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(list: &mut NackList, now: Instant) -> Vec<u64> {
        let mut asked = Vec::new();
        list.take_due(now, Some(Duration::from_millis(40)), |index| {
            asked.push(index.0);
            true
        });
        asked
    }

    #[test]
    fn what_is_overtaken_for_a_moment_is_not_asked_for() {
        let now = Instant::now();
        let mut list = NackList::default();
        list.on_step(PacketIndex(10), PacketIndex(13), now).unwrap();
        assert!(list.contains(PacketIndex(11)) && !list.contains(PacketIndex(13)));
        list.on_straggler(PacketIndex(11));
        assert!(!list.contains(PacketIndex(11)));
        assert!(due(&mut list, now + REORDERING_WAIT / 2).is_empty());
        assert_eq!(due(&mut list, now + REORDERING_WAIT), [12]);
        list.on_straggler(PacketIndex(12));
        assert_eq!(list.next_at(), None);
    }

    #[test]
    fn a_packet_is_asked_for_once_a_round_trip_and_not_for_ever() {
        let mut now = Instant::now();
        let mut list = NackList::default();
        list.on_step(PacketIndex(10), PacketIndex(12), now).unwrap();
        let mut tries = 0;
        while let Some(at) = list.next_at() {
            assert!(tries == 0 || at == now + Duration::from_millis(60));
            now = at;
            tries += due(&mut list, now).len();
        }
        assert_eq!(tries, usize::from(TRIES_MAX));
    }

    #[test]
    fn a_gap_that_is_too_wide_empties_the_list() {
        let now = Instant::now();
        let mut list = NackList::default();
        list.on_step(PacketIndex(0), PacketIndex(MISSING_MAX as u64), now).unwrap();
        assert_eq!(list.on_step(PacketIndex(MISSING_MAX as u64), PacketIndex(1 << 40), now), Err(TooManyMissing));
        assert_eq!(list.next_at(), None);
    }

    #[test]
    fn what_found_no_room_stays_due() {
        let now = Instant::now();
        let mut list = NackList::default();
        list.on_step(PacketIndex(0), PacketIndex(4), now).unwrap();
        let later = now + REORDERING_WAIT;
        list.take_due(later, None, |index| index.0 == 1);
        assert_eq!(due(&mut list, later), [2, 3]);
    }
}
