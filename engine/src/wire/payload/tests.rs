//! All formats together: packets cut at every byte, any bytes, numbers written and read again, and an independent
//! implementation of the same formats.

use bytes::Bytes;
use proptest::prelude::*;
use rtp::codecs::av1::Av1Payloader;
use rtp::codecs::h264::H264Payloader;
use rtp::codecs::vp8::{Vp8Packet, Vp8Payloader};
use rtp::codecs::vp9::Vp9Packet;
use rtp::packetizer::{Depacketizer, Payloader};

use super::*;

const FORMATS: [PayloadFormat; 5] =
    [PayloadFormat::Opus, PayloadFormat::Vp8, PayloadFormat::Vp9, PayloadFormat::H264, PayloadFormat::Av1];

/// About as long as browsers make their packets.
const PACKET_LEN: usize = 1200;

/// Which packets of `frame` start a key frame.
fn starts(format: PayloadFormat, payloader: &mut dyn Payloader, frame: &[u8]) -> Vec<bool> {
    let packets = payloader.payload(PACKET_LEN, &Bytes::copy_from_slice(frame)).unwrap();
    packets.iter().map(|packet| read(format, packet, None).unwrap().starts_key_frame).collect()
}

#[test]
fn of_the_packets_of_another_implementation_the_first_of_a_key_frame_starts_it() {
    let body = vec![0x55; 3000];
    let mut vp8 = Vp8Payloader::default();
    vp8.enable_picture_id = true;
    for (tag, expected) in [(0x10, true), (0x11, false)] {
        for _ in 0..200 {
            let packets = starts(PayloadFormat::Vp8, &mut vp8, &[&[tag, 0, 0, 0x9d, 0x01, 0x2a], &body[..]].concat());
            assert_eq!(packets, [expected, false, false]);
        }
    }

    let unit = |header: u8, len: usize| [&[0, 0, 0, 1, header][..], &body[..len]].concat();
    let picture = [unit(0x67, 20), unit(0x68, 5), unit(0x65, 3000)].concat();
    let h264 = &mut H264Payloader::default();
    assert_eq!(starts(PayloadFormat::H264, h264, &picture), [true, false, false, false]);
    assert_eq!(starts(PayloadFormat::H264, h264, &unit(0x41, 3000)), [false, false, false]);

    // A sequence header of two bytes and a frame, each with its length.
    let picture = [&[0x0a, 2, 0, 0, 0x32, 0xb8, 0x17][..], &body[..]].concat();
    assert_eq!(starts(PayloadFormat::Av1, &mut Av1Payloader {}, &picture), [true, false, false]);
    assert_eq!(starts(PayloadFormat::Av1, &mut Av1Payloader {}, &picture[4..]), [false, false, false]);
}

#[test]
fn an_empty_payload_is_padding_and_has_no_head() {
    for format in FORMATS {
        assert_eq!(read(format, &[], None), Ok(PayloadHead::default()));
        assert_eq!(read(format, &[], Some(&[])), Ok(PayloadHead::default()));
    }
    assert_eq!(read(PayloadFormat::Opus, &[0x78, 0xff], None), Ok(PayloadHead::default()));
}

#[test]
fn a_packet_cut_anywhere_reads_as_the_whole_or_not_at_all() {
    let dependency = [0x80, 0, 1, 0x80, 0x02, 0x14, 0xea, 0xa8];
    for (format, payload) in [
        (PayloadFormat::Vp8, &[0x90, 0xf0, 0x92, 0x34, 0x56, 0x23, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a][..]),
        (PayloadFormat::Vp8, &[0x90, 0xa0, 0x12, 0x40, 0x11, 0x02]),
        (PayloadFormat::Vp9, &[0xaa, 0x92, 0x34, 0x00, 0x56, 0x18, 0x02, 0x80, 0x01, 0xe0, 0x82, 0x49]),
        (PayloadFormat::Vp9, &[0xf8, 0x92, 0x34, 0x48, 0x03, 0x05, 0x06, 0x82, 0x49]),
        (PayloadFormat::H264, &[0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce]),
        (PayloadFormat::H264, &[0x7c, 0x87, 0x42, 0xe0]),
        (PayloadFormat::Av1, &[0x18, 0x0a, 0x0b, 0x00]),
    ] {
        for dependency in [None, Some(&dependency[..])] {
            let whole = read(format, payload, dependency).unwrap();
            for len in 1..payload.len() {
                match read(format, &payload[..len], dependency) {
                    Ok(head) => assert_eq!(head, whole, "{format:?} {len}"),
                    Err(error) => assert_eq!(error, PayloadError::Truncated, "{format:?} {len}"),
                }
            }
        }
    }
}

