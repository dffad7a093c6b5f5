//! An opened media packet as it is copied: what stands in it and where.

use std::ops::Range;

use shard_protocol::tables::{HeaderExtension, PayloadFormat, PayloadType};

use super::rewrite::PictureNumbers;
use crate::wire::extension::ExtensionValues;
use crate::wire::payload::{self, PayloadError, PayloadHead};
use crate::wire::rtp::RtpHeader;
use crate::wire::sequence::Timestamp;

/// What stands in a publisher's packet; it says nothing about whose it is.
#[derive(Clone, Debug)]
pub struct Content {
    /// The marker bit.
    pub marker: bool,
    /// The publisher's payload type.
    pub payload_type: PayloadType,
    /// The publisher's timestamp.
    pub timestamp: Timestamp,
    /// Where its extensions lie.
    pub extensions: ExtensionValues,
    /// What its payload says.
    pub head: PayloadHead,
    /// Where its payload lies, without padding.
    pub payload: Range<usize>,
}

impl Content {
    /// Reads the opened `packet` without its padding, whose `header` and `extensions` were parsed before.
    ///
    /// # Errors
    /// Where the payload is none of `format`.
    pub fn read(
        packet: &[u8],
        header: &RtpHeader,
        extensions: ExtensionValues,
        format: PayloadFormat,
    ) -> Result<Self, PayloadError> {
        let bytes = packet.get(header.header_len..).ok_or(PayloadError::Truncated)?;
        let head = payload::read(format, bytes, extensions.value(packet, HeaderExtension::DependencyDescriptor))?;
        Ok(Self {
            marker: header.marker,
            payload_type: header.payload_type,
            timestamp: header.timestamp,
            extensions,
            head,
            payload: header.header_len..packet.len(),
        })
    }

    /// The publisher's numbers of the picture, where it has some.
    pub fn pictures(&self) -> Option<PictureNumbers> {
        let picture_id = self.head.picture_id.map(|id| id.value);
        let tl0_index = self.head.tl0_index.map(|index| index.value);
        (picture_id.is_some() || tl0_index.is_some()).then(|| PictureNumbers {
            picture_id: picture_id.unwrap_or_default(),
            tl0_index: tl0_index.unwrap_or_default(),
        })
    }
}
