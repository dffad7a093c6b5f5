//! The VP9 payload descriptor, RFC 9628 section 4.2.
//!
//! A scalability structure says what layers there are, not which one this packet is of: it is not read.

use super::{Fields, PayloadError, PayloadHead};

/// I: the picture's number follows.
const HAS_PICTURE_ID: u8 = 0x80;

/// P: the picture is predicted from earlier ones.
const PREDICTED: u8 = 0x40;

/// L: the layers follow.
const HAS_LAYERS: u8 = 0x20;

/// F: each picture names the ones that it is predicted from.
const FLEXIBLE: u8 = 0x10;

/// B: the packet begins a frame.
const FRAME_START: u8 = 0x08;

/// N: one more reference follows.
const MORE_REFERENCES: u8 = 0x01;

/// References that a picture can name.
const REFERENCES_MAX: usize = 3;

pub(super) fn read(payload: &[u8]) -> Result<PayloadHead, PayloadError> {
    let mut fields = Fields::new(payload);
    let mut head = PayloadHead::default();
    let required = fields.byte()?;
    let is_predicted = required & PREDICTED != 0;
    let is_flexible = required & FLEXIBLE != 0;
    if required & HAS_PICTURE_ID != 0 {
        head.picture_id = Some(fields.picture_id()?);
    } else if is_flexible {
        // References are told as distances from the picture's number.
        return Err(PayloadError::Contradiction);
    }
    if required & HAS_LAYERS != 0 {
        let layers = fields.byte()?;
        head.temporal_layer = layers >> 5;
        head.spatial_layer = layers >> 1 & 0x07;
        if !is_flexible {
            head.tl0_index = Some(fields.tl0_index()?);
        }
    }
    if is_predicted && is_flexible {
        pass_references(&mut fields)?;
    }
    // Something stands behind what was read: the structure, else the frame.
    fields.byte()?;
    head.starts_key_frame = !is_predicted && required & FRAME_START != 0 && head.spatial_layer == 0;
    Ok(head)
}

/// Passes over the references of a predicted picture in flexible mode.
fn pass_references(fields: &mut Fields<'_>) -> Result<(), PayloadError> {
    for _ in 0..REFERENCES_MAX {
        if fields.byte()? & MORE_REFERENCES == 0 {
            return Ok(());
        }
    }
    Err(PayloadError::Contradiction)
}

#[cfg(test)]
mod tests {
    use super::super::{PictureId, Tl0Index};
    use super::*;

    /// The required byte without a frame's start.
    const I_L_F: u8 = HAS_PICTURE_ID | HAS_LAYERS | FLEXIBLE;

    fn starts(payload: &[u8]) -> bool {
        read(payload).unwrap().starts_key_frame
    }

    #[test]
    fn a_browsers_key_frame_is_read_whole() {
        // I L B V, not flexible: a long id, TID 0, SID 0, TL0PICIDX, a structure of one layer, the frame.
        let payload = [0xaa, 0x92, 0x34, 0x00, 0x56, 0x18, 0x02, 0x80, 0x01, 0xe0, 0x01, 0x04, 0x01, 0x82, 0x49, 0x83];
        let head = PayloadHead {
            starts_key_frame: true,
            picture_id: Some(PictureId { at: 1, value: 0x1234, is_long: true }),
            tl0_index: Some(Tl0Index { at: 4, value: 0x56 }),
            ..Default::default()
        };
        assert_eq!(read(&payload), Ok(head));
    }

    #[test]
    fn a_picture_of_layers_starts_with_its_lowest() {
        // Flexible, with structures and references left out: spatial layers 0, 1 and 2 of a key picture.
        assert!(starts(&[I_L_F | FRAME_START, 0x80, 0x07, 0x00, 0x82]));
        assert!(!starts(&[I_L_F | FRAME_START, 0x80, 0x07, 0x03, 0x82]));
        assert!(!starts(&[I_L_F | FRAME_START, 0x80, 0x07, 0x05, 0x82]));
        // A later packet of the lowest.
        assert!(!starts(&[I_L_F, 0x80, 0x07, 0x00, 0x82]));
        // A predicted picture's lowest.
        assert!(!starts(&[I_L_F | FRAME_START | PREDICTED, 0x80, 0x07, 0x00, 0x02, 0x82]));
    }

    #[test]
    fn layers_are_found_in_both_modes() {
        let flexible = read(&[I_L_F, 0x05, 0x50 | 0x06, 0x82]).unwrap();
        assert_eq!((flexible.temporal_layer, flexible.spatial_layer, flexible.tl0_index), (2, 3, None));
        let counted = read(&[HAS_LAYERS, 0xf0 | 0x0e, 0x99, 0x82]).unwrap();
        assert_eq!((counted.temporal_layer, counted.spatial_layer), (7, 7));
        assert_eq!((counted.picture_id, counted.tl0_index), (None, Some(Tl0Index { at: 2, value: 0x99 })));
    }

    #[test]
    fn a_picture_names_one_to_three_references() {
        let predicted = HAS_PICTURE_ID | FLEXIBLE | PREDICTED;
        for references in [&[0x02][..], &[0x03, 0x04], &[0x03, 0x05, 0x06]] {
            let whole = [&[predicted, 0x11], references, &[0x82]].concat();
            assert!(read(&whole).is_ok(), "{references:?}");
            assert_eq!(read(&whole[..whole.len() - 1]), Err(PayloadError::Truncated), "{references:?}");
        }
        assert_eq!(read(&[predicted, 0x11, 0x03, 0x05, 0x07, 0x08, 0x82]), Err(PayloadError::Contradiction));
        // Without the flexible mode none are named.
        assert!(read(&[HAS_PICTURE_ID | PREDICTED, 0x11, 0x82]).is_ok());
    }

    #[test]
    fn a_flexible_picture_without_a_number_is_refused() {
        assert_eq!(read(&[FLEXIBLE | FRAME_START, 0x82]), Err(PayloadError::Contradiction));
    }

    #[test]
    fn a_descriptor_without_a_frame_is_refused() {
        let payload = [0xa8, 0x92, 0x34, 0x00, 0x56, 0x82];
        for len in 1..payload.len() {
            assert_eq!(read(&payload[..len]), Err(PayloadError::Truncated), "{len}");
        }
        assert!(starts(&payload));
    }
}
