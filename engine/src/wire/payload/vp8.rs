//! The VP8 payload descriptor and the first byte of the frame behind it, RFC 7741 sections 4.2 and 4.3.

use super::{Fields, PayloadError, PayloadHead};

/// X: a second byte says which fields follow.
const EXTENDED: u8 = 0x80;

/// S: the packet begins a partition of the frame.
const PARTITION_START: u8 = 0x10;

/// PID: which partition.
const PARTITION: u8 = 0x07;

/// I, L, T and K of the second byte: a field follows.
const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0_INDEX: u8 = 0x40;
const HAS_TEMPORAL_LAYER: u8 = 0x20;
const HAS_KEY_INDEX: u8 = 0x10;

/// P of the frame's first byte: the frame is predicted from others.
const PREDICTED: u8 = 0x01;

pub(super) fn read(payload: &[u8]) -> Result<PayloadHead, PayloadError> {
    let mut fields = Fields::new(payload);
    let mut head = PayloadHead::default();
    let required = fields.byte()?;
    let present = if required & EXTENDED != 0 { fields.byte()? } else { 0 };
    if present & HAS_PICTURE_ID != 0 {
        head.picture_id = Some(fields.picture_id()?);
    }
    if present & HAS_TL0_INDEX != 0 {
        head.tl0_index = Some(fields.tl0_index()?);
    }
    if present & (HAS_TEMPORAL_LAYER | HAS_KEY_INDEX) != 0 {
        let layer = fields.byte()? >> 6;
        // Where the byte is only there for KEYIDX, its layer means nothing.
        if present & HAS_TEMPORAL_LAYER != 0 {
            head.temporal_layer = layer;
        }
    }
    // Every packet holds some of the frame; only at the frame's start this is its header.
    let first = fields.byte()?;
    head.starts_key_frame = required & (PARTITION_START | PARTITION) == PARTITION_START && first & PREDICTED == 0;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::super::{PictureId, Tl0Index};
    use super::*;

    /// A key frame as libvpx begins it: tag, start code, 640 x 480.
    const KEY_FRAME: [u8; 10] = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];

    fn with_frame(descriptor: &[u8]) -> Vec<u8> {
        [descriptor, &KEY_FRAME].concat()
    }

    #[test]
    fn a_browsers_key_frame_is_read_whole() {
        // X S; I L T K; a long id; TL0PICIDX; TID 0, Y, KEYIDX 3.
        let payload = with_frame(&[0x90, 0xf0, 0x92, 0x34, 0x56, 0x23]);
        let head = PayloadHead {
            starts_key_frame: true,
            picture_id: Some(PictureId { at: 2, value: 0x1234, is_long: true }),
            tl0_index: Some(Tl0Index { at: 4, value: 0x56 }),
            ..Default::default()
        };
        assert_eq!(read(&payload), Ok(head));
    }

    #[test]
    fn only_the_first_packet_of_the_first_partition_of_an_unpredicted_frame_starts_a_key_frame() {
        for (descriptor, starts) in
            [(0x10, true), (0x30, true), (0x18, true), (0x00, false), (0x11, false), (0x17, false)]
        {
            assert_eq!(read(&with_frame(&[descriptor])).unwrap().starts_key_frame, starts, "{descriptor:#x}");
            // The same with P set.
            assert!(!read(&[descriptor, 0x11]).unwrap().starts_key_frame);
        }
    }

    #[test]
    fn each_field_is_found_behind_any_others() {
        for present in 0..16u8 {
            let mut descriptor = vec![0x80, present << 4];
            let (mut picture_id, mut tl0_index, mut temporal_layer) = (None, None, 0);
            if present & 8 != 0 {
                picture_id = Some(PictureId { at: 2, value: 0x7f, is_long: false });
                descriptor.push(0x7f);
            }
            if present & 4 != 0 {
                tl0_index = Some(Tl0Index { at: descriptor.len() as u8, value: 0xfe });
                descriptor.push(0xfe);
            }
            if present & 3 != 0 {
                // TID 2 and a KEYIDX.
                descriptor.push(0x95);
            }
            if present & 2 != 0 {
                temporal_layer = 2;
            }
            let head = PayloadHead { picture_id, tl0_index, temporal_layer, ..Default::default() };
            assert_eq!(read(&with_frame(&descriptor)), Ok(head), "{present:#x}");
        }
    }

    #[test]
    fn a_descriptor_without_a_frame_is_refused() {
        let payload = with_frame(&[0x90, 0xf0, 0x92, 0x34, 0x56, 0x23]);
        for len in 1..=6 {
            assert_eq!(read(&payload[..len]), Err(PayloadError::Truncated), "{len}");
        }
        assert!(read(&payload[..7]).is_ok());
        assert_eq!(read(&[0x10]), Err(PayloadError::Truncated));
    }
}
