//! Places in a stream: which were seen, and where an arrival stands among them.

/// Places below the highest that a repeat is told from a late first arrival in; as many as fit in a word.
const WINDOW: u64 = 128;

/// The places of a stream that were seen, as far back as can be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    highest: Option<u64>,
    /// Bit `n` stands for the place `n` below the highest.
    seen: u128,
}

/// Where an arrival stands among those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing came before it.
    First,
    /// So many places after the highest.
    Ahead(u64),
    /// After a later one, and new.
    Late,
    /// It had been seen, or is too old to tell.
    Repeat,
}

impl Window {
    /// The highest place that was seen.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The place that a sequence number stands for: the nearest to the highest seen (RFC 3550 A.1, without its
    /// probation). The first is put one cycle up, so that what comes late before it stays above zero.
    pub fn extend(&self, sequence: u16) -> u64 {
        let highest = self.highest.unwrap_or(1 << 16 | u64::from(sequence));
        let step = sequence.wrapping_sub(highest as u16) as i16;
        highest.saturating_add_signed(step.into())
    }

    /// Notes an arrival at `place`.
    pub fn note(&mut self, place: u64) -> Place {
        let Some(highest) = self.highest else {
            (self.highest, self.seen) = (Some(place), 1);
            return Place::First;
        };
        if place > highest {
            let steps = place - highest;
            self.seen = if steps < WINDOW { self.seen << steps } else { 0 } | 1;
            self.highest = Some(place);
            return Place::Ahead(steps);
        }
        // What is too old to tell is taken for a repeat: a network of a test holds nothing back for so long.
        let age = highest - place;
        let bit = if age < WINDOW { 1 << age } else { 0 };
        if bit == 0 || self.seen & bit != 0 {
            return Place::Repeat;
        }
        self.seen |= bit;
        Place::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_extended_over_the_wrap_in_both_directions() {
        let mut window = Window::default();
        let places = [(65_534u16, Place::First), (1, Place::Ahead(3)), (65_535, Place::Late), (1, Place::Repeat)];
        for (sequence, place) in places {
            assert_eq!(window.note(window.extend(sequence)), place, "{sequence}");
        }
        assert_eq!(window.highest(), Some((2 << 16) + 1));
    }
}
