//! When each peer wants to be looked at next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::keys::PeerKey;

/// The deadlines of a shard's peers, soonest first.
///
/// A peer has one deadline that counts; it keeps it itself and is told when an entry comes up that no longer counts.
/// An entry is added only where it is sooner than the one that counts, so stale entries stay few.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, PeerKey)>>,
}

impl Timers {
    /// Enters a deadline.
    pub(super) fn push(&mut self, at: Instant, peer: PeerKey) {
        self.heap.push(Reverse((at, peer)));
    }

    /// The soonest deadline.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out an entry that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, PeerKey)> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
