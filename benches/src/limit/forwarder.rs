//! The bare loop: receive, open once, and for each member of the room copy, seal and send. No look-up, no rewriting.

use std::cmp::Reverse;
use std::os::fd::AsFd;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use socket2::Socket;

use super::LimitError;
use super::messages::{BATCH_MAX, Incoming, Wait};
use super::sender::Sender;
use super::shape::Shape;

/// Bytes of a packet that stay readable: those of an RTP header. Here they hold the stream's number and a counter.
pub(super) const HEADER_LEN: usize = 12;

/// Bytes of AES-GCM's tag.
pub(super) const TAG_LEN: usize = 16;

/// Bytes that a received datagram may have; more than any allowed here.
const SLOT_LEN: usize = 2048;

/// A packet that a turn took.
#[derive(Clone, Copy)]
struct Taken {
    stream: usize,
    room: usize,
    /// Which of its stream's it is in this turn.
    round: usize,
    /// The longer, the earlier: only the last datagram of a message may be shorter than the others.
    len: Reverse<usize>,
    /// Its place in `incoming`.
    at: usize,
}

/// Forwards packets.
pub(super) struct Forwarder {
    pub(super) sender: Sender,
    shape: Shape,
    input: Socket,
    incoming: Incoming,
    /// What a turn took.
    taken: Vec<Taken>,
    /// How many packets of each stream are in it.
    rounds: Vec<usize>,
    /// One for each stream.
    receive_keys: Vec<LessSafeKey>,
    /// One for each member.
    send_keys: Vec<LessSafeKey>,
    counter: u64,
    segments_max: usize,
}

impl Forwarder {
    /// Reads from `input`; a message of the sender takes `segments_max` datagrams.
    pub(super) fn new(shape: Shape, input: Socket, sender: Sender, segments_max: usize) -> Result<Self, LimitError> {
        let keys = |count: usize, first: usize| (first..first + count).map(key).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            sender,
            shape,
            input,
            incoming: Incoming::new(SLOT_LEN),
            taken: Vec::with_capacity(BATCH_MAX),
            rounds: vec![0; shape.streams()],
            receive_keys: keys(shape.streams(), 0)?,
            send_keys: keys(shape.destinations(), shape.streams())?,
            counter: 0,
            segments_max,
        })
    }

    /// A packet of `stream` as its speaker would send it.
    pub(super) fn protect(&self, stream: usize, counter: u64, packet: &mut [u8]) -> Result<(), LimitError> {
        packet[..4].copy_from_slice(&(stream as u32).to_be_bytes());
        packet[4..HEADER_LEN].copy_from_slice(&counter.to_be_bytes());
        seal(&self.receive_keys[stream], counter, packet)
    }

    /// One turn: takes at most `count` packets and forwards them; how many it took.
    pub(super) fn take_turn(&mut self, count: usize, wait: Wait) -> Result<usize, LimitError> {
        let taken = self.incoming.receive(self.input.as_fd(), count, wait).map_err(LimitError::Receive)?;
        self.taken.clear();
        for at in 0..taken {
            let datagram = self.incoming.datagram_mut(at);
            let (header, rest) = datagram.split_first_chunk_mut::<HEADER_LEN>().ok_or(LimitError::Alien)?;
            let [a, b, c, d, counter @ ..] = *header;
            let stream = u32::from_be_bytes([a, b, c, d]) as usize;
            let key = self.receive_keys.get(stream).ok_or(LimitError::Alien)?;
            key.open_in_place(nonce(u64::from_be_bytes(counter)), Aad::from(&*header), rest)
                .map_err(|_| LimitError::Alien)?;
            let (room, round, len) = (self.shape.room(stream), self.rounds[stream], Reverse(datagram.len()));
            self.rounds[stream] += 1;
            self.taken.push(Taken { stream, room, round, len, at });
        }
        self.taken.iter().for_each(|taken| self.rounds[taken.stream] = 0);
        if self.sender.variant.is_segmenting() {
            self.copy_by_destination()?;
        } else {
            self.copy_by_packet()?;
        }
        self.sender.flush()?;
        Ok(taken)
    }

    fn copy_by_packet(&mut self) -> Result<(), LimitError> {
        let Self { shape, sender, incoming, taken, send_keys, counter, .. } = self;
        for &Taken { stream, room, at, .. } in &*taken {
            let (packet, speaker) = (incoming.datagram(at), shape.speaker(stream));
            for member in shape.room_members(room) {
                if member != speaker {
                    *counter += 1;
                    copy(&send_keys[member], *counter, packet, sender.out.append(packet.len()))?;
                    sender.finish(member)?;
                }
            }
        }
        Ok(())
    }

    /// Room by room, and in a room member by member, so that all packets for one are together; one of each stream after the
    /// other, the longest first.
    fn copy_by_destination(&mut self) -> Result<(), LimitError> {
        let Self { shape, sender, incoming, taken, send_keys, counter, segments_max, .. } = self;
        taken.sort_unstable_by_key(|taken| (taken.room, taken.round, taken.len, taken.at));
        for of_room in taken.chunk_by(|one, other| one.room == other.room) {
            for member in shape.room_members(of_room[0].room) {
                for &Taken { stream, at, .. } in of_room {
                    if member == shape.speaker(stream) {
                        continue;
                    }
                    let packet = incoming.datagram(at);
                    if !sender.out.is_joinable(packet.len(), *segments_max) {
                        sender.finish(member)?;
                    }
                    *counter += 1;
                    copy(&send_keys[member], *counter, packet, sender.out.append(packet.len()))?;
                }
                if sender.out.is_writing() {
                    sender.finish(member)?;
                }
            }
        }
        Ok(())
    }
}

#[inline]
fn copy(key: &LessSafeKey, counter: u64, packet: &[u8], out: &mut [u8]) -> Result<(), LimitError> {
    if packet.len() != out.len() {
        return Err(LimitError::Alien);
    }
    let plain_len = packet.len() - TAG_LEN;
    out[..plain_len].copy_from_slice(&packet[..plain_len]);
    seal(key, counter, out)
}

/// Protects what stands between header and tag, as SRTP does (RFC 7714).
#[inline]
fn seal(key: &LessSafeKey, counter: u64, packet: &mut [u8]) -> Result<(), LimitError> {
    let (header, rest) = packet.split_at_mut(HEADER_LEN);
    let (body, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
    let sealed =
        key.seal_in_place_separate_tag(nonce(counter), Aad::from(&*header), body).map_err(|_| LimitError::Key)?;
    tag.copy_from_slice(sealed.as_ref());
    Ok(())
}

/// An expanded key, different for each number.
fn key(number: usize) -> Result<LessSafeKey, LimitError> {
    let bytes = (0x5eed_0000_0000 + number as u128).to_be_bytes();
    UnboundKey::new(&AES_128_GCM, &bytes).map(LessSafeKey::new).map_err(|_| LimitError::Key)
}

/// The counter stands for SSRC, roll-over counter and sequence number.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0x5a; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
