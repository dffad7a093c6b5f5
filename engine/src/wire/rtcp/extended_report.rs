//! Extended reports (RFC 3611), as far as they tell a round trip to those who only receive.

use shard_protocol::tables::Ssrc;

use super::ntp::{CompactDelay, CompactNtp, NtpTimestamp};
use super::{
    BLOCK_HEADER_LEN, HEADER_LEN, REFERENCE_TIME_REPLY_LEN, ReferenceTimeReply, block_type, double_word, word,
};

/// Bytes of the packet's header and its sender's SSRC.
const BLOCKS_START: usize = HEADER_LEN + 4;

/// An extended report, RFC 3611 section 2.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedReport<'a> {
    /// Whose.
    pub ssrc: Ssrc,
    blocks: &'a [u8],
}

/// One thing that an extended report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportItem {
    /// RRTR: the sender's clock, to be sent back (section 4.4).
    ReferenceTime(NtpTimestamp),
    /// A sub-block of DLRR: the receiver's own reference time sent back (section 4.5).
    ReferenceTimeReply(ReferenceTimeReply),
}

impl<'a> ExtendedReport<'a> {
    /// Reads a packet without padding; `None` where its blocks do not tile it, or one has a length that its type does not
    /// allow.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let blocks = packet.get(BLOCKS_START..)?;
        let mut rest = blocks;
        while !rest.is_empty() {
            let (kind, body, behind) = split_block(rest)?;
            let fits = match kind {
                block_type::REFERENCE_TIME => body.len() == 8,
                block_type::REFERENCE_TIME_REPLIES => body.len() % REFERENCE_TIME_REPLY_LEN == 0,
                _ => true,
            };
            if !fits {
                return None;
            }
            rest = behind;
        }
        Some(Self { ssrc: Ssrc(word(packet, HEADER_LEN)), blocks })
    }

    /// What it says, in its order; blocks of other types are passed over.
    pub fn items(&self) -> impl Iterator<Item = ReportItem> + use<'a> {
        let mut rest = self.blocks;
        let blocks = std::iter::from_fn(move || {
            let (kind, body, behind) = split_block(rest)?;
            rest = behind;
            Some((kind, body))
        });
        blocks.flat_map(|(kind, body)| {
            let (times, replies): (&[u8], &[u8]) = match kind {
                block_type::REFERENCE_TIME => (body, &[]),
                block_type::REFERENCE_TIME_REPLIES => (&[], body),
                _ => (&[], &[]),
            };
            let times = times.chunks_exact(8).map(|time| ReportItem::ReferenceTime(NtpTimestamp(double_word(time, 0))));
            let replies = replies.chunks_exact(REFERENCE_TIME_REPLY_LEN).map(|reply| {
                ReportItem::ReferenceTimeReply(ReferenceTimeReply {
                    ssrc: Ssrc(word(reply, 0)),
                    last_reference_time: CompactNtp(word(reply, 4)),
                    delay_since_last_reference_time: CompactDelay(word(reply, 8)),
                })
            });
            times.chain(replies)
        })
    }
}

/// Type and body of the first block, and what follows it; `None` where it ends behind the end.
fn split_block(blocks: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, _, len_high, len_low], rest) = blocks.split_first_chunk::<BLOCK_HEADER_LEN>()?;
    let (body, behind) = rest.split_at_checked(4 * usize::from(u16::from_be_bytes([len_high, len_low])))?;
    Some((kind, body, behind))
}