#[test]
fn a_number_is_written_in_its_own_form_and_touches_nothing_else() {
    let long = PictureId { at: 2, value: 0, is_long: true };
    let short = PictureId { is_long: false, ..long };
    let tl0 = Tl0Index { at: 4, value: 0 };
    for (value, long_bytes, short_byte) in
        [(0, [0x80, 0], 0), (0x7f, [0x80, 0x7f], 0x7f), (0x80, [0x80, 0x80], 0), (0xffff, [0xff, 0xff], 0x7f)]
    {
        let mut payload = [0xee; 6];
        long.write(&mut payload, value);
        tl0.write(&mut payload, value as u8);
        assert_eq!(payload, [0xee, 0xee, long_bytes[0], long_bytes[1], value as u8, 0xee]);
        let mut payload = [0xee; 6];
        short.write(&mut payload, value);
        assert_eq!(payload, [0xee, 0xee, short_byte, 0xee, 0xee, 0xee]);
    }
    for len in 0..=4 {
        let mut payload = vec![0xee; len];
        tl0.write(&mut payload, 1);
        if len < 4 {
            long.write(&mut payload, 1);
        }
        if len < 3 {
            short.write(&mut payload, 1);
        }
        assert_eq!(payload, vec![0xee; len]);
    }
}

#[test]
fn a_head_is_small() {
    assert!(size_of::<PayloadHead>() <= 12);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_found_lies_within_them(
        payload in prop::collection::vec(any::<u8>(), 0..64),
        dependency in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
    ) {
        for format in FORMATS {
            let Ok(head) = read(format, &payload, dependency.as_deref()) else { continue };
            if let Some(id) = head.picture_id {
                prop_assert!(usize::from(id.at) + usize::from(id.is_long) < payload.len());
                let bits = if id.is_long { 15 } else { 7 };
                prop_assert!(id.value < 1 << bits);
            }
            if let Some(index) = head.tl0_index {
                prop_assert_eq!(payload[usize::from(index.at)], index.value);
            }
            prop_assert!(head.spatial_layer < 8 && head.temporal_layer < 8);
        }
    }

    #[test]
    fn numbers_that_are_written_are_read_again_and_nothing_else_changes(
        payload in prop::collection::vec(any::<u8>(), 1..32), picture_id: u16, tl0_index: u8,
    ) {
        for format in [PayloadFormat::Vp8, PayloadFormat::Vp9] {
            let Ok(head) = read(format, &payload, None) else { continue };
            let mut copy = payload.clone();
            let mut expected = head;
            if let Some(id) = &mut expected.picture_id {
                id.write(&mut copy, picture_id);
                id.value = picture_id & if id.is_long { 0x7fff } else { 0x7f };
            }
            if let Some(index) = &mut expected.tl0_index {
                index.write(&mut copy, tl0_index);
                index.value = tl0_index;
            }
            prop_assert_eq!(read(format, &copy, None), Ok(expected));
            if let Some(id) = head.picture_id {
                id.write(&mut copy, id.value);
            }
            if let Some(index) = head.tl0_index {
                index.write(&mut copy, index.value);
            }
            prop_assert_eq!(&copy, &payload);
        }
    }

    #[test]
    fn vp8_reads_as_another_implementation_reads_it(payload in prop::collection::vec(any::<u8>(), 16..32)) {
        let mut reference = Vp8Packet::default();
        let frame = reference.depacketize(&Bytes::copy_from_slice(&payload)).unwrap();
        let head = read(PayloadFormat::Vp8, &payload, None).unwrap();
        prop_assert_eq!(head.picture_id.map_or(0, |id| id.value), reference.picture_id);
        prop_assert_eq!(head.picture_id.is_some(), reference.i == 1);
        prop_assert_eq!(head.tl0_index.map_or(0, |index| index.value), reference.tl0_pic_idx);
        prop_assert_eq!(head.tl0_index.is_some(), reference.l == 1);
        prop_assert_eq!(head.temporal_layer, reference.tid);
        prop_assert_eq!(head.starts_key_frame, reference.s == 1 && reference.pid == 0 && frame[0] & 1 == 0);
    }

    #[test]
    fn vp9_reads_as_another_implementation_reads_it(payload in prop::collection::vec(any::<u8>(), 16..32)) {
        // Structures, which are not read here, are left out.
        let payload = [&[payload[0] & !0x02], &payload[1..]].concat();
        let mut reference = Vp9Packet::default();
        let read_there = reference.depacketize(&Bytes::copy_from_slice(&payload)).is_ok();
        let head = read(PayloadFormat::Vp9, &payload, None);
        // The reference refuses a third reference and a sixth spatial layer, and takes a flexible picture without a number.
        if !read_there || reference.f && !reference.i {
            return Ok(());
        }
        let head = head.unwrap();
        prop_assert_eq!(head.picture_id.map(|id| id.value), reference.i.then_some(reference.picture_id));
        let has_tl0_index = reference.l && !reference.f;
        prop_assert_eq!(head.tl0_index.map(|index| index.value), has_tl0_index.then_some(reference.tl0picidx));
        prop_assert_eq!((head.temporal_layer, head.spatial_layer), (reference.tid, reference.sid));
        prop_assert_eq!(head.starts_key_frame, !reference.p && reference.b && reference.sid == 0);
    }
}
