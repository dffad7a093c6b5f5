//! Synthetic pictures: what a [`VoicePayload`] says, behind a VP8 descriptor and the first byte of a frame.
//!
//! Every frame has two packets. A picture id of 15 bits stands in the descriptor (RFC 7741 4.2); the service gives each
//! receiver numbers of its own, so a receiver does not compare them.

use crate::voice::VoicePayload;

/// RTP clock ticks a second.
pub(crate) const CLOCK_RATE_HZ: u32 = 90_000;

/// X: a second byte follows.
const EXTENDED: u8 = 0x80;
/// S: the packet begins a partition of the frame.
const START: u8 = 0x10;
/// I of the second byte: a picture id follows.
const HAS_PICTURE_ID: u8 = 0x80;
/// M: the picture id has two bytes.
const LONG_PICTURE_ID: u8 = 0x80;
/// A frame's first byte: it is shown; and P: it needs others.
const SHOWN: u8 = 0x10;
const PREDICTED: u8 = 0x01;

/// Where a packet stands in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PicturePart {
    /// The first, of a frame that needs no other.
    KeyStart,
    /// The first, of a frame that does.
    Start,
    /// One that follows.
    Rest,
}

/// Writes the payload of a packet with `len` bytes of content.
pub fn encode_picture(part: PicturePart, picture_id: u16, content: &VoicePayload, len: usize) -> Vec<u8> {
    let [high, low] = picture_id.to_be_bytes();
    let start = if part == PicturePart::Rest { 0 } else { START };
    let mut bytes = vec![EXTENDED | start, HAS_PICTURE_ID, LONG_PICTURE_ID | high, low];
    match part {
        PicturePart::KeyStart => bytes.push(SHOWN),
        PicturePart::Start => bytes.push(SHOWN | PREDICTED),
        PicturePart::Rest => {}
    }
    bytes.extend(content.encode(len));
    bytes
}

/// Reads a payload; `None` where a byte other than the picture id is not as it was sent.
pub fn decode_picture(payload: &[u8]) -> Option<VoicePayload> {
    match payload {
        [0x90, HAS_PICTURE_ID, LONG_PICTURE_ID..=0xff, _, 0x10 | 0x11, content @ ..] => VoicePayload::decode(content),
        [0x80, HAS_PICTURE_ID, LONG_PICTURE_ID..=0xff, _, content @ ..] => VoicePayload::decode(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: VoicePayload = VoicePayload { publisher: 3, counter: 700, sent_at_ns: 5 };

    #[test]
    fn a_picture_is_read_as_it_was_written_whatever_its_number() {
        for part in [PicturePart::KeyStart, PicturePart::Start, PicturePart::Rest] {
            for picture_id in [0, 1, 0x7fff] {
                assert_eq!(decode_picture(&encode_picture(part, picture_id, &CONTENT, 500)), Some(CONTENT), "{part:?}");
            }
        }
    }

    #[test]
    fn an_altered_picture_is_noticed() {
        let bytes = encode_picture(PicturePart::KeyStart, 77, &CONTENT, 100);
        for place in (0..bytes.len()).filter(|place| !(2..4).contains(place)) {
            let mut altered = bytes.clone();
            altered[place] ^= 0x40;
            assert_ne!(decode_picture(&altered), Some(CONTENT), "{place}");
        }
        assert_eq!(VoicePayload::decode(&bytes), None);
    }
}
