//! Streams of retransmissions, RFC 4588 section 4: another SSRC and payload type between the same addresses, the timestamp
//! of the original, and its sequence number before the payload.

use std::collections::HashMap;
use std::sync::Arc;

use engine::wire::rtx::ORIGINAL_LEN;

use crate::stream::CapturedStream;

/// The share of its packets that have to name one of the other stream's frames.
const HITS_MIN: f64 = 0.9;

/// How far from the packets of its frame that were captured a lost one may have stood: frames of more packets are rare.
const FRAME_PACKETS_MAX: u16 = 256;

/// Packets that are looked at; more tell nothing new.
const PACKETS_LOOKED_AT: usize = 500;

/// For each stream, in order, the SSRC of the one whose packets it sends again.
pub(crate) fn originals(streams: &[Arc<CapturedStream>]) -> Vec<Option<u32>> {
    // The frames of a stream are gathered at most once, and only where another one could retransmit it.
    let mut frames: HashMap<usize, HashMap<u32, u16>> = HashMap::new();
    let original = |(place, stream): (usize, &Arc<CapturedStream>)| {
        let candidates = streams.iter().enumerate().filter(|&(other, original)| {
            other != place
                && (original.source, original.destination) == (stream.source, stream.destination)
                && original.payload_type() != stream.payload_type()
                // Sent again is less than was sent.
                && original.packets().len() >= stream.packets().len()
        });
        let mut candidates = candidates;
        candidates.find_map(|(other, original)| {
            let frames = frames.entry(other).or_insert_with(|| sequences_by_timestamp(original));
            names_frames(stream, frames).then_some(original.ssrc)
        })
    };
    streams.iter().enumerate().map(original).collect()
}

/// A sequence number of each frame.
fn sequences_by_timestamp(stream: &CapturedStream) -> HashMap<u32, u16> {
    let packets = stream.packets().iter();
    packets.map(|packet| (wire_timestamp(stream, packet.ticks), wire_sequence(stream, packet.place))).collect()
}

fn names_frames(stream: &CapturedStream, frames: &HashMap<u32, u16>) -> bool {
    let (mut packets, mut hits) = (0u32, 0u32);
    for packet in stream.packets().iter().take(PACKETS_LOOKED_AT) {
        // Padding names nothing.
        let Some(&named) = packet.payload.first_chunk::<ORIGINAL_LEN>() else { continue };
        packets += 1;
        let sequence = frames.get(&wire_timestamp(stream, packet.ticks));
        let is_near = |sequence: &u16| {
            let distance = u16::from_be_bytes(named).wrapping_sub(*sequence).cast_signed();
            distance.unsigned_abs() < FRAME_PACKETS_MAX
        };
        hits += u32::from(sequence.is_some_and(is_near));
    }
    packets > 0 && f64::from(hits) >= HITS_MIN * f64::from(packets)
}

fn wire_timestamp(stream: &CapturedStream, ticks: u64) -> u32 {
    stream.first_timestamp().wrapping_add(ticks as u32)
}

fn wire_sequence(stream: &CapturedStream, place: u64) -> u16 {
    stream.first_sequence().wrapping_add(place as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::tests::{noise, stream_of};

    #[test]
    fn a_stream_that_names_the_packets_of_another_retransmits_it() {
        // Frames of three packets; every tenth packet of them is sent again, some that were lost.
        let media: Vec<_> =
            (0..300u64).map(|n| ((65_500 + n) as u16, 0xffff_0000u32.wrapping_add((n / 3) as u32 * 3000), n)).collect();
        let of = |ssrc, payload_type, packets: Vec<(u16, u32, Vec<u8>)>| {
            let packets = packets.into_iter().map(|(sequence, timestamp, payload)| (0, sequence, timestamp, payload));
            Arc::new(stream_of(ssrc, payload_type, packets))
        };
        let original = |lost: u64| {
            let kept = media.iter().filter(|(.., n)| n % lost != 0);
            of(1, 96, kept.map(|&(sequence, timestamp, n)| (sequence, timestamp, noise(n, 50))).collect())
        };
        let again = media.iter().filter(|(.., n)| n % 10 == 0).enumerate().map(|(place, &(sequence, timestamp, n))| {
            (place as u16, timestamp, [&sequence.to_be_bytes()[..], &noise(n, 50)].concat())
        });
        let again: Vec<_> = again.collect();
        let other = of(3, 111, (0..400u16).map(|n| (n, u32::from(n) * 960, noise(n.into(), 80))).collect());
        for lost in [1000, 10] {
            let streams = [of(2, 97, again.clone()), original(lost), other.clone()];
            assert_eq!(originals(&streams), [Some(1), None, None], "{lost}");
        }
        // Encrypted, its numbers say nothing.
        let encrypted = again.iter().map(|(sequence, timestamp, payload)| {
            (*sequence, *timestamp, noise(u64::from(*sequence) << 20, payload.len()))
        });
        assert_eq!(originals(&[of(2, 97, encrypted.collect()), original(10)]), [None, None]);
    }
}
