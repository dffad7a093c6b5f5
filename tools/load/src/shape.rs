//! The shape of a run: who sits in which room, what each sends, and who speaks when. Pure: the same seed gives the same
//! plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The mean length of a turn at talk. Conversations have turns of a few seconds (ITU-T P.59 has talk spurts of 1.0 s
/// within them).
const TURN_MEAN: Duration = Duration::from_secs(4);
/// No turn is shorter: a shorter one is an interjection, and tells nothing about a server.
const TURN_MIN: Duration = Duration::from_millis(600);
/// No turn is longer, so that in a run of a minute everybody's turn may come.
const TURN_MAX: Duration = Duration::from_secs(20);

/// What those send who do not speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Silent {
    /// Nothing.
    None,
    /// A comfort frame every 400 ms, as Opus does with discontinuous transmission.
    Dtx,
}

/// What a run consists of.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// Rooms.
    pub rooms: usize,
    /// Participants of each room.
    pub participants: usize,
    /// Those of each room who have a microphone.
    pub microphones: usize,
    /// Those of each room who speak at any time.
    pub speakers: usize,
    /// Those of each room who send a camera.
    pub cameras: usize,
    /// Those of each room who share a screen.
    pub screens: usize,
    /// What those send who do not speak.
    pub silent: Silent,
    /// Of the participants who listen, this share has every packet authenticated and checked; at least one of each
    /// room.
    pub verified_share: f64,
    /// How long the run is measured.
    #[serde(skip)]
    pub duration: Duration,
    /// What the chances of the plan follow from.
    pub seed: u64,
}

/// A span of time, from the first to the second.
pub type Span = (Duration, Duration);

/// One participant's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The room, from zero.
    pub room: usize,
    /// The place in the room, from zero.
    pub place: usize,
    /// It has a microphone.
    pub has_microphone: bool,
    /// When it speaks, in order, without overlap.
    pub turns: Vec<Span>,
    /// It sends a camera.
    pub has_camera: bool,
    /// It shares a screen.
    pub has_screen: bool,
    /// Every packet that it is sent is authenticated and checked.
    pub is_verified: bool,
}

impl Seat {
    /// It speaks at `time`.
    pub fn is_speaking(&self, time: Duration) -> bool {
        let begun = self.turns.partition_point(|turn| turn.0 <= time);
        begun.checked_sub(1).and_then(|last| self.turns.get(last)).is_some_and(|turn| time < turn.1)
    }
}

impl Shape {
    /// All participants, room by room.
    pub fn participants_total(&self) -> usize {
        self.rooms * self.participants
    }

    /// Streams that all participants together are to be sent: of each room, every producer's to everybody else.
    pub fn streams_total(&self) -> u64 {
        let producers = self.microphones.min(self.participants) + self.cameras + self.screens;
        (self.rooms * producers * self.participants.saturating_sub(1)) as u64
    }

    /// Lays the run out; turns are planned for `horizon`, which is as long as anybody sends.
    pub fn plan(&self, horizon: Duration) -> Vec<Seat> {
        (0..self.rooms).flat_map(|room| self.plan_room(room, horizon)).collect()
    }

    fn plan_room(&self, room: usize, horizon: Duration) -> Vec<Seat> {
        // A room's chances are its own, so that more rooms do not change the first ones.
        let mut rng = StdRng::seed_from_u64(self.seed ^ (room as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut turns = self.plan_turns(&mut rng, horizon);
        // The last place is verified in any case, and the others make up the share.
        let others = self.participants.saturating_sub(1).max(1) as f64;
        let share = ((self.verified_share * self.participants as f64 - 1.0) / others).clamp(0.0, 1.0);
        (0..self.participants)
            .map(|place| Seat {
                room,
                place,
                has_microphone: place < self.microphones,
                turns: turns.get_mut(place).map(std::mem::take).unwrap_or_default(),
                has_camera: place < self.cameras,
                has_screen: place < self.screens,
                // The last place hears those with cameras, who have the first.
                is_verified: place + 1 == self.participants || rng.random_bool(share),
            })
            .collect()
    }

    fn plan_turns(&self, rng: &mut StdRng, horizon: Duration) -> Vec<Vec<Span>> {
        let mut turns = vec![Vec::new(); self.microphones.min(self.participants)];
        if self.speakers >= turns.len() {
            turns.iter_mut().for_each(|turns| turns.push((Duration::ZERO, horizon)));
            return turns;
        }
        let mut waiting: Vec<usize> = (0..turns.len()).collect();
        let mut talking = BinaryHeap::new();
        let mut begin = |at: Duration, waiting: &mut Vec<usize>, talking: &mut BinaryHeap<_>, rng: &mut StdRng| {
            let place = waiting.swap_remove(rng.random_range(0..waiting.len()));
            let until = (at + turn_len(rng)).min(horizon);
            turns[place].push((at, until));
            talking.push(Reverse((until, place)));
        };
        for _ in 0..self.speakers {
            begin(Duration::ZERO, &mut waiting, &mut talking, rng);
        }
        while let Some(Reverse((until, place))) = talking.pop() {
            if until >= horizon {
                break;
            }
            // Who has just spoken is not the next.
            begin(until, &mut waiting, &mut talking, rng);
            waiting.push(place);
        }
        turns
    }
}

/// Exponential, as talk spurts nearly are, within bounds.
fn turn_len(rng: &mut StdRng) -> Duration {
    let chance: f64 = rng.random_range(f64::EPSILON..1.0);
    TURN_MEAN.mul_f64(-chance.ln()).clamp(TURN_MIN, TURN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(participants: usize, speakers: usize, seed: u64) -> Shape {
        Shape {
            rooms: 3,
            participants,
            microphones: participants,
            speakers,
            cameras: 1,
            screens: 0,
            silent: Silent::Dtx,
            verified_share: 0.1,
            duration: Duration::from_secs(30),
            seed,
        }
    }

    proptest! {
        #[test]
        fn as_many_speak_at_every_time_as_were_asked_for(
            participants in 2usize..12, speakers in 0usize..12, seed: u64, at_ms in 0u64..30_000,
        ) {
            let plan = shape(participants, speakers, seed).plan(Duration::from_secs(30));
            for room in 0..3 {
                let at = Duration::from_millis(at_ms);
                let speaking = plan.iter().filter(|seat| seat.room == room && seat.is_speaking(at)).count();
                prop_assert_eq!(speaking, speakers.min(participants));
                prop_assert!(plan.iter().any(|seat| seat.room == room && seat.is_verified));
            }
        }

        #[test]
        fn turns_of_one_are_in_order_without_overlap(seed: u64) {
            for seat in shape(5, 2, seed).plan(Duration::from_secs(60)) {
                prop_assert!(seat.turns.iter().all(|turn| turn.0 < turn.1));
                prop_assert!(seat.turns.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            }
        }
    }

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another() {
        let horizon = Duration::from_secs(60);
        let plan = shape(10, 2, 7).plan(horizon);
        assert_eq!(plan, shape(10, 2, 7).plan(horizon));
        assert_ne!(plan, shape(10, 2, 8).plan(horizon));
        let more_rooms = Shape { rooms: 9, ..shape(10, 2, 7) }.plan(horizon);
        assert_eq!(plan[..], more_rooms[..plan.len()]);
    }
}
