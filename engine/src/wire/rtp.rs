//! The RTP fixed header, RFC 3550 section 5.1, and the padding at a packet's end.
//!
//! Header extensions are walked by [`super::extension`]; payloads are not read here.

use shard_protocol::tables::{PayloadType, Ssrc};

use super::sequence::{SeqNo, Timestamp};

/// Bytes of the header without contributing sources and extension.
pub const FIXED_HEADER_LEN: usize = 12;

const VERSION: u8 = 2;

/// Why a packet is no RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its own header says.
    #[error("the packet is shorter than its header")]
    Truncated,
    /// Another version than 2.
    #[error("the packet has another RTP version than 2")]
    Version,
    /// The padding's length is 0 or reaches into the header.
    #[error("the padding does not fit the payload")]
    Padding,
}

/// Where the extension block of a packet lies, RFC 3550 section 5.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// The "defined by profile" field, which tells the form of the elements.
    pub profile: u16,
    /// Where the elements begin.
    pub start: usize,
    /// Bytes of all elements with their padding, a multiple of 4.
    pub len: usize,
}

/// A parsed header; every offset lies within the packet that it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Its meaning belongs to the payload format.
    pub marker: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence: SeqNo,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// Whose packet it is.
    pub ssrc: Ssrc,
    /// Whether the payload ends with padding.
    pub has_padding: bool,
    /// The extension block, where there is one.
    pub extension: Option<ExtensionBlock>,
    /// Bytes up to the payload.
    pub header_len: usize,
}

impl RtpHeader {
    /// Reads the header of `packet`. The payload may still be encrypted: nothing behind the header is looked at.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let fixed: &[u8; FIXED_HEADER_LEN] = packet.first_chunk().ok_or(RtpError::Truncated)?;
        if fixed[0] >> 6 != VERSION {
            return Err(RtpError::Version);
        }
        let mut header_len = FIXED_HEADER_LEN + 4 * usize::from(fixed[0] & 0x0f);
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let words: &[u8; 4] = packet.get(header_len..).and_then(<[u8]>::first_chunk).ok_or(RtpError::Truncated)?;
            let block = ExtensionBlock {
                profile: u16::from_be_bytes([words[0], words[1]]),
                start: header_len + 4,
                len: 4 * usize::from(u16::from_be_bytes([words[2], words[3]])),
            };
            header_len = block.start + block.len;
            extension = Some(block);
        }
        if packet.len() < header_len {
            return Err(RtpError::Truncated);
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: PayloadType(fixed[1] & 0x7f),
            sequence: SeqNo(u16::from_be_bytes([fixed[2], fixed[3]])),
            timestamp: Timestamp(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])),
            ssrc: Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
            has_padding: fixed[0] & 0x20 != 0,
            extension,
            header_len,
        })
    }

    /// Where the payload of the decrypted `packet` ends: before the padding, if it has any. A payload may be empty.
    pub fn payload_end(&self, packet: &[u8]) -> Result<usize, RtpError> {
        if !self.has_padding {
            return Ok(packet.len());
        }
        let payload = packet.get(self.header_len..).ok_or(RtpError::Truncated)?;
        match payload.last().map(|&last| usize::from(last)) {
            Some(padding) if padding != 0 && padding <= payload.len() => Ok(packet.len() - padding),
            _ => Err(RtpError::Padding),
        }
    }

    /// Writes the fixed header without padding, sources and extension bit cleared unless `with_extension`, to the start
    /// of `out`, which has at least [`FIXED_HEADER_LEN`] bytes.
    pub fn write_fixed(
        out: &mut [u8; FIXED_HEADER_LEN],
        marker: bool,
        payload_type: PayloadType,
        sequence: SeqNo,
        timestamp: Timestamp,
        ssrc: Ssrc,
    ) {
        out[0] = VERSION << 6;
        out[1] = (u8::from(marker) << 7) | (payload_type.0 & 0x7f);
        out[2..4].copy_from_slice(&sequence.0.to_be_bytes());
        out[4..8].copy_from_slice(&timestamp.0.to_be_bytes());
        out[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtp_util::marshal::{Marshal, MarshalSize, Unmarshal};

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_no_offset_leaves_the_packet(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(header) = RtpHeader::parse(&bytes) {
                prop_assert!(header.header_len <= bytes.len());
                if let Some(block) = header.extension {
                    prop_assert_eq!(block.start + block.len, header.header_len);
                }
                if let Ok(end) = header.payload_end(&bytes) {
                    prop_assert!((header.header_len..=bytes.len()).contains(&end));
                }
            }
        }

        #[test]
        fn it_reads_what_the_rtp_crate_writes(
            marker: bool, payload_type in 0u8..128, sequence_number: u16, timestamp: u32, ssrc: u32,
            csrc in prop::collection::vec(any::<u32>(), 0..16), payload in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let packet = rtp::packet::Packet {
                header: rtp::header::Header {
                    version: 2, marker, payload_type, sequence_number, timestamp, ssrc, csrc, ..Default::default()
                },
                payload: payload.clone().into(),
            };
            let bytes = packet.marshal().unwrap();
            let header = RtpHeader::parse(&bytes).unwrap();
            prop_assert_eq!(header.marker, marker);
            prop_assert_eq!(header.payload_type.0, payload_type);
            prop_assert_eq!(header.sequence.0, sequence_number);
            prop_assert_eq!(header.timestamp.0, timestamp);
            prop_assert_eq!(header.ssrc.0, ssrc);
            prop_assert_eq!(header.header_len, packet.header.marshal_size());
            prop_assert_eq!(&bytes[header.header_len..header.payload_end(&bytes).unwrap()], &payload[..]);

            let mut fixed = [0; FIXED_HEADER_LEN];
            RtpHeader::write_fixed(
                &mut fixed, marker, header.payload_type, header.sequence, header.timestamp, header.ssrc,
            );
            let read = rtp::header::Header::unmarshal(&mut &fixed[..]).unwrap();
            prop_assert_eq!(
                (read.marker, read.payload_type, read.sequence_number, read.timestamp, read.ssrc),
                (marker, payload_type, sequence_number, timestamp, ssrc)
            );
        }
    }

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend_from_slice(rest);
        packet
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused() {
        assert_eq!(RtpHeader::parse(&[0x80; 11]), Err(RtpError::Truncated));
        assert_eq!(RtpHeader::parse(&packet(0x40, &[])), Err(RtpError::Version));
        assert_eq!(RtpHeader::parse(&packet(0x82, &[0; 7])), Err(RtpError::Truncated));
        assert_eq!(RtpHeader::parse(&packet(0x90, &[0xbe, 0xde, 0])), Err(RtpError::Truncated));
        assert_eq!(RtpHeader::parse(&packet(0x90, &[0xbe, 0xde, 0, 2, 0, 0, 0, 0])), Err(RtpError::Truncated));
        assert!(RtpHeader::parse(&packet(0x90, &[0xbe, 0xde, 0, 0])).is_ok());
    }

    #[test]
    fn padding_ends_the_payload_and_never_reaches_into_the_header() {
        let ends = |payload: &[u8]| {
            let packet = packet(0xa0, payload);
            RtpHeader::parse(&packet).unwrap().payload_end(&packet)
        };
        assert_eq!(ends(&[9, 9, 0, 2]), Ok(14));
        assert_eq!(ends(&[0, 0, 3]), Ok(12));
        assert_eq!(ends(&[9, 0]), Err(RtpError::Padding));
        assert_eq!(ends(&[9, 3]), Err(RtpError::Padding));
        assert_eq!(ends(&[]), Err(RtpError::Padding));
    }
}
