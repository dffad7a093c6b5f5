//! RTCP: reading and writing compound packets (RFC 3550 section 6, RFC 3611, RFC 4585 section 6, RFC 5104 section 4.3).
//!
//! [`Compound::parse`] takes a compound packet whole or not at all; after that its [`Packet`]s are views that can't fail.
//! [`CompoundWriter`] puts packets one after another into the room that it is given.
//!
//! Not here: when to send what, what a report's numbers come from, and what receivers estimate of their line.

mod arrivals;
mod compound;
mod extended_report;
mod feedback;
mod ntp;
#[cfg(test)]
mod tests;
mod writer;

pub use compound::{Compound, Goodbye, Packet, ReceiverReport, ReportBlocks, SenderReport};
pub use extended_report::{ExtendedReport, ReportItem};
pub use feedback::{Feedback, FeedbackKind};
pub use ntp::{CompactDelay, CompactNtp, NtpTimestamp, round_trip};
use shard_protocol::tables::Ssrc;
pub use writer::CompoundWriter;

use super::sequence::Timestamp;

/// Bytes of a packet's header (RFC 3550 section 6.4.1).
pub const HEADER_LEN: usize = 4;

/// Report blocks that one packet can count (RFC 3550 section 6.4.1).
pub const REPORT_BLOCKS_MAX: usize = 31;

/// Bytes of one report block.
pub const REPORT_BLOCK_LEN: usize = 24;

/// Bytes of a sender report without blocks.
pub const SENDER_REPORT_LEN: usize = HEADER_LEN + 24;

/// Bytes of a receiver report without blocks.
pub const RECEIVER_REPORT_LEN: usize = HEADER_LEN + 4;

/// Bytes of an extended report that holds one reference time.
pub const REFERENCE_TIME_LEN: usize = HEADER_LEN + 4 + BLOCK_HEADER_LEN + 8;

/// Bytes of an extended report that holds `replies` replies to reference times.
pub const fn reference_time_replies_len(replies: usize) -> usize {
    HEADER_LEN + 4 + BLOCK_HEADER_LEN + replies * REFERENCE_TIME_REPLY_LEN
}

/// Bytes of a negative acknowledgement of `words` times up to 17 packets.
pub const fn nack_len(words: usize) -> usize {
    FEEDBACK_HEADER_LEN + 4 * words
}

/// Bytes of a picture loss indication.
pub const PICTURE_LOSS_LEN: usize = FEEDBACK_HEADER_LEN;

/// Bytes of a receiver's estimate for `ssrcs` streams.
pub const fn receiver_estimate_len(ssrcs: usize) -> usize {
    FEEDBACK_HEADER_LEN + 8 + 4 * ssrcs
}

/// Bytes of a source description that holds one canonical name of `cname_len` bytes.
pub const fn source_description_len(cname_len: usize) -> usize {
    // A chunk ends with at least one zero, and on a word (RFC 3550 section 6.5).
    HEADER_LEN + 4 + (2 + cname_len + 1).next_multiple_of(4)
}

/// Why a compound packet is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Empty, or a packet ends behind the end.
    #[error("a packet is longer than what is left")]
    Truncated,
    /// Another version than 2.
    #[error("a packet has another RTCP version than 2")]
    Version,
    /// Padding before the last packet, or a count of padding that does not fit.
    #[error("the padding is at the wrong place or has a wrong length")]
    Padding,
    /// A packet too short for what its type and count say.
    #[error("a packet is shorter than its type and count say")]
    Body,
}

/// What a sender reports of its own stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderStatement {
    /// When the report was made, on the sender's clock.
    pub ntp: NtpTimestamp,
    /// The same moment on the stream's clock.
    pub timestamp: Timestamp,
    /// Packets sent so far; wraps.
    pub packets: u32,
    /// Payload bytes sent so far; wraps.
    pub payload_len: u32,
}

/// What a receiver reports of one stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose packets.
    pub ssrc: Ssrc,
    /// The share lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// All lost so far, of 24 bits; negative where packets came twice.
    pub lost: i32,
    /// The newest sequence number with its roll-overs.
    pub extended_highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// The time in the newest sender report; 0 before the first.
    pub last_sender_report: CompactNtp,
    /// How long ago that report came; 0 before the first.
    pub delay_since_last_sender_report: CompactDelay,
}

/// An answer to a reference time: one sub-block of a DLRR block (RFC 3611 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceTimeReply {
    /// Who sent the reference time.
    pub ssrc: Ssrc,
    /// The reference time; 0 before the first.
    pub last_reference_time: CompactNtp,
    /// How long ago it came; 0 before the first.
    pub delay_since_last_reference_time: CompactDelay,
}

/// Packet types (RFC 3550 section 12.1, RFC 3611 section 2, RFC 4585 section 6.1).
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const GOODBYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(super) const EXTENDED_REPORT: u8 = 207;
}

/// Formats of feedback, each of its packet type (RFC 4585 sections 6.2 to 6.4, RFC 5104 section 4.3).
mod format {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_WIDE: u8 = 15;
    pub(super) const PICTURE_LOSS: u8 = 1;
    pub(super) const FULL_INTRA_REQUEST: u8 = 4;
    pub(super) const APPLICATION: u8 = 15;
}

/// Block types of an extended report (RFC 3611 section 4).
mod block_type {
    pub(super) const REFERENCE_TIME: u8 = 4;
    pub(super) const REFERENCE_TIME_REPLIES: u8 = 5;
}

const VERSION: u8 = 2;

/// Bytes of a feedback message before what it says (RFC 4585 section 6.1).
const FEEDBACK_HEADER_LEN: usize = HEADER_LEN + 8;

/// Bytes of a block's header in an extended report (RFC 3611 section 3).
const BLOCK_HEADER_LEN: usize = 4;

/// Bytes of one reply to a reference time.
const REFERENCE_TIME_REPLY_LEN: usize = 12;

/// The item of a source description that holds the canonical name (RFC 3550 section 6.5.1).
const CNAME: u8 = 1;

/// The big-endian word at `at`; 0 behind the end, where no caller that has checked its lengths reads.
fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    debug_assert!(bytes.is_some());
    bytes.copied().map_or(0, u32::from_be_bytes)
}

/// The big-endian double word at `at`, like [`word`].
fn double_word(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
}
