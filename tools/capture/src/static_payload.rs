//! The payload types that RFC 3551 section 6 fixes.

use crate::codec::Kind;

/// What a static payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StaticPayload {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) clock_rate_hz: u32,
}

/// What `payload_type` is fixed to stand for, if it is.
pub(crate) fn of(payload_type: u8) -> Option<StaticPayload> {
    let (name, kind, clock_rate_hz) = match payload_type {
        0 => ("PCMU", Kind::Audio, 8_000),
        3 => ("GSM", Kind::Audio, 8_000),
        4 => ("G723", Kind::Audio, 8_000),
        5 => ("DVI4", Kind::Audio, 8_000),
        6 => ("DVI4", Kind::Audio, 16_000),
        7 => ("LPC", Kind::Audio, 8_000),
        8 => ("PCMA", Kind::Audio, 8_000),
        // It samples at 16 kHz; its clock has the rate of an old mistake (section 4.5.2).
        9 => ("G722", Kind::Audio, 8_000),
        10 | 11 => ("L16", Kind::Audio, 44_100),
        12 => ("QCELP", Kind::Audio, 8_000),
        13 => ("CN", Kind::Audio, 8_000),
        14 => ("MPA", Kind::Audio, 90_000),
        15 => ("G728", Kind::Audio, 8_000),
        16 => ("DVI4", Kind::Audio, 11_025),
        17 => ("DVI4", Kind::Audio, 22_050),
        18 => ("G729", Kind::Audio, 8_000),
        25 => ("CelB", Kind::Video, 90_000),
        26 => ("JPEG", Kind::Video, 90_000),
        28 => ("nv", Kind::Video, 90_000),
        31 => ("H261", Kind::Video, 90_000),
        32 => ("MPV", Kind::Video, 90_000),
        33 => ("MP2T", Kind::Video, 90_000),
        34 => ("H263", Kind::Video, 90_000),
        _ => return None,
    };
    Some(StaticPayload { name, kind, clock_rate_hz })
}

/// Whether RFC 3551 or its successors leave `payload_type` to be agreed on in each session: 96 to 127 are meant for that,
/// and 35 to 63 are used where those run out (RFC 5761 section 4).
pub(crate) fn is_dynamic(payload_type: u8) -> bool {
    matches!(payload_type, 35..=63 | 96..=127)
}
