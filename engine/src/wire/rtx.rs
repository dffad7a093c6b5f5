//! Retransmitted packets, RFC 4588 section 4: another SSRC and payload type, and the original sequence number before the
//! payload.

use shard_protocol::tables::PayloadType;

use super::rtp::RtpHeader;
use super::sequence::SeqNo;

/// Bytes of the original sequence number.
pub const ORIGINAL_LEN: usize = 2;

/// The marker bit, beside the payload type.
const MARKER: u8 = 0x80;

/// Takes the original sequence number out of the opened `packet`, whose payload ends at `payload_end`, closes the gap and
/// gives the packet the `payload_type` of the media. The payload then ends [`ORIGINAL_LEN`] bytes earlier. `None` where there
/// is no such number: the packet is mere padding.
pub fn take_original(
    packet: &mut [u8],
    header: &RtpHeader,
    payload_end: usize,
    payload_type: PayloadType,
) -> Option<SeqNo> {
    let payload = packet.get_mut(header.header_len..payload_end)?;
    let original = *payload.first_chunk::<ORIGINAL_LEN>()?;
    payload.copy_within(ORIGINAL_LEN.., 0);
    let second = packet.get_mut(1)?;
    *second = (*second & MARKER) | payload_type.0;
    Some(SeqNo(u16::from_be_bytes(original)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_number_is_taken_out_and_padding_has_none() {
        let mut packet = vec![0x80, 0x80 | 97, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7, 0x12, 0x34, 1, 2, 3];
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(take_original(&mut packet, &header, 17, PayloadType(96)), Some(SeqNo(0x1234)));
        assert_eq!((packet[1], &packet[12..15]), (0x80 | 96, &[1, 2, 3][..]));
        assert_eq!(take_original(&mut packet, &header, 13, PayloadType(96)), None);
        assert_eq!(take_original(&mut packet, &header, 12, PayloadType(96)), None);
    }
}
