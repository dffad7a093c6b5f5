//! Roll-over counters and replay windows (RFC 3711 sections 3.3.1 and 3.3.2).

use super::{RTP_INDEX_END, SrtpError};
use crate::wire::sequence::{PacketIndex, SeqNo};

/// What one stream has received under one key: the highest index, and which of those shortly before it.
///
/// [`Self::estimate`] → [`Self::check`] → authenticate → [`Self::accept`]. Only `accept` changes anything, so a forged
/// packet never moves the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    highest: Option<PacketIndex>,
    /// Bit n stands for the index n below the highest.
    seen: u128,
}

/// Width of the window. RFC 3711 section 3.3.2 demands 64 at least; at 2000 packets a second of a large screen this still
/// spans 64 ms of reordering.
const WINDOW: u64 = u128::BITS as u64;

/// Half of the sequence number's range.
const SEQ_HALF: u16 = 1 << 15;

impl ReplayWindow {
    /// The most likely index of a packet that says `seq`: the one nearest to the highest accepted, but never before the
    /// stream's first (RFC 3711 section 3.3.1 and appendix A). The roll-over counter is 0 until something was accepted.
    pub fn estimate(&self, seq: SeqNo) -> PacketIndex {
        let Some(highest) = self.highest else { return PacketIndex(u64::from(seq.0)) };
        let rollover = highest.0 >> 16;
        let highest_seq = highest.0 as u16;
        let guess = if highest_seq < SEQ_HALF {
            // A sequence number far ahead belongs to the round before, where there was one.
            if seq.0.saturating_sub(highest_seq) > SEQ_HALF { rollover.saturating_sub(1) } else { rollover }
        } else if highest_seq - SEQ_HALF > seq.0 {
            rollover + 1
        } else {
            rollover
        };
        PacketIndex(guess << 16 | u64::from(seq.0))
    }

    /// Whether a packet of this index may still be accepted: not seen before, not older than the window, and below the
    /// last index of a key.
    pub fn check(&self, index: PacketIndex) -> Result<(), SrtpError> {
        if index.0 >= RTP_INDEX_END {
            return Err(SrtpError::Replayed);
        }
        let Some(highest) = self.highest else { return Ok(()) };
        let Some(age) = highest.0.checked_sub(index.0) else { return Ok(()) };
        if age >= WINDOW || self.seen >> age & 1 != 0 {
            return Err(SrtpError::Replayed);
        }
        Ok(())
    }

    /// Notes an authenticated packet that passed [`Self::check`].
    pub fn accept(&mut self, index: PacketIndex) {
        let Some(highest) = self.highest else {
            *self = Self { highest: Some(index), seen: 1 };
            return;
        };
        if index > highest {
            let step = index.0 - highest.0;
            self.seen = if step < WINDOW { self.seen << step | 1 } else { 1 };
            self.highest = Some(index);
        } else if highest.0 - index.0 < WINDOW {
            self.seen |= 1 << (highest.0 - index.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn window_at(index: u64) -> ReplayWindow {
        let mut window = ReplayWindow::default();
        window.accept(PacketIndex(index));
        window
    }

    #[test]
    fn an_index_is_estimated_nearest_to_the_highest_accepted() {
        assert_eq!(ReplayWindow::default().estimate(SeqNo(65_535)), PacketIndex(65_535));
        for (highest, seq, index) in [
            (0, 1, 1),
            (0, 32_768, 32_768),
            (65_535, 0, 0x1_0000),
            (65_535, 32_766, 0x1_7ffe),
            (65_535, 32_767, 32_767),
            (0x1_0000, 65_535, 65_535),
            (0x1_0005, 65_000, 65_000),
            (0x1_7fff, 0xffff, 0x1_ffff),
            (0x1_8000, 0, 0x1_0000),
            (0x1_8001, 0, 0x2_0000),
            // Before the first round there is none.
            (5, 65_534, 65_534),
        ] {
            assert_eq!(window_at(highest).estimate(SeqNo(seq)), PacketIndex(index), "{highest:#x} {seq:#x}");
        }
    }

    #[test]
    fn a_replayed_packet_is_dropped_inside_the_window_and_behind_it() {
        let mut window = window_at(1000);
        assert_eq!(window.check(PacketIndex(1000)), Err(SrtpError::Replayed));
        assert_eq!(window.check(PacketIndex(1000 - WINDOW)), Err(SrtpError::Replayed));
        assert_eq!(window.check(PacketIndex(1000 - WINDOW + 1)), Ok(()));
        window.accept(PacketIndex(1000 - WINDOW + 1));
        assert_eq!(window.check(PacketIndex(1000 - WINDOW + 1)), Err(SrtpError::Replayed));
        window.accept(PacketIndex(1000 + WINDOW));
        assert_eq!(window.check(PacketIndex(1000)), Err(SrtpError::Replayed));
        assert_eq!(window.check(PacketIndex(1001)), Ok(()));
    }

    #[test]
    fn a_replayed_packet_is_dropped_after_the_sequence_number_wraps() {
        let mut window = window_at(65_534);
        for seq in [65_535, 0, 1] {
            let index = window.estimate(SeqNo(seq));
            assert_eq!(window.check(index), Ok(()));
            window.accept(index);
            assert_eq!(window.check(window.estimate(SeqNo(seq))), Err(SrtpError::Replayed));
        }
        assert_eq!(window.estimate(SeqNo(1)), PacketIndex(0x1_0001));
        assert_eq!(window.check(window.estimate(SeqNo(65_534))), Err(SrtpError::Replayed));
    }

    #[test]
    fn a_key_that_is_worn_out_takes_no_packet_any_more() {
        let window = window_at(RTP_INDEX_END - 1);
        let index = window.estimate(SeqNo(0));
        assert_eq!(index, PacketIndex(RTP_INDEX_END));
        assert_eq!(window.check(index), Err(SrtpError::Replayed));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set_of_everything_seen(
            start in 0u64..200_000,
            steps in proptest::collection::vec(-300i64..300, 1..400),
        ) {
            let mut window = ReplayWindow::default();
            let mut seen = HashSet::new();
            let mut highest = start;
            for step in std::iter::once(0).chain(steps) {
                let index = highest.saturating_add_signed(step);
                let expected = !seen.contains(&index) && index + WINDOW > highest;
                prop_assert_eq!(window.check(PacketIndex(index)).is_ok(), expected);
                if expected {
                    window.accept(PacketIndex(index));
                    seen.insert(index);
                    highest = highest.max(index);
                }
            }
        }

        #[test]
        fn an_index_within_half_a_round_is_always_found_again(highest in 0u64..1 << 40, step in -32_767i64..32_767) {
            let Some(index) = highest.checked_add_signed(step) else { return Ok(()) };
            prop_assert_eq!(window_at(highest).estimate(SeqNo(index as u16)), PacketIndex(index));
        }
    }
}
