//! The payload formats, as far as a forwarder looks at them: real descriptors, and a [`Label`] in the encoder's place.

use shard_protocol::tables::PayloadFormat;

use crate::label::{Label, Picture};

/// Bytes that a payload has at most beside its label and filling.
pub(crate) const DESCRIPTOR_LEN_MAX: usize = 32;

/// A parameter set each, of a few bytes as encoders write them: 42e01f, and what belongs to it.
const SEQUENCE_PARAMETERS: [u8; 9] = [0x67, 0x42, 0xe0, 0x1f, 0x95, 0xa0, 0x28, 0x0f, 0x64];
const PICTURE_PARAMETERS: [u8; 4] = [0x68, 0xce, 0x38, 0x80];

/// What begins a VP8 key frame after its tag (RFC 6386 section 9.1): start code, width and height.
const VP8_KEY_FRAME: [u8; 7] = [0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

/// A VP9 scalability structure (RFC 9628 section 4.2.1): one spatial layer of 640 by 360 and a group of one picture.
const VP9_STRUCTURE: [u8; 8] = [0x18, 0x02, 0x80, 0x01, 0x68, 0x01, 0x04, 0x01];

/// An AV1 sequence header OBU without a size field; forwarders read no further than its type.
const AV1_SEQUENCE: [u8; 5] = [0x08, 0x00, 0x00, 0x00, 0x24];

/// Whether `format` numbers its pictures.
pub(crate) fn has_pictures(format: PayloadFormat) -> bool {
    matches!(format, PayloadFormat::Vp8 | PayloadFormat::Vp9)
}

/// Writes the payload of one packet, whose label and filling have `len` bytes.
pub(crate) fn write(format: PayloadFormat, label: &Label, temporal_layer: u8, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(DESCRIPTOR_LEN_MAX + len);
    match format {
        PayloadFormat::Opus => {}
        PayloadFormat::Vp8 => write_vp8(label, temporal_layer, &mut out),
        PayloadFormat::Vp9 => write_vp9(label, temporal_layer, &mut out),
        PayloadFormat::H264 => write_h264(label, len, &mut out),
        PayloadFormat::Av1 => write_av1(label, &mut out),
    }
    label.write(&mut out, len);
    out
}

/// Reads a payload: its label, and how its descriptor numbers its picture.
pub(crate) fn read(format: PayloadFormat, payload: &[u8]) -> Result<(Label, Option<Picture>), String> {
    let (picture, content) = match format {
        PayloadFormat::Opus => (None, payload),
        PayloadFormat::Vp8 => read_vp8(payload)?,
        PayloadFormat::Vp9 => read_vp9(payload)?,
        PayloadFormat::H264 => (None, read_h264(payload)?),
        PayloadFormat::Av1 => (None, read_av1(payload)?),
    };
    Ok((Label::read(content)?, picture))
}

/// RFC 7741 sections 4.2 and 4.3, with picture ids of 15 bits and temporal layers.
fn write_vp8(label: &Label, temporal_layer: u8, out: &mut Vec<u8>) {
    let non_reference = if temporal_layer == 2 { 0x20 } else { 0 };
    let start = if label.packet == 0 { 0x10 } else { 0 };
    out.extend([0x80 | non_reference | start, 0xe0]);
    out.extend((0x8000 | label.picture.id).to_be_bytes());
    out.extend([label.picture.base, temporal_layer << 6]);
    if label.packet == 0 {
        out.extend([0x10 | u8::from(!label.is_key), 0, 0]);
        if label.is_key {
            out.extend(VP8_KEY_FRAME);
        }
    }
}

type Described<'a> = (Option<Picture>, &'a [u8]);

fn read_vp8(payload: &[u8]) -> Result<Described<'_>, String> {
    let [flags @ (0x80 | 0x90 | 0xa0 | 0xb0), 0xe0, high, low, base, _, rest @ ..] = payload else {
        return Err(format!("a VP8 descriptor that was never written: {:02x?}", payload.get(..6)));
    };
    let picture = picture(*high, *low, *base)?;
    if flags & 0x10 == 0 {
        return Ok((Some(picture), rest));
    }
    match rest {
        [0x10, 0, 0, rest @ ..] => match rest.split_first_chunk() {
            Some((&VP8_KEY_FRAME, rest)) => Ok((Some(picture), rest)),
            _ => Err("a VP8 key frame that does not begin as one".into()),
        },
        [0x11, 0, 0, rest @ ..] => Ok((Some(picture), rest)),
        _ => Err(format!("a VP8 frame tag that was never written: {:02x?}", rest.get(..3))),
    }
}

