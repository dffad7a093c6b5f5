//! Payloads of every format, with and without a dependency descriptor, of any bytes.
//!
//! Holds: what is found lies within the payload; numbers that are written are read again and change nothing else; of every
//! format but H264, whose units can be cut between them, a payload cut short reads as the whole or is refused.
#![no_main]

use arbitrary::Arbitrary;
use engine::wire::payload::{PayloadError, PayloadHead, read};
use libfuzzer_sys::fuzz_target;
use shard_protocol::tables::PayloadFormat;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    format: Format,
    /// What the numbers are written over with.
    numbers: (u16, u8),
    dependency: Option<&'a [u8]>,
    payload: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Format {
    Opus,
    Vp8,
    Vp9,
    H264,
    Av1,
}

fuzz_target!(|input: Input<'_>| {
    let format = match input.format {
        Format::Opus => PayloadFormat::Opus,
        Format::Vp8 => PayloadFormat::Vp8,
        Format::Vp9 => PayloadFormat::Vp9,
        Format::H264 => PayloadFormat::H264,
        Format::Av1 => PayloadFormat::Av1,
    };
    let whole = read(format, input.payload, input.dependency);
    if input.payload.is_empty() {
        assert_eq!(whole, Ok(PayloadHead::default()), "padding has no head");
    }
    if format != PayloadFormat::H264 {
        // No descriptor is longer.
        for len in 1..input.payload.len().min(16) {
            match read(format, &input.payload[..len], input.dependency) {
                Err(PayloadError::Truncated) => {}
                cut => assert_eq!(cut, whole, "{len}"),
            }
        }
    }
    if let Ok(head) = whole {
        check(format, head, &input);
    }
});

fn check(format: PayloadFormat, head: PayloadHead, input: &Input<'_>) {
    assert!(head.spatial_layer < 8 && head.temporal_layer < 8);
    assert!(!head.starts_key_frame || head.spatial_layer == 0);
    let (picture_id, tl0_index) = input.numbers;
    let mut copy = input.payload.to_vec();
    let mut expected = head;
    if let Some(id) = &mut expected.picture_id {
        assert!(usize::from(id.at) + usize::from(id.is_long) < copy.len());
        id.write(&mut copy, picture_id);
        id.value = picture_id & if id.is_long { 0x7fff } else { 0x7f };
    }
    if let Some(index) = &mut expected.tl0_index {
        assert_eq!(copy[usize::from(index.at)], index.value);
        index.write(&mut copy, tl0_index);
        index.value = tl0_index;
    }
    assert_eq!(read(format, &copy, input.dependency), Ok(expected));
    if let Some(id) = head.picture_id {
        id.write(&mut copy, id.value);
    }
    if let Some(index) = head.tl0_index {
        index.write(&mut copy, index.value);
    }
    assert_eq!(copy, input.payload, "nothing else was touched");
}
