//! The AV1 aggregation header, section 4.4 of the RTP payload format for AV1 of the Alliance for Open Media, and the
//! dependency descriptor beside it.
//!
//! The header alone cannot tell where a picture of several spatial layers starts; where the descriptor is there, it does.
//! The units behind the header are not walked.

use super::dependency::DependencyHead;
use super::{PayloadError, PayloadHead};

/// Z: the first element continues one of the packet before.
const CONTINUES: u8 = 0x80;

/// N: the packet is the first of a coded video sequence, which begins with a key frame.
const SEQUENCE_START: u8 = 0x08;

pub(super) fn read(payload: &[u8], dependency: Option<&[u8]>) -> Result<PayloadHead, PayloadError> {
    let header = *payload.first().ok_or(PayloadError::Truncated)?;
    let continues = header & CONTINUES != 0;
    let starts_sequence = header & SEQUENCE_START != 0;
    if continues && starts_sequence {
        return Err(PayloadError::Contradiction);
    }
    let Some(dependency) = dependency else {
        return Ok(PayloadHead { starts_key_frame: starts_sequence, ..Default::default() });
    };
    let dependency = DependencyHead::read(dependency)?;
    if continues && dependency.starts_frame {
        return Err(PayloadError::Contradiction);
    }
    let mut head = PayloadHead::default();
    // The structure that names the layers comes with the first packet of a coded video sequence and no other.
    if let Some(layers) = dependency.layers {
        head.spatial_layer = layers.spatial;
        head.temporal_layer = layers.temporal;
        head.starts_key_frame = dependency.starts_frame && layers.spatial == 0;
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One element and the start of a sequence, as Chromium begins a key frame.
    const START: [u8; 4] = [0x18, 0x0a, 0x0b, 0x00];

    /// A descriptor with a structure of three templates, of spatial layers 0, 1 and 2; `first` has the frame's flags.
    fn descriptor(first: u8, template: u8) -> [u8; 8] {
        // Flags 10000, offset 000000, decode targets 00000, then next_layer_idc 10 10 11.
        [first | template, 0, 1, 0b1000_0000, 0b0000_0000, 0b1010_1100, 0, 0]
    }

    fn starts(payload: &[u8], dependency: Option<&[u8]>) -> Result<bool, PayloadError> {
        read(payload, dependency).map(|head| head.starts_key_frame)
    }

    #[test]
    fn without_a_descriptor_the_header_tells_where_a_sequence_starts() {
        for (header, expected) in [
            (0x18, Ok(true)),
            (0x08, Ok(true)),
            (0x58, Ok(true)),
            (0x10, Ok(false)),
            (0x90, Ok(false)),
            (0x98, Err(PayloadError::Contradiction)),
        ] {
            assert_eq!(starts(&[header, 0x0a], None), expected, "{header:#x}");
        }
    }

    #[test]
    fn with_a_descriptor_the_lowest_layer_of_a_structures_first_picture_is_the_start() {
        for (first, template, expected) in
            [(0x80, 0, true), (0xc0, 0, true), (0x80, 1, false), (0x80, 2, false), (0, 0, false)]
        {
            let head = read(&START, Some(&descriptor(first, template))).unwrap();
            assert_eq!((head.starts_key_frame, head.spatial_layer, head.temporal_layer), (expected, template, 0));
        }
        // Without a structure there is no start, whatever the header says.
        assert_eq!(starts(&START, Some(&[0x80, 0, 1])), Ok(false));
        assert_eq!(starts(&START, Some(&[0x80, 0, 1, 0x40, 0xfc])), Ok(false));
    }

    #[test]
    fn a_frame_that_starts_with_a_continuation_is_refused() {
        assert_eq!(starts(&[0x90, 0x0a], Some(&descriptor(0x80, 0))), Err(PayloadError::Contradiction));
        assert_eq!(starts(&[0x90, 0x0a], Some(&[0x80, 0, 1])), Err(PayloadError::Contradiction));
        assert_eq!(starts(&[0x90, 0x0a], Some(&[0x00, 0, 1])), Ok(false));
    }

    #[test]
    fn a_descriptor_cut_short_is_refused() {
        let whole = descriptor(0x80, 0);
        for len in (0..6).filter(|&len| len != 3) {
            assert_eq!(starts(&START, Some(&whole[..len])), Err(PayloadError::Truncated), "{len}");
        }
        assert_eq!(starts(&START, Some(&whole[..6])), Ok(true));
    }
}