/// RFC 9628 section 4.2, not flexible, one spatial layer.
fn write_vp9(label: &Label, temporal_layer: u8, out: &mut Vec<u8>) {
    let has_structure = label.starts_key_frame();
    let flags = [(0x40, !label.is_key), (0x08, label.packet == 0), (0x04, label.ends_frame()), (0x02, has_structure)];
    out.push(flags.into_iter().filter(|(_, is_set)| *is_set).fold(0xa0, |all, (flag, _)| all | flag));
    out.extend((0x8000 | label.picture.id).to_be_bytes());
    out.extend([temporal_layer << 5, label.picture.base]);
    if has_structure {
        out.extend(VP9_STRUCTURE);
    }
}

fn read_vp9(payload: &[u8]) -> Result<Described<'_>, String> {
    let [flags, high, low, _, base, rest @ ..] = payload else {
        return Err("a VP9 descriptor that is cut short".into());
    };
    if flags & 0xb1 != 0xa0 {
        return Err(format!("VP9 flags that were never written: {flags:02x}"));
    }
    let picture = picture(*high, *low, *base)?;
    match (flags & 0x02, rest.split_first_chunk()) {
        (0, _) => Ok((Some(picture), rest)),
        (_, Some((&VP9_STRUCTURE, rest))) => Ok((Some(picture), rest)),
        _ => Err("a VP9 scalability structure that was never written".into()),
    }
}

fn picture(high: u8, low: u8, base: u8) -> Result<Picture, String> {
    if high & 0x80 == 0 {
        return Err("a picture id that has shrunk to seven bits".into());
    }
    Ok(Picture { id: u16::from_be_bytes([high & 0x7f, low]), base })
}

/// RFC 6184: parameter sets and what follows them in a STAP-A (section 5.7.1), slices alone (5.6) or in FU-As (5.8).
fn write_h264(label: &Label, len: usize, out: &mut Vec<u8>) {
    if label.starts_key_frame() {
        out.push(0x78);
        for set in [&SEQUENCE_PARAMETERS[..], &PICTURE_PARAMETERS] {
            out.extend((set.len() as u16).to_be_bytes());
            out.extend(set);
        }
        out.extend((len as u16 + 1).to_be_bytes());
        // The whole slice, or supplemental information before a slice that comes in fragments.
        out.push(if label.packets == 1 { 0x65 } else { 0x06 });
        return;
    }
    // Of a key frame the first packet has no slice.
    let (unit, indicator, first) = if label.is_key { (0x65, 0x7c, 1) } else { (0x41, 0x5c, 0) };
    if label.packet == first && label.ends_frame() {
        out.push(unit);
    } else {
        let kind = unit & 0x1f;
        let start = if label.packet == first { 0x80 } else { 0 };
        let end = if label.ends_frame() { 0x40 } else { 0 };
        out.extend([indicator, start | end | kind]);
    }
}

fn read_h264(payload: &[u8]) -> Result<&[u8], String> {
    match payload {
        [0x78, units @ ..] => {
            let mut units = units;
            loop {
                let (len, rest) = units.split_first_chunk().ok_or("a STAP-A without a slice")?;
                let (unit, rest) =
                    rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or("a NAL unit that is cut")?;
                match unit {
                    [0x67 | 0x68, ..] => units = rest,
                    [0x65 | 0x06, content @ ..] if rest.is_empty() => return Ok(content),
                    _ => return Err("a NAL unit that was never written".into()),
                }
            }
        }
        [0x7c | 0x5c, header, ..] if header & 0xc0 == 0xc0 => Err("a fragment that is a whole NAL unit".into()),
        [0x7c | 0x5c, _, content @ ..] | [0x41 | 0x65, content @ ..] => Ok(content),
        _ => Err("a NAL unit that was never written".into()),
    }
}

/// AV1's aggregation header, then a sequence header on the first packet of a key frame, and one frame OBU in fragments.
fn write_av1(label: &Label, out: &mut Vec<u8>) {
    let continues = if label.packet > 0 { 0x80 } else { 0 };
    let goes_on = if label.ends_frame() { 0 } else { 0x40 };
    if label.starts_key_frame() {
        out.extend([0x28 | goes_on, AV1_SEQUENCE.len() as u8]);
        out.extend(AV1_SEQUENCE);
    } else {
        out.push(continues | goes_on | 0x10);
    }
    if label.packet == 0 {
        out.push(0x30);
    }
}

fn read_av1(payload: &[u8]) -> Result<&[u8], String> {
    let [header, rest @ ..] = payload else { return Err("an AV1 payload without its header".into()) };
    let rest = match (header & 0x38, rest) {
        (0x28, [_, rest @ ..]) => match rest.split_first_chunk() {
            Some((&AV1_SEQUENCE, rest)) => rest,
            _ => return Err("a sequence header that was never written".into()),
        },
        (0x10, rest) => rest,
        _ => return Err(format!("an AV1 header that was never written: {header:02x}")),
    };
    match (header & 0x80, rest) {
        (0x80, rest) => Ok(rest),
        (_, [0x30, rest @ ..]) => Ok(rest),
        _ => Err("a frame OBU that does not begin as one".into()),
    }
}

