//! How far a receiver's decoder has come, as far as a receiver must know it to ask for key frames.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::label::Label;

/// How long a decoder waits for its first key frame before it asks, and asks again: as long as browsers do.
const KEY_FRAME_WAIT: Duration = Duration::from_millis(200);

/// How long one that has begun waits for what it misses. Browsers wait for three seconds; this keeps scenarios short.
const FRAME_WAIT: Duration = Duration::from_secs(1);

/// The packets of one stream up to which all is decoded, and those that came behind a gap.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The first packet that is not decoded, once a key frame was.
    next: Option<u64>,
    /// From `next` on; padding has no label.
    waiting: BTreeMap<u64, Option<Label>>,
    /// Since when nothing was decoded, or when a key frame was asked for since.
    waits_since: Option<Instant>,
}

impl Progress {
    /// Takes a packet; where it made a key frame whole that others were missing before, gives that frame's first number.
    pub(crate) fn on_packet(&mut self, sequence: u64, label: Option<Label>, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| sequence < next) {
            return None;
        }
        self.waiting.insert(sequence, label);
        let whole = label.filter(|label| label.is_key).and_then(|label| self.whole_frame(sequence, label));
        let skipped = whole.filter(|first| self.next.is_none_or(|next| next < *first));
        if skipped.is_some() {
            self.next = skipped;
        }
        let before = self.next;
        while let Some(next) = self.next.filter(|next| self.waiting.contains_key(next)) {
            self.next = Some(next + 1);
        }
        if let Some(next) = self.next {
            self.waiting = self.waiting.split_off(&next);
        }
        if skipped.is_some() || self.next != before {
            self.waits_since = None;
        }
        if self.next.is_none() || !self.waiting.is_empty() {
            self.waits_since.get_or_insert(now);
        }
        skipped
    }

    /// The first number of the frame that a packet is of, where all of it is there.
    fn whole_frame(&self, sequence: u64, label: Label) -> Option<u64> {
        let first = sequence.checked_sub(u64::from(label.packet))?;
        let is_there = |(packet, number): (u16, u64)| {
            let found = self.waiting.get(&number).copied().flatten();
            found.is_some_and(|found| {
                (found.stream(), found.frame, found.packet) == (label.stream(), label.frame, packet)
            })
        };
        (0..label.packets).zip(first..).all(is_there).then_some(first)
    }

    /// When a key frame is to be asked for.
    pub(crate) fn ask_at(&self) -> Option<Instant> {
        self.waits_since.map(|since| since + if self.next.is_some() { FRAME_WAIT } else { KEY_FRAME_WAIT })
    }

    /// Notes that one was asked for.
    pub(crate) fn on_asked(&mut self, now: Instant) {
        self.waits_since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Picture;

    /// The only packet, or one of two, of a frame.
    fn label(frame: u32, packet: u16, packets: u16, is_key: bool) -> Option<Label> {
        Some(Label {
            publisher: 1,
            encoding: 0,
            run: 0,
            index: 0,
            frame,
            packet,
            packets,
            is_key,
            timestamp: 0,
            picture: Picture::default(),
            captured: Duration::ZERO,
        })
    }

    #[test]
    fn a_first_key_frame_is_asked_for_until_it_is_whole() {
        let now = Instant::now();
        let mut progress = Progress::default();
        progress.on_packet(11, label(1, 1, 2, true), now);
        assert_eq!(progress.ask_at(), Some(now + KEY_FRAME_WAIT));
        progress.on_asked(now + KEY_FRAME_WAIT);
        assert_eq!(progress.ask_at(), Some(now + 2 * KEY_FRAME_WAIT));
        assert_eq!(progress.on_packet(10, label(1, 0, 2, true), now), Some(10));
        assert_eq!(progress.ask_at(), None);
    }

    #[test]
    fn a_gap_is_waited_for_until_it_is_filled_or_a_key_frame_makes_it_vain() {
        let now = Instant::now();
        let mut progress = Progress::default();
        progress.on_packet(10, label(1, 0, 1, true), now);
        progress.on_packet(12, label(3, 0, 1, false), now);
        assert_eq!(progress.ask_at(), Some(now + FRAME_WAIT));
        assert_eq!(progress.on_packet(11, None, now), None);
        assert_eq!(progress.ask_at(), None);
        progress.on_packet(14, label(5, 0, 1, false), now);
        assert!(progress.ask_at().is_some());
        assert_eq!(progress.on_packet(16, label(7, 0, 1, true), now), Some(16));
        assert_eq!(progress.ask_at(), None);
    }
}
