//! When each peer wants to be looked at next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use shard_protocol::limits::TRANSPORTS_MAX;

use super::keys::PeerKey;

/// Entries that a peer has in the mean, at most: its reports', and those of feedback that became due sooner than thought.
const ENTRIES_PER_PEER: usize = 4;

/// The deadlines of a shard's peers, soonest first.
///
/// A peer has one deadline that counts; it keeps it itself and is told when an entry comes up that no longer counts.
/// An entry is added only where it is sooner than the one that counts. What it replaces stays until its time, a report's
/// interval at most.
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, PeerKey)>>,
}

impl Default for Timers {
    fn default() -> Self {
        Self { heap: BinaryHeap::with_capacity(ENTRIES_PER_PEER * TRANSPORTS_MAX) }
    }
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
