//! Streams made of numbers, for the tests of all that looks at streams, and those of their unwrapping.

use super::*;

/// Bytes without a pattern that follow from `seed` (SplitMix64).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_be_bytes()
    });
    words.flatten().take(len).collect()
}

/// A stream of packets (time in nanoseconds, sequence number, timestamp, payload). The last packet of each frame has the
/// marker.
pub(crate) fn stream_of(
    ssrc: u32,
    payload_type: u8,
    packets: impl IntoIterator<Item = (u64, u16, u32, Vec<u8>)>,
) -> CapturedStream {
    let addresses = ("10.0.0.1:5004".parse().unwrap(), "10.0.0.2:5006".parse().unwrap());
    let mut draft = StreamDraft::new(addresses.0, addresses.1, ssrc);
    let mut place = 0i64;
    for (at_ns, sequence, timestamp, payload) in packets {
        if let Some(before) = draft.packets.last_mut() {
            place += i64::from(sequence.wrapping_sub(before.sequence).cast_signed());
            before.marker = before.timestamp != timestamp;
        }
        draft.packets.push(Draft {
            at_ns,
            sequence,
            timestamp,
            marker: true,
            payload_type,
            is_restart: false,
            place,
            payload: payload.into(),
        });
    }
    CapturedStream::new(draft)
}

fn numbers(stream: &CapturedStream) -> Vec<(u64, u64, u64)> {
    stream.packets().iter().map(|packet| (packet.at_ns, packet.place, packet.ticks)).collect()
}

#[test]
fn numbers_count_from_the_lowest_over_their_wraps() {
    let packets = [(50, 65_535, u32::MAX - 100), (70, 1, 1819), (71, 0, 859), (60, 65_534, u32::MAX - 1060)];
    let stream = stream_of(1, 111, packets.map(|(at, sequence, timestamp)| (at, sequence, timestamp, Vec::new())));
    assert_eq!((stream.first_sequence(), stream.first_timestamp()), (65_534, u32::MAX - 1060));
    // The time that was set back stands still.
    assert_eq!(numbers(&stream), [(0, 1, 960), (20, 3, 2880), (21, 2, 1920), (21, 0, 0)]);
    assert_eq!(stream.started(), Duration::from_nanos(50));
}

#[test]
fn a_round_ends_a_step_behind_the_last_frame() {
    let packets = (0..10u64).map(|n| (n / 2 * 33_000_000 + n % 2, n as u16, (n / 2) as u32 * 3000, Vec::new()));
    let stream = stream_of(1, 96, packets);
    let time_ns = 4 * 33_000_000 + 33_333_333;
    assert_eq!(stream.round(), Round { places: 10, ticks: 15_000, time_ns });
}