/// The value of the dependency descriptor extension for a packet of a stream with one layer, whose key frames carry the
/// structure: a template for them and one for frames that need the one before.
pub(crate) fn dependency_descriptor(label: &Label) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(u32::from(label.packet == 0), 1);
    bits.push(u32::from(label.ends_frame()), 1);
    bits.push(u32::from(!label.is_key), 6);
    bits.push(label.frame & 0xffff, 16);
    if label.starts_key_frame() {
        // The structure is there, and none of the four other extras.
        bits.push(0b1_0000, 5);
        // The first template has id 0, and there is one decode target.
        bits.push(0, 6 + 5);
        // The second template is of the same layer; there is no third.
        bits.push(0b0011, 4);
        // Both are switches for the decode target.
        bits.push(0b1010, 4);
        // The first needs no frame, the second the one before.
        bits.push(0b010_0000, 7);
        // One chain protects the decode target; its last frame is the one before.
        bits.push(0b1_0000_0001, 9);
        // No resolution is told.
        bits.push(0, 1);
    }
    bits.bytes
}

/// Bits, the most significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    fn push(&mut self, value: u32, count: usize) {
        for at in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> at & 1) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.len % 8);
            }
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rtp::codecs::{vp8::Vp8Packet, vp9::Vp9Packet};
    use rtp::packetizer::Depacketizer;

    use super::*;

    fn labels() -> Vec<Label> {
        let mut labels = Vec::new();
        for (is_key, packets) in [(true, 1), (true, 2), (true, 5), (false, 1), (false, 2), (false, 5)] {
            labels.extend((0..packets).map(|packet| Label {
                publisher: 1,
                encoding: 0,
                run: 0,
                index: u32::from(packet) + 10,
                frame: 4,
                packet,
                packets,
                is_key,
                timestamp: 9000,
                picture: Picture { id: 0x7ffe, base: 77 },
                captured: Duration::from_millis(8),
            }));
        }
        labels
    }

    #[test]
    fn every_payload_reads_as_it_was_written() {
        for format in
            [PayloadFormat::Opus, PayloadFormat::Vp8, PayloadFormat::Vp9, PayloadFormat::H264, PayloadFormat::Av1]
        {
            for label in labels() {
                let payload = write(format, &label, 1, 100);
                let picture = has_pictures(format).then_some(label.picture);
                assert_eq!(read(format, &payload), Ok((label, picture)), "{format:?}");
                assert!(payload.len() <= 100 + DESCRIPTOR_LEN_MAX);
            }
        }
    }

    #[test]
    fn another_reader_finds_the_same_in_the_descriptors() {
        for label in labels() {
            let payload = bytes::Bytes::from(write(PayloadFormat::Vp8, &label, 2, 100));
            let mut vp8 = Vp8Packet::default();
            let content = vp8.depacketize(&payload).unwrap();
            assert_eq!((vp8.picture_id, vp8.tl0_pic_idx, vp8.tid), (0x7ffe, 77, 2));
            assert_eq!((vp8.s == 1, vp8.pid), (label.packet == 0, 0));
            assert!(label.packet > 0 || (content[0] & 1 == 0) == label.is_key);

            let payload = bytes::Bytes::from(write(PayloadFormat::Vp9, &label, 2, 100));
            let mut vp9 = Vp9Packet::default();
            vp9.depacketize(&payload).unwrap();
            assert_eq!((vp9.picture_id, vp9.tl0picidx, vp9.tid, vp9.sid), (0x7ffe, 77, 2, 0));
            assert_eq!((vp9.p, vp9.b, vp9.e), (!label.is_key, label.packet == 0, label.ends_frame()));
            assert_eq!((vp9.v, vp9.f, vp9.ns, vp9.ng), (label.starts_key_frame(), false, 0, vp9.ng));
            assert!(!vp9.v || (vp9.width[..] == [640] && vp9.height[..] == [360]));
        }
    }

    #[test]
    fn only_a_key_frames_first_packet_carries_a_dependency_structure() {
        for label in labels() {
            let value = dependency_descriptor(&label);
            assert_eq!(value.len() > 3, label.starts_key_frame());
            assert_eq!((value[0] & 0x80 != 0, value[0] & 0x40 != 0), (label.packet == 0, label.ends_frame()));
            assert_eq!(value[1..3], [0, 4]);
        }
    }
}
