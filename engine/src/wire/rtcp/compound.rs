//! The walk over a compound packet, and the views of its packets.

use shard_protocol::tables::Ssrc;

use super::extended_report::ExtendedReport;
use super::feedback::Feedback;
use super::ntp::{CompactDelay, CompactNtp, NtpTimestamp};
use super::{
    HEADER_LEN, RECEIVER_REPORT_LEN, REPORT_BLOCK_LEN, ReportBlock, RtcpError, SENDER_REPORT_LEN, SenderStatement,
    VERSION, double_word, packet_type, word,
};
use crate::wire::sequence::Timestamp;

/// A compound packet whose packets are all well formed.
///
/// It may begin with any packet and hold a single one: peers send reduced-size packets (RFC 5506).
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

/// One packet of a compound packet.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// SR: what a peer has sent, and what it has received.
    SenderReport(SenderReport<'a>),
    /// RR: what a peer has received.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES: names, which nobody here asks for.
    SourceDescription,
    /// BYE: streams that end.
    Goodbye(Goodbye<'a>),
    /// RTPFB: feedback for the transport.
    TransportFeedback(Feedback<'a>),
    /// PSFB: feedback for the payload.
    PayloadFeedback(Feedback<'a>),
    /// XR: more reports.
    ExtendedReport(ExtendedReport<'a>),
    /// Something else, which is passed over.
    Other,
}

/// A sender report, RFC 3550 section 6.4.1.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    /// Whose.
    pub ssrc: Ssrc,
    /// What it says of its own stream.
    pub statement: SenderStatement,
    /// What it says of the streams that it receives.
    pub blocks: ReportBlocks<'a>,
}

/// A receiver report, RFC 3550 section 6.4.2.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    /// Whose.
    pub ssrc: Ssrc,
    /// What it says of the streams that it receives.
    pub blocks: ReportBlocks<'a>,
}

/// The report blocks of one packet, as an iterator.
#[derive(Clone, Copy, Debug)]
pub struct ReportBlocks<'a> {
    bytes: &'a [u8],
}

/// A farewell, RFC 3550 section 6.6.
#[derive(Clone, Copy, Debug)]
pub struct Goodbye<'a> {
    ssrcs: &'a [u8],
}

/// A packet before its body is looked at.
pub(super) struct Frame<'a> {
    /// The five bits beside the version: report count or feedback format.
    pub(super) count: u8,
    pub(super) packet_type: u8,
    /// The packet without padding; at least [`HEADER_LEN`] bytes.
    pub(super) bytes: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Reads a whole decrypted compound packet, demanding of each packet version 2, a length that ends inside, no padding
    /// but in the last, and a body as long as its type and count say (RFC 3550 section 6.1 and appendix A.2).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtcpError> {
        let mut rest = bytes;
        loop {
            let (frame, behind) = Frame::split_first(rest)?;
            Packet::parse(&frame)?;
            if behind.is_empty() {
                return Ok(Self { bytes });
            }
            rest = behind;
        }
    }

    /// The packets in their order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            // Nothing fails here that `parse` has let pass.
            let (frame, behind) = Frame::split_first(rest).ok()?;
            rest = behind;
            Packet::parse(&frame).ok()
        })
    }
}

impl<'a> Frame<'a> {
    /// Cuts the first packet off `bytes`.
    fn split_first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RtcpError> {
        let &[first, packet_type, len_high, len_low] = bytes.first_chunk::<HEADER_LEN>().ok_or(RtcpError::Truncated)?;
        if first >> 6 != VERSION {
            return Err(RtcpError::Version);
        }
        // The length counts words, less the header's one (RFC 3550 section 6.4.1).
        let len = HEADER_LEN + 4 * usize::from(u16::from_be_bytes([len_high, len_low]));
        let (mut packet, behind) = bytes.split_at_checked(len).ok_or(RtcpError::Truncated)?;
        if first & 0x20 != 0 {
            if !behind.is_empty() {
                return Err(RtcpError::Padding);
            }
            packet = without_padding(packet).ok_or(RtcpError::Padding)?;
        }
        Ok((Self { count: first & 0x1f, packet_type, bytes: packet }, behind))
    }

