//! Feedback messages (RFC 4585 section 6, RFC 5104 section 4.3): what a receiver has lost, and which streams it needs a key
//! frame of.
//!
//! What receivers estimate of their line (REMB, transport-wide feedback) is not read here.

use shard_protocol::tables::Ssrc;

use super::compound::Frame;
use super::{FEEDBACK_HEADER_LEN, HEADER_LEN, format, packet_type, word};
use crate::wire::sequence::SeqNo;

/// A feedback message, RFC 4585 section 6.1.
#[derive(Clone, Copy, Debug)]
pub struct Feedback<'a> {
    /// What the body is.
    pub kind: FeedbackKind,
    /// Who says it.
    pub sender: Ssrc,
    /// Whose stream it is about; 0 where the body tells.
    pub media: Ssrc,
    /// The feedback control information.
    pub body: &'a [u8],
}

/// What a feedback message is about, by its packet type and format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackKind {
    /// Generic NACK: packets that the sender has lost (RFC 4585 section 6.2.1).
    Nack,
    /// PLI: the sender has lost the picture (RFC 4585 section 6.3.1).
    PictureLoss,
    /// FIR: the sender needs a key frame of each stream that is listed (RFC 5104 section 4.3.1).
    FullIntraRequest,
    /// Something else, which is passed over.
    Other,
}

/// Bytes of a packet id and the bits behind it.
const NACK_LEN: usize = 4;

/// Bytes of an SSRC, a command's number and what is reserved.
const FULL_INTRA_REQUEST_LEN: usize = 8;

impl<'a> Feedback<'a> {
    /// Reads a packet without padding; `None` where it has a length that its format does not allow.
    pub(super) fn parse(frame: &Frame<'a>) -> Option<Self> {
        let body = frame.bytes.get(FEEDBACK_HEADER_LEN..)?;
        let (kind, item_len) = match (frame.packet_type, frame.count) {
            (packet_type::TRANSPORT_FEEDBACK, format::NACK) => (FeedbackKind::Nack, NACK_LEN),
            (packet_type::PAYLOAD_FEEDBACK, format::PICTURE_LOSS) => (FeedbackKind::PictureLoss, 1),
            (packet_type::PAYLOAD_FEEDBACK, format::FULL_INTRA_REQUEST) => {
                (FeedbackKind::FullIntraRequest, FULL_INTRA_REQUEST_LEN)
            }
            _ => (FeedbackKind::Other, 1),
        };
        let (sender, media) = (Ssrc(word(frame.bytes, HEADER_LEN)), Ssrc(word(frame.bytes, HEADER_LEN + 4)));
        body.len().is_multiple_of(item_len).then_some(Self { kind, sender, media, body })
    }

    /// The numbers of the packets of [`Self::media`] that the sender has lost, in the order that it lists them; `None`
    /// where it is no such message.
    ///
    /// A word of the body lists up to 17, and nothing keeps it from listing one twice.
    pub fn lost(&self) -> Option<impl Iterator<Item = SeqNo> + use<'a>> {
        let items = (self.kind == FeedbackKind::Nack).then(|| self.body.chunks_exact(NACK_LEN))?;
        Some(items.flat_map(|item| {
            let item = word(item, 0);
            let first = (item >> 16) as u16;
            // Bit 0 is the packet behind the first.
            let following = (0..16).filter(move |bit| item >> bit & 1 != 0);
            std::iter::once(SeqNo(first)).chain(following.map(move |bit| SeqNo(first.wrapping_add(1 + bit))))
        }))
    }

    /// The streams that the sender needs a key frame of, in the order that it lists them; none where it asks for none.
    pub fn key_frame_requests(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        let (media, listed): (_, &[u8]) = match self.kind {
            FeedbackKind::PictureLoss => (Some(self.media), &[]),
            FeedbackKind::FullIntraRequest => (None, self.body),
            _ => (None, &[]),
        };
        media.into_iter().chain(listed.chunks_exact(FULL_INTRA_REQUEST_LEN).map(|item| Ssrc(word(item, 0))))
    }
}
