//! Whether sequence numbers go on as those of RTP do, and what each one stands for: RFC 3550 appendix A.1.

/// Forward steps that are still the same run of numbers: A.1's `MAX_DROPOUT`, a minute of lost voice.
const DROPOUT_MAX: u16 = 3000;

/// How far behind the latest a packet may come: A.1's `MAX_MISORDER`.
const MISORDER_MAX: u16 = 100;

/// Places below the highest that are remembered, in the bits of a word.
const WINDOW: u16 = 128;
const _: () = assert!(MISORDER_MAX < WINDOW);

/// What a sequence number is among those before it; `place` is the number without wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The next, or a later one with others missing between.
    Ahead { place: i64 },
    /// One that was missing.
    Late { place: i64 },
    /// One that was there.
    Repeat,
    /// It does not fit. If the packet after it goes on from here, the stream began anew.
    Wild,
}

/// The sequence numbers of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbering {
    highest: i64,
    /// The highest as it stood on the wire.
    highest_sequence: u16,
    /// Bit `n` stands for the place `n` below the highest.
    seen: u128,
    /// The first place since the stream began, or began anew.
    floor: i64,
}

impl Numbering {
    /// Begins with `sequence`, at place 0.
    pub(crate) fn new(sequence: u16) -> Self {
        // What was overtaken by the first captured packet is of this run too.
        Self { highest: 0, highest_sequence: sequence, seen: 1, floor: i64::MIN }
    }

    /// Whether `next` goes on from `sequence`.
    pub(crate) fn is_next(sequence: u16, next: u16) -> bool {
        (1..DROPOUT_MAX).contains(&next.wrapping_sub(sequence))
    }

    /// Whether `other` is `sequence` or was overtaken by it.
    pub(crate) fn is_near(sequence: u16, other: u16) -> bool {
        sequence.wrapping_sub(other) <= MISORDER_MAX
    }

    /// Takes the next packet's number.
    pub(crate) fn note(&mut self, sequence: u16) -> Verdict {
        let step = sequence.wrapping_sub(self.highest_sequence);
        if Self::is_next(self.highest_sequence, sequence) {
            self.highest += i64::from(step);
            self.highest_sequence = sequence;
            self.seen = if step < WINDOW { self.seen << step } else { 0 } | 1;
            return Verdict::Ahead { place: self.highest };
        }
        let behind = step.wrapping_neg();
        let place = self.highest - i64::from(behind);
        if behind > MISORDER_MAX || place < self.floor {
            return Verdict::Wild;
        }
        let bit = 1 << behind;
        if self.seen & bit != 0 {
            return Verdict::Repeat;
        }
        self.seen |= bit;
        Verdict::Late { place }
    }

    /// Begins anew with `sequence`, right behind all that was before, and tells its place.
    pub(crate) fn restart(&mut self, sequence: u16) -> i64 {
        let place = self.highest + 1;
        *self = Self { highest: place, highest_sequence: sequence, seen: 1, floor: place };
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(first: u16, rest: &[u16]) -> Vec<Verdict> {
        let mut numbering = Numbering::new(first);
        rest.iter().map(|&sequence| numbering.note(sequence)).collect()
    }

    #[test]
    fn numbers_are_unwrapped_in_both_directions() {
        use Verdict::{Ahead, Late, Repeat};
        assert_eq!(
            verdicts(65_534, &[0, 65_535, 65_533, 65_535, 3, 1]),
            [Ahead { place: 2 }, Late { place: 1 }, Late { place: -1 }, Repeat, Ahead { place: 5 }, Late { place: 3 }]
        );
    }

    #[test]
    fn jumps_are_wild_up_to_their_limits() {
        use Verdict::{Ahead, Late, Wild};
        assert_eq!(verdicts(0, &[2999]), [Ahead { place: 2999 }]);
        assert_eq!(verdicts(0, &[3000]), [Wild]);
        assert_eq!(verdicts(200, &[100]), [Late { place: -100 }]);
        assert_eq!(verdicts(200, &[99]), [Wild]);
    }

    #[test]
    fn a_stream_that_begins_anew_goes_on_by_one() {
        let mut numbering = Numbering::new(7);
        assert_eq!(numbering.note(8), Verdict::Ahead { place: 1 });
        assert_eq!(numbering.restart(40_000), 2);
        assert_eq!(numbering.note(40_001), Verdict::Ahead { place: 3 });
        // Nothing comes from before.
        assert_eq!(numbering.note(39_999), Verdict::Wild);
        assert_eq!(numbering.note(40_000), Verdict::Repeat);
    }
}