    /// The sender's SSRC and `count` report blocks from `start` on; what follows them is a profile's own.
    fn reports(&self, start: usize) -> Option<(Ssrc, ReportBlocks<'a>)> {
        let blocks = self.bytes.get(start..start + REPORT_BLOCK_LEN * usize::from(self.count))?;
        Some((Ssrc(word(self.bytes, HEADER_LEN)), ReportBlocks { bytes: blocks }))
    }
}

/// The last byte counts the padding, itself included (RFC 3550 section 6.4.1). There it counts whole words, but libwebrtc
/// fills transport-wide feedback up to a word with one to three bytes of padding.
fn without_padding(packet: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*packet.last()?);
    let len = packet.len().checked_sub(padding).filter(|&len| len >= HEADER_LEN)?;
    (padding != 0).then(|| &packet[..len])
}

impl<'a> Packet<'a> {
    fn parse(frame: &Frame<'a>) -> Result<Self, RtcpError> {
        let packet = match frame.packet_type {
            packet_type::SENDER_REPORT => SenderReport::parse(frame).map(Self::SenderReport),
            packet_type::RECEIVER_REPORT => ReceiverReport::parse(frame).map(Self::ReceiverReport),
            packet_type::SOURCE_DESCRIPTION => Some(Self::SourceDescription),
            packet_type::GOODBYE => Goodbye::parse(frame).map(Self::Goodbye),
            packet_type::TRANSPORT_FEEDBACK => Feedback::parse(frame).map(Self::TransportFeedback),
            packet_type::PAYLOAD_FEEDBACK => Feedback::parse(frame).map(Self::PayloadFeedback),
            packet_type::EXTENDED_REPORT => ExtendedReport::parse(frame.bytes).map(Self::ExtendedReport),
            _ => Some(Self::Other),
        };
        packet.ok_or(RtcpError::Body)
    }
}

impl<'a> SenderReport<'a> {
    fn parse(frame: &Frame<'a>) -> Option<Self> {
        let (ssrc, blocks) = frame.reports(SENDER_REPORT_LEN)?;
        let statement = SenderStatement {
            ntp: NtpTimestamp(double_word(frame.bytes, 8)),
            timestamp: Timestamp(word(frame.bytes, 16)),
            packets: word(frame.bytes, 20),
            payload_len: word(frame.bytes, 24),
        };
        Some(Self { ssrc, statement, blocks })
    }
}

impl<'a> ReceiverReport<'a> {
    fn parse(frame: &Frame<'a>) -> Option<Self> {
        let (ssrc, blocks) = frame.reports(RECEIVER_REPORT_LEN)?;
        Some(Self { ssrc, blocks })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.bytes.split_at_checked(REPORT_BLOCK_LEN)?;
        self.bytes = rest;
        let lost = word(block, 4);
        Some(ReportBlock {
            ssrc: Ssrc(word(block, 0)),
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and down again, the sign of the 24 bits becomes that of the 32.
            lost: (lost << 8) as i32 >> 8,
            extended_highest_sequence: word(block, 8),
            jitter: word(block, 12),
            last_sender_report: CompactNtp(word(block, 16)),
            delay_since_last_sender_report: CompactDelay(word(block, 20)),
        })
    }
}

impl<'a> Goodbye<'a> {
    fn parse(frame: &Frame<'a>) -> Option<Self> {
        let ssrcs = frame.bytes.get(HEADER_LEN..HEADER_LEN + 4 * usize::from(frame.count))?;
        Some(Self { ssrcs })
    }

    /// The streams that end.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        let ssrcs = self.ssrcs;
        (0..ssrcs.len()).step_by(4).map(|at| Ssrc(word(ssrcs, at)))
    }
}
