//! When the packets of one transport arrived, by their transport-wide sequence numbers, until that has been told
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::Duration;

use crate::wire::sequence::SeqNo;

/// Packets between two tellings at most: 100 ms of 40 Mbit/s; what is more is not told.
pub const ARRIVALS_MAX: usize = 512;

/// How far back a late packet is told of again together with all that came after it: what a network overtakes.
const LATE_MAX: u64 = 256;

/// The arrivals that are to be told.
#[derive(Debug)]
pub struct Arrivals {
    /// By the lower bits of the extended number. Since an epoch that the caller keeps.
    at: Box<[Option<Duration>]>,
    /// The first number that has not been told of, extended.
    first: u64,
    /// The number after the newest, extended; `first` where there is nothing to tell.
    end: u64,
    is_begun: bool,
}

impl Default for Arrivals {
    fn default() -> Self {
        // Extended numbers begin high enough for the first packet to have stragglers before it.
        Self { at: vec![None; ARRIVALS_MAX].into_boxed_slice(), first: 1 << 16, end: 1 << 16, is_begun: false }
    }
}

impl Arrivals {
    /// Notes that the packet with the number `sequence` came `since_epoch`.
    pub fn on_packet(&mut self, sequence: SeqNo, since_epoch: Duration) {
        let number = self.extend(sequence);
        if !self.is_begun {
            (self.first, self.end, self.is_begun) = (number, number, true);
        }
        if number >= self.end {
            if number - self.first >= ARRIVALS_MAX as u64 {
                // Told of too seldom, or a jump: what is in between is lost to the telling.
                self.first = number;
                self.at.fill(None);
            } else {
                (self.end..number).for_each(|skipped| self.set(skipped, None));
            }
            self.end = number + 1;
        } else if number < self.first {
            // The ring still has what came after it.
            let is_kept = self.first - number <= LATE_MAX && self.end - number <= ARRIVALS_MAX as u64;
            if !is_kept {
                return;
            }
            self.first = number;
        }
        self.set(number, Some(since_epoch));
    }

    /// Whether there is something to tell.
    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// The first number to tell of, and into `room` the arrivals from it on, as many as there are and fit.
    pub fn untold<'a>(&self, room: &'a mut [Option<Duration>]) -> (SeqNo, &'a [Option<Duration>]) {
        let len = room.len().min((self.end - self.first) as usize);
        for (place, number) in room.iter_mut().zip(self.first..self.end) {
            *place = self.at.get(number as usize % ARRIVALS_MAX).copied().flatten();
        }
        (SeqNo(self.first as u16), room.get(..len).unwrap_or_default())
    }

    /// Notes that the first `count` have been told.
    pub fn on_told(&mut self, count: usize) {
        self.first = (self.first + count as u64).min(self.end);
    }

    fn set(&mut self, number: u64, at: Option<Duration>) {
        if let Some(place) = self.at.get_mut(number as usize % ARRIVALS_MAX) {
            *place = at;
        }
    }

    /// The extended number nearest to the newest.
    fn extend(&self, sequence: SeqNo) -> u64 {
        let step = sequence.0.wrapping_sub(self.end as u16) as i16;
        self.end.saturating_add_signed(i64::from(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn tell(arrivals: &mut Arrivals) -> (u16, Vec<Option<u64>>) {
        let mut room = [None; ARRIVALS_MAX];
        let (first, told) = arrivals.untold(&mut room);
        let told: Vec<_> = told.iter().map(|at| at.map(|at| at.as_millis() as u64)).collect();
        arrivals.on_told(told.len());
        (first.0, told)
    }

    #[test]
    fn every_number_is_told_of_in_order_over_the_wrap_and_what_is_missing_too() {
        let mut arrivals = Arrivals::default();
        arrivals.on_packet(SeqNo(0xfffe), ms(1));
        arrivals.on_packet(SeqNo(1), ms(2));
        arrivals.on_packet(SeqNo(0), ms(3));
        assert_eq!(tell(&mut arrivals), (0xfffe, vec![Some(1), None, Some(3), Some(2)]));
        assert!(arrivals.is_empty());
        arrivals.on_packet(SeqNo(3), ms(4));
        assert_eq!(tell(&mut arrivals), (2, vec![None, Some(4)]));
    }

    #[test]
    fn one_that_was_told_missing_and_comes_is_told_of_again_with_all_after_it() {
        let mut arrivals = Arrivals::default();
        for (sequence, at) in [(10, 1), (12, 2)] {
            arrivals.on_packet(SeqNo(sequence), ms(at));
        }
        tell(&mut arrivals);
        arrivals.on_packet(SeqNo(11), ms(3));
        assert_eq!(tell(&mut arrivals), (11, vec![Some(3), Some(2)]));
    }

    #[test]
    fn a_jump_begins_anew_and_a_part_can_be_told() {
        let mut arrivals = Arrivals::default();
        arrivals.on_packet(SeqNo(0), ms(1));
        arrivals.on_packet(SeqNo(30_000), ms(2));
        arrivals.on_packet(SeqNo(30_001), ms(3));
        let mut room = [None; 1];
        assert_eq!(arrivals.untold(&mut room), (SeqNo(30_000), &[Some(ms(2))][..]));
        arrivals.on_told(1);
        assert_eq!(tell(&mut arrivals), (30_001, vec![Some(3)]));
        // Far behind: of another time.
        arrivals.on_packet(SeqNo(29_000), ms(9));
        assert!(arrivals.is_empty());
    }
}
