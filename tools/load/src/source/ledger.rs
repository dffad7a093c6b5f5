//! What a producer of captured payloads has sent: their hashes and times, for those who verify what arrives.
//!
//! Captured payloads can't say who sent them and when. So the sender notes each here, and the receiver finds it again
//! by its hash. The two may be on different lanes; nothing is locked.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Kind;

/// Packets that are remembered: many seconds of any stream, far more than is ever under way.
const PLACES: u64 = 2048;
/// The oldest of them are not looked at, as they may be written over meanwhile.
const MARGIN: u64 = 64;
/// Bytes at the front of a picture's payload that are not compared: servers write numbers of their own into VP8's
/// descriptor (RFC 7741 4.2), which is at most six bytes long, in front of a frame's first.
const DESCRIPTOR_LEN_MAX: usize = 6;

/// What a producer has sent lately.
#[derive(Debug)]
pub struct Ledger {
    kind: Kind,
    entries: Vec<(AtomicU64, AtomicU64)>,
    count: AtomicU64,
}

/// A packet that was found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place among all that the producer sent, from zero.
    pub counter: u64,
    /// When it was sent, in nanoseconds since the Unix epoch.
    pub sent_at_ns: u64,
}

impl Ledger {
    /// An empty one.
    pub fn new(kind: Kind) -> Self {
        Self { kind, entries: (0..PLACES).map(|_| Default::default()).collect(), count: AtomicU64::new(0) }
    }

    /// Notes a payload that is sent now. Only one thread notes.
    pub fn note(&self, payload: &[u8], sent_at_ns: u64) {
        let count = self.count.load(Ordering::Relaxed);
        let (hash, at_ns) = &self.entries[(count % PLACES) as usize];
        hash.store(self.hash(payload), Ordering::Relaxed);
        at_ns.store(sent_at_ns, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
    }

    /// Finds a payload: at the place that is expected next, then after it, then before; without an expectation, the
    /// latest.
    pub fn find(&self, payload: &[u8], expected: Option<u64>) -> Option<Found> {
        let count = self.count.load(Ordering::Acquire);
        let oldest = count.saturating_sub(PLACES - MARGIN);
        let next = expected.unwrap_or(count).clamp(oldest, count);
        let hash = self.hash(payload);
        let mut places = (next..count).chain((oldest..next).rev());
        let counter = places.find(|place| self.entry(*place).0.load(Ordering::Relaxed) == hash)?;
        Some(Found { counter, sent_at_ns: self.entry(counter).1.load(Ordering::Relaxed) })
    }

    fn entry(&self, place: u64) -> &(AtomicU64, AtomicU64) {
        &self.entries[(place % PLACES) as usize]
    }

    fn hash(&self, payload: &[u8]) -> u64 {
        let compared = match self.kind {
            Kind::Audio => payload,
            Kind::Video => payload.get(DESCRIPTOR_LEN_MAX..).unwrap_or_default(),
        };
        let mut hasher = DefaultHasher::new();
        hasher.write(compared);
        hasher.write_usize(payload.len());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_found_where_it_is_expected_first() {
        let ledger = Ledger::new(Kind::Audio);
        for (at, payload) in [b"one", b"two", b"one", b"ten"].into_iter().enumerate() {
            ledger.note(payload, at as u64);
        }
        let counter = |payload: &[u8], expected| ledger.find(payload, expected).map(|found| found.counter);
        assert_eq!(counter(b"one", Some(0)), Some(0));
        assert_eq!(counter(b"one", Some(1)), Some(2));
        assert_eq!(counter(b"one", Some(4)), Some(2));
        assert_eq!(counter(b"one", None), Some(2));
        assert_eq!(counter(b"six", Some(0)), None);
        assert_eq!(ledger.find(b"ten", Some(3)), Some(Found { counter: 3, sent_at_ns: 3 }));
    }

    #[test]
    fn what_is_long_gone_is_not_found() {
        let ledger = Ledger::new(Kind::Audio);
        ledger.note(b"first", 1);
        (0..PLACES).for_each(|at| ledger.note(b"later", at));
        assert_eq!(ledger.find(b"first", Some(0)), None);
    }

    #[test]
    fn numbers_in_the_descriptor_of_a_picture_are_not_compared() {
        let ledger = Ledger::new(Kind::Video);
        ledger.note(&[0x90, 0x80, 0x81, 0x23, 0x10, 2, 3, 4, 5], 0);
        assert!(ledger.find(&[0x90, 0x80, 0x99, 0x99, 0x10, 2, 3, 4, 5], None).is_some());
        assert!(ledger.find(&[0x90, 0x80, 0x81, 0x23, 0x10, 2, 3, 4, 6], None).is_none());
    }
}
