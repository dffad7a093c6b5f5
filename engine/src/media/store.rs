//! What a producer has sent lately, kept once for all its consumers, to be sent again to those who missed some.
//!
//! A packet is kept opened and as the publisher sent it; each retransmission is a consumer's own copy, made anew.

use shard_protocol::limits::RETRANSMISSION_STORE_LEN;

use super::rewrite::RunId;
use crate::wire::sequence::PacketIndex;

/// Packets that are found: as many as fill the bytes where they are of 512 bytes, half of the usual.
const ENTRIES: usize = 1024;

const _: () = assert!(ENTRIES.is_power_of_two());

#[derive(Clone, Copy, Debug)]
struct Entry {
    clock: u32,
    index: PacketIndex,
    /// Bytes that had been written before it since the beginning.
    start: u64,
    len: u16,
}

/// The packets of one producer, the newest of them, in a ring of bytes.
#[derive(Debug)]
pub struct RetransmissionStore {
    bytes: Box<[u8]>,
    /// By the lower bits of index and clock.
    entries: Box<[Option<Entry>]>,
    /// Bytes written since the beginning, those that were left free at the end of a round counted in.
    written: u64,
}

impl Default for RetransmissionStore {
    fn default() -> Self {
        Self {
            bytes: vec![0; RETRANSMISSION_STORE_LEN].into_boxed_slice(),
            entries: vec![None; ENTRIES].into_boxed_slice(),
            written: 0,
        }
    }
}

impl RetransmissionStore {
    /// Keeps `packet`, which has `index` in the stream of `id`, and forgets the oldest ones for it.
    pub fn push(&mut self, id: RunId, index: PacketIndex, packet: &[u8]) {
        let ring_len = self.bytes.len() as u64;
        let left = ring_len - self.written % ring_len;
        if left < packet.len() as u64 {
            self.written += left;
        }
        let start = (self.written % ring_len) as usize;
        let Some(room) = self.bytes.get_mut(start..start + packet.len()) else { return };
        room.copy_from_slice(packet);
        // A datagram is shorter than 65 536 bytes.
        let entry = Entry { clock: id.clock, index, start: self.written, len: packet.len() as u16 };
        self.written += packet.len() as u64;
        if let Some(place) = self.entries.get_mut(place(id.clock, index)) {
            *place = Some(entry);
        }
    }

    /// The packet that had `index` in the stream of `id`, if it is still here.
    pub fn packet(&self, id: RunId, index: PacketIndex) -> Option<&[u8]> {
        let entry = self.entries.get(place(id.clock, index))?.as_ref()?;
        let ring_len = self.bytes.len() as u64;
        let is_it = entry.clock == id.clock && entry.index == index && self.written - entry.start <= ring_len;
        let start = (entry.start % ring_len) as usize;
        self.bytes.get(start..start + usize::from(entry.len)).filter(|_| is_it)
    }
}

/// Streams of one producer lie apart, so that their packets of the same number do not push each other out.
fn place(clock: u32, index: PacketIndex) -> usize {
    (index.0 as usize).wrapping_add(clock as usize * (ENTRIES / 3)) % ENTRIES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(clock: u32) -> RunId {
        RunId { run: 0, clock }
    }

    #[test]
    fn the_newest_packets_are_found_and_older_ones_never_as_something_else() {
        let mut store = RetransmissionStore::default();
        let packet = |index: u64| vec![index as u8; 1100 + (index % 100) as usize];
        for index in 0..2000 {
            store.push(id(0), PacketIndex(index), &packet(index));
        }
        let found = (0..2000).filter(|&index| {
            let found = store.packet(id(0), PacketIndex(index));
            assert!(found.is_none_or(|found| found == packet(index)));
            found.is_some()
        });
        let found: Vec<_> = found.collect();
        assert!(found.len() > RETRANSMISSION_STORE_LEN / 1200 - 2);
        assert!(found.iter().rev().zip((0..2000).rev()).all(|(found, expected)| *found == expected));
        assert_eq!(store.packet(id(1), PacketIndex(1999)), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_kept(
            steps in prop::collection::vec((0u32..3, 0u64..5, 0usize..2049), 1..2000)
        ) {
            let mut store = RetransmissionStore::default();
            let mut indices = [0; 3];
            let mut kept = std::collections::HashMap::new();
            for (step, (clock, ahead, len)) in steps.into_iter().enumerate() {
                let index = &mut indices[clock as usize];
                *index += ahead;
                let packet = vec![step as u8; len];
                store.push(id(clock), PacketIndex(*index), &packet);
                prop_assert_eq!(store.packet(id(clock), PacketIndex(*index)), Some(&packet[..]));
                kept.insert((clock, *index), packet);
            }
            for ((clock, index), packet) in kept {
                prop_assert!(store.packet(id(clock), PacketIndex(index)).is_none_or(|found| found == packet));
            }
        }
    }
}
