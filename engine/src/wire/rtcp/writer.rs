//! Writing compound packets.

use shard_protocol::tables::Ssrc;

use super::ntp::NtpTimestamp;
use super::{
    CNAME, HEADER_LEN, REPORT_BLOCKS_MAX, ReferenceTimeReply, ReportBlock, SenderStatement, VERSION, block_type,
    packet_type, source_description_len,
};

/// Puts packets one after another into a slice; what does not fit whole is refused and leaves the packets before it as they
/// are.
///
/// A compound packet begins with a report and has a canonical name (RFC 3550 section 6.1); keeping that order is the
/// caller's.
#[derive(Debug)]
pub struct CompoundWriter<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl<'a> CompoundWriter<'a> {
    /// Begins an empty compound packet in `room`.
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, len: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes a sender report; `false` without room for it, or with more than [`REPORT_BLOCKS_MAX`] blocks.
    pub fn try_sender_report(
        &mut self,
        ssrc: Ssrc,
        statement: &SenderStatement,
        blocks: impl IntoIterator<Item = ReportBlock>,
    ) -> bool {
        self.try_packet(packet_type::SENDER_REPORT, |body| {
            body.word(ssrc.0)?;
            body.double_word(statement.ntp.0)?;
            body.word(statement.timestamp.0)?;
            body.word(statement.packets)?;
            body.word(statement.payload_len)?;
            body.report_blocks(blocks)
        })
    }

    /// Writes a receiver report; `false` without room for it, or with more than [`REPORT_BLOCKS_MAX`] blocks.
    pub fn try_receiver_report(&mut self, ssrc: Ssrc, blocks: impl IntoIterator<Item = ReportBlock>) -> bool {
        self.try_packet(packet_type::RECEIVER_REPORT, |body| {
            body.word(ssrc.0)?;
            body.report_blocks(blocks)
        })
    }

    /// Writes a source description that holds a canonical name (RFC 3550 section 6.5.1); `false` without room for it, or
    /// with a name of more than 255 bytes.
    pub fn try_source_description(&mut self, ssrc: Ssrc, cname: &[u8]) -> bool {
        self.try_packet(packet_type::SOURCE_DESCRIPTION, |body| {
            body.word(ssrc.0)?;
            body.bytes(&[CNAME, u8::try_from(cname.len()).ok()?])?;
            body.bytes(cname)?;
            let zeros = source_description_len(cname.len()) - HEADER_LEN - 4 - 2 - cname.len();
            body.bytes(&[0; 4][..zeros])?;
            Some(1)
        })
    }

    /// Writes an extended report that holds the service's clock (RFC 3611 section 4.4); `false` without room for it.
    pub fn try_reference_time(&mut self, ssrc: Ssrc, time: NtpTimestamp) -> bool {
        self.try_packet(packet_type::EXTENDED_REPORT, |body| {
            body.word(ssrc.0)?;
            body.bytes(&[block_type::REFERENCE_TIME, 0, 0, 2])?;
            body.double_word(time.0)?;
            Some(0)
        })
    }

    /// Writes an extended report that answers reference times (RFC 3611 section 4.5); `false` without room for it.
    pub fn try_reference_time_replies(
        &mut self,
        ssrc: Ssrc,
        replies: impl IntoIterator<Item = ReferenceTimeReply, IntoIter: ExactSizeIterator>,
    ) -> bool {
        let replies = replies.into_iter();
        self.try_packet(packet_type::EXTENDED_REPORT, |body| {
            let words = u16::try_from(3 * replies.len()).ok()?;
            body.word(ssrc.0)?;
            body.bytes(&[block_type::REFERENCE_TIME_REPLIES, 0])?;
            body.bytes(&words.to_be_bytes())?;
            for reply in replies {
                body.word(reply.ssrc.0)?;
                body.word(reply.last_reference_time.0)?;
                body.word(reply.delay_since_last_reference_time.0)?;
            }
            Some(0)
        })
    }

    /// Writes one packet whose body `write` makes, returning the count for the header; `None` takes the packet back.
    fn try_packet(&mut self, packet_type: u8, write: impl FnOnce(&mut Body<'_>) -> Option<u8>) -> bool {
        let start = self.len;
        let mut body = Body { room: self.room, len: start };
        let written = body.bytes(&[0; HEADER_LEN]).and_then(|()| write(&mut body));
        let end = body.len;
        let words = (end - start) / 4;
        debug_assert!(written.is_none() || (end - start).is_multiple_of(4));
        let (Some(count), Ok(length)) = (written, u16::try_from(words.saturating_sub(1))) else { return false };
        let Some(header) = self.room.get_mut(start..).and_then(<[u8]>::first_chunk_mut) else { return false };
        let [len_high, len_low] = length.to_be_bytes();
        *header = [VERSION << 6 | count, packet_type, len_high, len_low];
        self.len = end;
        true
    }
}

/// A packet while it is being written; `None` anywhere means that it does not fit.
struct Body<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Body<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.room.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    fn double_word(&mut self, word: u64) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    /// Writes `blocks` and returns their number.
    fn report_blocks(&mut self, blocks: impl IntoIterator<Item = ReportBlock>) -> Option<u8> {
        let mut count = 0;
        for block in blocks {
            if count == REPORT_BLOCKS_MAX as u8 {
                return None;
            }
            let lost = block.lost.clamp(LOST_MIN, LOST_MAX) as u32 & 0x00ff_ffff;
            self.word(block.ssrc.0)?;
            self.word(u32::from(block.fraction_lost) << 24 | lost)?;
            self.word(block.extended_highest_sequence)?;
            self.word(block.jitter)?;
            self.word(block.last_sender_report.0)?;
            self.word(block.delay_since_last_sender_report.0)?;
            count += 1;
        }
        Some(count)
    }
}

/// The bounds of a signed number of 24 bits.
const LOST_MIN: i32 = -(1 << 23);
const LOST_MAX: i32 = (1 << 23) - 1;
