//! Who speaks to whom: rooms, their members, and the order in which rooms are visited.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::LimitError;

/// Members of all rooms together. Each has a connected socket, whose local port is one of the 28 232 that Linux gives out
/// by default.
pub const DESTINATIONS_MAX: usize = 20_000;

/// Rooms of one size. Members have a number across all rooms, and so have streams; the first members of each room speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    rooms: usize,
    members: usize,
    speakers: usize,
}

impl Shape {
    /// Makes a shape of `rooms` with `members` each, of whom `speakers` speak.
    ///
    /// # Errors
    /// A room nobody is in or speaks in, more speakers than members, or more members than [`DESTINATIONS_MAX`] in all.
    pub fn new(rooms: usize, members: usize, speakers: usize) -> Result<Self, LimitError> {
        let refused = |reason: String| Err(LimitError::Shape(reason));
        if rooms == 0 {
            return refused("--rooms 0: at least one room is needed".into());
        }
        if members < 2 {
            return refused(format!("--members {members}: a room needs a speaker and one who hears it, so 2 or more"));
        }
        if !(1..=members).contains(&speakers) {
            return refused(format!("--speakers {speakers}: of {members} members 1 to {members} can speak"));
        }
        match rooms.checked_mul(members) {
            Some(all) if all <= DESTINATIONS_MAX => Ok(Self { rooms, members, speakers }),
            _ => refused(format!(
                "{rooms} rooms of {members} members: at most {DESTINATIONS_MAX} members in all have a socket each; ask \
                 for fewer rooms or members"
            )),
        }
    }

    /// All members of all rooms.
    pub fn destinations(&self) -> usize {
        self.rooms * self.members
    }

    /// All streams that come in.
    pub fn streams(&self) -> usize {
        self.rooms * self.speakers
    }

    /// How often a packet is sent on.
    pub fn copies(&self) -> usize {
        self.members - 1
    }

    /// The room of a stream.
    pub fn room(&self, stream: usize) -> usize {
        stream / self.speakers
    }

    /// The member whose stream it is.
    pub fn speaker(&self, stream: usize) -> usize {
        self.room(stream) * self.members + stream % self.speakers
    }

    /// All members of a room.
    pub fn room_members(&self, room: usize) -> std::ops::Range<usize> {
        room * self.members..(room + 1) * self.members
    }
}

/// Streams in the order of their packets: each once, in an order drawn anew, and so on without end. Between two packets of
/// a room all others come, so that none stays in a cache that does not hold them all.
#[derive(Debug)]
pub struct Visits {
    order: Vec<usize>,
    next: usize,
    random: StdRng,
}

impl Visits {
    /// Visits each of `streams`; their orders are drawn by `seed`.
    pub fn new(streams: usize, seed: u64) -> Self {
        Self { order: (0..streams).collect(), next: streams, random: StdRng::seed_from_u64(seed) }
    }
}

impl Iterator for Visits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.next == self.order.len() {
            self.order.shuffle(&mut self.random);
            self.next = 0;
        }
        self.next += 1;
        self.order.get(self.next - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_reaches_its_own_room_and_not_its_speaker() {
        let shape = Shape::new(3, 4, 2).unwrap();
        assert_eq!((shape.destinations(), shape.streams(), shape.copies()), (12, 6, 3));
        for stream in 0..shape.streams() {
            let members = shape.room_members(shape.room(stream));
            assert_eq!(members.len(), 4);
            assert!(members.contains(&shape.speaker(stream)));
        }
        let speakers: Vec<_> = (0..6).map(|stream| shape.speaker(stream)).collect();
        assert_eq!(speakers, [0, 1, 4, 5, 8, 9]);
    }

    #[test]
    fn a_shape_that_cannot_be_is_refused_with_its_number() {
        for (rooms, members, speakers, named) in
            [(0, 2, 1, "--rooms 0"), (1, 1, 1, "--members 1"), (1, 3, 0, "--speakers 0"), (1, 3, 4, "--speakers 4")]
        {
            let refusal = Shape::new(rooms, members, speakers).unwrap_err().to_string();
            assert!(refusal.contains(named), "{refusal}");
        }
        assert!(Shape::new(usize::MAX, 3, 1).is_err());
        assert!(Shape::new(1, DESTINATIONS_MAX, 1).is_ok());
        assert!(Shape::new(2, DESTINATIONS_MAX, 1).is_err());
    }

    #[test]
    fn each_pass_visits_every_stream_once_in_another_order() {
        let visits: Vec<_> = Visits::new(100, 7).take(300).collect();
        assert_ne!(visits[..100], visits[100..200]);
        assert_ne!(visits[..100], (0..100).collect::<Vec<_>>()[..]);
        for pass in visits.chunks(100) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, (0..100).collect::<Vec<_>>());
        }
        assert_eq!(visits, Visits::new(100, 7).take(300).collect::<Vec<_>>());
    }
}
