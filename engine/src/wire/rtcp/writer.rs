//! Writing compound packets.

use std::time::Duration;

use shard_protocol::tables::Ssrc;

use super::ntp::NtpTimestamp;
use super::{
    CNAME, HEADER_LEN, REPORT_BLOCKS_MAX, ReferenceTimeReply, ReportBlock, SenderStatement, VERSION, arrivals,
    block_type, format, packet_type, source_description_len,
};
use crate::wire::sequence::SeqNo;

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

    /// Writes a generic NACK (RFC 4585 section 6.2.1) of as many of the `lost` packets of `media` as have room, and returns
    /// how many it took from the front; nothing where that is 0.
    ///
    /// Ascending numbers take least room, up to 17 a word; any others are written too. An iterator that is lent is moved one
    /// further than that.
    pub fn try_nack(&mut self, sender: Ssrc, media: Ssrc, lost: impl IntoIterator<Item = SeqNo>) -> usize {
        let mut lost = lost.into_iter().peekable();
        let mut taken = 0;
        let is_written = self.try_packet(packet_type::TRANSPORT_FEEDBACK, |body| {
            body.word(sender.0)?;
            body.word(media.0)?;
            while let Some(first) = lost.next_if(|_| body.room_len() > 0) {
                taken += 1;
                let mut following = 0;
                // The bits stand for the sixteen packets behind the first; the first once more needs none.
                while let Some(next) = lost.next_if(|next| next.0.wrapping_sub(first.0) <= 16) {
                    taken += 1;
                    following |= 1 << next.0.wrapping_sub(first.0) >> 1;
                }
                body.word(u32::from(first.0) << 16 | following)?;
            }
            (taken > 0).then_some(format::NACK)
        });
        if is_written { taken } else { 0 }
    }

    /// Writes a picture loss indication (RFC 4585 section 6.3.1), which asks for a key frame of `media`; `false` without
    /// room for it.
    pub fn try_picture_loss(&mut self, sender: Ssrc, media: Ssrc) -> bool {
        self.try_packet(packet_type::PAYLOAD_FEEDBACK, |body| {
            body.word(sender.0)?;
            body.word(media.0)?;
            Some(format::PICTURE_LOSS)
        })
    }

    /// Writes a receiver's estimate (REMB, draft-alvestrand-rmcat-remb-03 section 2.2): the `ssrcs` together may have
    /// `bits_per_second`, rounded down to 18 significant bits; `false` without room for it, or with more than 255 streams.
    pub fn try_receiver_estimate(
        &mut self,
        sender: Ssrc,
        bits_per_second: u64,
        ssrcs: impl ExactSizeIterator<Item = Ssrc>,
    ) -> bool {
        self.try_packet(packet_type::PAYLOAD_FEEDBACK, |body| {
            let exponent = (u64::BITS - bits_per_second.leading_zeros()).saturating_sub(ESTIMATE_BITS);
            let mantissa = (bits_per_second >> exponent) as u32;
            body.word(sender.0)?;
            // The streams are listed, so that none stands here.
            body.word(0)?;
            body.bytes(b"REMB")?;
            body.word(u32::from(u8::try_from(ssrcs.len()).ok()?) << 24 | exponent << ESTIMATE_BITS | mantissa)?;
            for ssrc in ssrcs {
                body.word(ssrc.0)?;
            }
            Some(format::APPLICATION)
        })
    }

    /// Writes transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1) of as many packets
    /// from the front of `arrivals` as it can tell and has room for, and returns their number; nothing where that is 0.
    ///
    /// `arrivals` are the times since one fixed epoch at which `base` and the numbers behind it arrived, `None` for one that
    /// did not; they are told to 250 us. `count` is one more with each feedback to the same transport. A feedback ends
    /// before an arrival that is over 8.19 s from the one before, and tells of at most 65 535 packets: the caller goes on in
    /// another. 0 is returned where nothing arrived, or without room for one arrival.
    pub fn try_transport_feedback(
        &mut self,
        sender: Ssrc,
        media: Ssrc,
        count: u8,
        base: SeqNo,
        arrivals: &[Option<Duration>],
    ) -> usize {
        let mut statuses = 0;
        let is_written = self.try_packet(packet_type::TRANSPORT_FEEDBACK, |body| {
            body.word(sender.0)?;
            body.word(media.0)?;
            statuses = arrivals::write(body, count, base, arrivals)?;
            Some(format::TRANSPORT_WIDE)
        });
        if is_written { statuses } else { 0 }
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
pub(super) struct Body<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Body<'_> {
    /// Bytes written so far, with the packets before.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that there is room for, in whole words.
    pub(super) fn room_len(&self) -> usize {
        (self.room.len() - self.len) / 4 * 4
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.overwrite(self.len, bytes)?;
        self.len += bytes.len();
        Some(())
    }

    /// Writes over what stands at `at`.
    pub(super) fn overwrite(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        self.room.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    pub(super) fn word(&mut self, word: u32) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    fn double_word(&mut self, word: u64) -> Option<()> {
        self.bytes(&word.to_be_bytes())
    }

    /// Writes zeros to the end of the word.
    pub(super) fn fill_word(&mut self) -> Option<()> {
        self.bytes(&[0; 3][..self.len.next_multiple_of(4) - self.len])
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

/// Bits of an estimate's mantissa.
const ESTIMATE_BITS: u32 = 18;
