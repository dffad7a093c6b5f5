//! H264 payloads of packetization mode 1, RFC 6184 sections 5.6 to 5.8: a unit alone, several in a STAP-A, or a part of one
//! in an FU-A.
//!
//! A key frame starts with its sequence parameter set. An IDR slice alone is no start: a decoder that has not got the
//! parameter sets drops it, and browsers send them in front of every IDR picture and never outside the stream. Going by the
//! slice would also find two starts in one picture.

use super::{PayloadError, PayloadHead};

/// The types of a single unit, section 5.4.
const UNITS: std::ops::RangeInclusive<u8> = 1..=23;

/// A sequence parameter set.
const PARAMETER_SET: u8 = 7;

/// Several units of one time, each behind its length.
const STAP_A: u8 = 24;

/// A part of a unit.
const FU_A: u8 = 28;

/// The type in a unit's first byte, and in that of an FU-A's header.
const TYPE: u8 = 0x1f;

/// S and E of an FU-A's header: the unit's first and last part.
const FIRST_PART: u8 = 0x80;
const LAST_PART: u8 = 0x40;

pub(super) fn read(payload: &[u8]) -> Result<PayloadHead, PayloadError> {
    let (&indicator, rest) = payload.split_first().ok_or(PayloadError::Truncated)?;
    let starts_key_frame = match indicator & TYPE {
        STAP_A => has_parameter_set(rest)?,
        FU_A => starts_parameter_set(rest)?,
        unit => is_parameter_set(unit)?,
    };
    Ok(PayloadHead { starts_key_frame, ..Default::default() })
}

/// Whether a single unit is a parameter set; an error where such a unit cannot stand in this mode.
fn is_parameter_set(unit: u8) -> Result<bool, PayloadError> {
    // Section 6.3 allows no other aggregation or fragmentation in this mode, and section 5.7 none within one.
    if UNITS.contains(&unit) { Ok(unit == PARAMETER_SET) } else { Err(PayloadError::Contradiction) }
}

/// Whether one of the units of a STAP-A is a parameter set, having seen that the units tile it (section 5.7.1).
fn has_parameter_set(mut units: &[u8]) -> Result<bool, PayloadError> {
    let mut is_found = false;
    loop {
        let (&len, rest) = units.split_first_chunk().ok_or(PayloadError::Truncated)?;
        let (unit, rest) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(len))).ok_or(PayloadError::Truncated)?;
        is_found |= is_parameter_set(unit.first().ok_or(PayloadError::Truncated)? & TYPE)?;
        if rest.is_empty() {
            return Ok(is_found);
        }
        units = rest;
    }
}

/// Whether an FU-A is the first part of a parameter set (section 5.8).
fn starts_parameter_set(part: &[u8]) -> Result<bool, PayloadError> {
    let header = *part.first().ok_or(PayloadError::Truncated)?;
    // A whole unit must not travel as a part.
    if header & (FIRST_PART | LAST_PART) == FIRST_PART | LAST_PART {
        return Err(PayloadError::Contradiction);
    }
    Ok(is_parameter_set(header & TYPE)? && header & FIRST_PART != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(payload: &[u8]) -> Result<bool, PayloadError> {
        read(payload).map(|head| head.starts_key_frame)
    }

    #[test]
    fn a_key_frame_starts_with_its_parameter_set_and_not_with_its_slices() {
        for (payload, expected) in [
            // As browsers send it: both parameter sets in one packet, then the slice in parts.
            (&[0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce][..], true),
            (&[0x7c, 0x85, 0x88], false),
            (&[0x7c, 0x05, 0x88], false),
            (&[0x7c, 0x45, 0x88], false),
            // Each in a packet of its own, behind a delimiter and a message.
            (&[0x09, 0xf0], false),
            (&[0x06, 0x05], false),
            (&[0x67, 0x42], true),
            (&[0x68, 0xce], false),
            (&[0x65, 0x88], false),
            (&[0x41, 0x9a], false),
            // Behind others in one packet.
            (&[0x78, 0, 2, 0x09, 0xf0, 0, 1, 0x67], true),
            (&[0x78, 0, 2, 0x09, 0xf0, 0, 1, 0x68], false),
            // A parameter set in parts.
            (&[0x7c, 0x87, 0x42], true),
            (&[0x7c, 0x07, 0x42], false),
            (&[0x7c, 0x47, 0x42], false),
            (&[0x7c, 0x87], true),
        ] {
            assert_eq!(starts(payload), Ok(expected), "{payload:x?}");
        }
    }

    #[test]
    fn units_that_do_not_tile_their_packet_are_refused() {
        for payload in [
            &[0x78][..],
            &[0x78, 0],
            &[0x78, 0, 0],
            &[0x78, 0, 1],
            &[0x78, 0, 2, 0x67],
            &[0x78, 0, 1, 0x67, 0],
            &[0x78, 0, 1, 0x67, 0, 0],
            &[0x78, 0, 1, 0x67, 0xff, 0xff, 0x68],
            &[0x7c],
        ] {
            assert_eq!(starts(payload), Err(PayloadError::Truncated), "{payload:x?}");
        }
    }

    #[test]
    fn what_cannot_stand_in_this_mode_is_refused() {
        for unit in [0, 25, 26, 27, 29, 30, 31] {
            assert_eq!(starts(&[unit, 0x80, 0x67, 0x42]), Err(PayloadError::Contradiction), "{unit}");
        }
        // Aggregated or cut again, and a unit that begins and ends in one part.
        for unit in (0..1).chain(24..32) {
            assert_eq!(starts(&[0x78, 0, 2, unit, 0x80]), Err(PayloadError::Contradiction), "{unit}");
            assert_eq!(starts(&[0x7c, FIRST_PART | unit, 0x80]), Err(PayloadError::Contradiction), "{unit}");
        }
        assert_eq!(starts(&[0x7c, FIRST_PART | LAST_PART | 5, 0x88]), Err(PayloadError::Contradiction));
    }
}
