//! Which shard a new room goes to: rendezvous hashing with bounded load.
//!
//! Every room has its own fixed order of preference over the shards, and goes to the first that is not overloaded. A room
//! stays where it is until it is empty; another number of shards moves only the rooms that have to move.

use aws_lc_rs::digest::{SHA256, digest};
use shard_protocol::ids::ShardIndex;

use crate::wire::ChannelId;

/// A shard as far as placement looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which.
    pub shard: ShardIndex,
    /// How many participants it serves.
    pub participants: usize,
}

/// Chooses among the shards that take rooms; `None` where there is none.
pub fn place(channel: &ChannelId, seats: &[Seat]) -> Option<ShardIndex> {
    let total: usize = seats.iter().map(|seat| seat.participants).sum();
    // Over 1.25 times the mean, in whole numbers: participants × shards × 4 > total × 5. The least loaded shard is never
    // over the mean, so one is always left.
    let is_overloaded = |seat: &&Seat| seat.participants * seats.len() * 4 > total * 5;
    seats.iter().filter(|seat| !is_overloaded(seat)).map(|seat| seat.shard).max_by_key(|&shard| weight(channel, shard))
}

/// The preference of a room for a shard: the same in every process and every release.
fn weight(channel: &ChannelId, shard: ShardIndex) -> u64 {
    let hash = digest(&SHA256, format!("{channel}:{shard}").as_bytes());
    hash.as_ref().iter().take(8).fold(0, |weight, &byte| weight << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seats(loads: &[usize]) -> Vec<Seat> {
        let seat = |(index, &participants)| Seat { shard: ShardIndex(index as u16), participants };
        loads.iter().enumerate().map(seat).collect()
    }

    fn channel(number: usize) -> ChannelId {
        ChannelId::new(&format!("room-{number}")).unwrap()
    }

    #[test]
    fn rooms_spread_over_idle_shards() {
        let mut counts = [0; 4];
        for number in 0..4000 {
            counts[usize::from(place(&channel(number), &seats(&[0; 4])).unwrap().0)] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_shard_more_moves_rooms_to_it_alone() {
        for number in 0..1000 {
            let before = place(&channel(number), &seats(&[0; 4]));
            let after = place(&channel(number), &seats(&[0; 5]));
            assert!(after == before || after == Some(ShardIndex(4)));
        }
    }

    #[test]
    fn an_overloaded_shard_is_skipped() {
        for number in 0..100 {
            assert_ne!(place(&channel(number), &seats(&[10, 1, 1])), Some(ShardIndex(0)));
        }
    }

    #[test]
    fn the_order_is_the_same_in_every_release() {
        let placed: Vec<_> = (0..8).map(|number| place(&channel(number), &seats(&[0; 3])).unwrap().0).collect();
        assert_eq!(placed, [1, 1, 0, 2, 0, 2, 2, 2]);
    }

    #[test]
    fn no_shard_takes_nothing() {
        assert_eq!(place(&channel(0), &[]), None);
    }

    proptest! {
        #[test]
        fn a_room_always_finds_a_shard_that_is_not_overloaded(loads in prop::collection::vec(0_usize..1000, 1..16)) {
            let seats = seats(&loads);
            let shard = place(&channel(1), &seats).unwrap();
            let chosen = seats.iter().find(|seat| seat.shard == shard).unwrap();
            let mean = loads.iter().sum::<usize>() as f64 / loads.len() as f64;
            prop_assert!(chosen.participants as f64 <= 1.25 * mean + 1e-9);
        }
    }
}
