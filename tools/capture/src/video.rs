//! Which video codec payloads have: the fields of each format's descriptor are held against the frame boundaries that
//! timestamps and markers show, and the first key frame against its format's own signs.
//!
//! The descriptors are the engine's to read; here it is asked which reader a stream satisfies all along.

use engine::wire::payload::{PayloadHead, read};
use shard_protocol::tables::PayloadFormat;

use crate::codec::{Codec, MISFITS_MAX};
use crate::stream::CapturedPacket;

/// Packets without a key frame among them that are enough for a guess: random ones pass no format's rules so often.
const PACKETS_MIN: u32 = 8;

/// Bytes at the front of a key frame that its signs are looked for in: descriptor, scalability structure, parameter sets.
const FRONT_BYTES: usize = 48;

/// Where a packet stands in its frame, as far as its neighbours tell.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// Whether the packet is its frame's first; unknown behind a lost packet.
    is_first: Option<bool>,
    /// Whether it is its frame's last: the marker, in all video formats.
    is_last: bool,
}

/// How well a stream keeps to one format.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    packets: u32,
    misfits: u32,
    /// Whether a key frame shows its format's own signs.
    is_proven: bool,
}

/// The codec whose rules `packets` keep to.
pub(crate) fn guess<'a>(packets: impl Iterator<Item = &'a CapturedPacket>) -> Option<Codec> {
    let fits = fits(packets);
    let proven = fits.iter().find(|(_, fit)| fit.is_proven && fit.is_good());
    let plausible = || fits.iter().filter(|(_, fit)| fit.packets >= PACKETS_MIN && fit.is_good());
    // The first of those that fit best.
    proven.or_else(|| plausible().min_by_key(|(_, fit)| fit.misfits)).map(|&(codec, _)| codec)
}

/// The codec of `packets` that show a key frame of it.
pub(crate) fn guess_short<'a>(packets: impl Iterator<Item = &'a CapturedPacket>) -> Option<Codec> {
    fits(packets).iter().find(|(_, fit)| fit.is_proven && fit.is_good()).map(|&(codec, _)| codec)
}

impl Fit {
    fn is_good(self) -> bool {
        self.packets > 0 && f64::from(self.misfits) <= MISFITS_MAX * f64::from(self.packets)
    }
}

fn fits<'a>(packets: impl Iterator<Item = &'a CapturedPacket>) -> [(Codec, Fit); 4] {
    let mut fits = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1].map(|codec| (codec, Fit::default()));
    let mut before: Option<&CapturedPacket> = None;
    for packet in packets {
        let neighbour = before.filter(|before| packet.place == before.place + 1);
        before = Some(packet);
        if packet.payload.is_empty() {
            continue;
        }
        let is_first = neighbour.map(|neighbour| neighbour.ticks != packet.ticks);
        let position = Position { is_first, is_last: packet.marker };
        for (codec, fit) in &mut fits {
            fit.packets += 1;
            match keeps_to(*codec, &packet.payload, position) {
                Some(head) => fit.is_proven |= head.starts_key_frame && shows_key_frame(*codec, &packet.payload),
                None => fit.misfits += 1,
            }
        }
    }
    fits
}

/// Reads a payload that keeps to the rules of a format, those that browsers keep to among them.
fn keeps_to(codec: Codec, payload: &[u8], position: Position) -> Option<PayloadHead> {
    let first = *payload.first()?;
    let is_first = |expected: bool| position.is_first.is_none_or(|is_first| is_first == expected);
    let is_set = |bit: u8| first & bit != 0;
    let (format, keeps) = match codec {
        Codec::Vp8 => {
            // R, R and RSV are 0; S with partition 0 begins a frame and nothing else.
            let reserved = is_set(0x48) || is_set(0x80) && payload.get(1).is_none_or(|second| second & 0x0f != 0);
            (PayloadFormat::Vp8, !reserved && is_first(first & 0x17 == 0x10))
        }
        Codec::Vp9 => {
            // I is always there; B begins and E ends a frame, of each spatial layer if there are several.
            let begins = is_set(0x08) || is_first(false);
            let ends = is_set(0x04) || !position.is_last;
            (PayloadFormat::Vp9, is_set(0x80) && begins && ends)
        }
        Codec::H264 => {
            // F is 0; a later part begins no frame, and one that is not the last ends none.
            let is_part = first & 0x1f == 28;
            let part = payload.get(1).copied().unwrap_or_default();
            let begins = !is_part || part & 0x80 != 0 || is_first(false);
            let ends = !is_part || part & 0x40 != 0 || !position.is_last;
            (PayloadFormat::H264, !is_set(0x80) && begins && ends)
        }
        Codec::Av1 => {
            // The reserved bits are 0; Z continues a unit, Y leaves one to be continued.
            let begins = !is_set(0x80) || is_first(false);
            let ends = !is_set(0x40) || !position.is_last;
            (PayloadFormat::Av1, first & 0x07 == 0 && begins && ends)
        }
        Codec::Opus | Codec::Static(_) => return None,
    };
    read(format, payload, None).ok().filter(|_| keeps)
}

/// Whether what seems to start a key frame has the signs of one.
fn shows_key_frame(codec: Codec, payload: &[u8]) -> bool {
    let front = payload.get(..FRONT_BYTES).unwrap_or(payload);
    match codec {
        // RFC 6386 section 9.1, the start code; the VP9 bitstream's section 6.2, the sync code.
        Codec::Vp8 => front.windows(3).any(|code| code == [0x9d, 0x01, 0x2a]),
        Codec::Vp9 => front.windows(3).any(|code| code == [0x49, 0x83, 0x42]),
        // A sequence parameter set: its header, a profile that there is, a level that there is.
        Codec::H264 => front.windows(4).any(|unit| {
            unit[0] & 0x9f == 7
                && matches!(unit[1], 66 | 77 | 88 | 100 | 110 | 122 | 244)
                && (9..=62).contains(&unit[3])
        }),
        // A sequence header, behind its length unless it is the one unit.
        Codec::Av1 => {
            let is_sequence = |header: u8| header & 0x80 == 0 && header >> 3 & 0x0f == 1;
            let is_alone = front[0] >> 4 & 3 == 1;
            let header = if is_alone { front.get(1) } else { front.get(2) };
            header.is_some_and(|&header| is_sequence(header))
        }
        Codec::Opus | Codec::Static(_) => false,
    }
}
