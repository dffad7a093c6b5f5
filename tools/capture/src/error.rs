//! What can be wrong with a capture file.

use std::io;

/// Why a file gives no capture at all.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be opened.
    #[error("it cannot be opened: {source}")]
    Open {
        /// What the system says.
        source: io::Error,
    },
    /// The file could not be read on.
    #[error("it cannot be read beyond byte {offset}: {source}")]
    Read {
        /// Bytes that were read before.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// There is nothing in the file.
    #[error("it is empty at byte 0, without even a header: was the recording ended before it began? Record it again")]
    Empty,
    /// The file ends within its own header.
    #[error("it ends at byte {offset}, within its own header, before any packet: copy or record it again, whole")]
    Header {
        /// The length of the file.
        offset: u64,
    },
    /// The file is something else.
    #[error("it is no capture: at byte 0 there is {found}; {remedy}")]
    Format {
        /// What is there instead.
        found: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The packets are those of a network that is not read here.
    #[error(
        "its packets have link type {link_type}, as byte {offset} says, and not one of Ethernet (1), raw IP (12, 14, 101, \
         228, 229), Linux cooked (113, 276) or loopback (0, 108): record on an IP interface, or on all with `-i any`"
    )]
    LinkType {
        /// Where the file says so.
        offset: u64,
        /// The number, see <https://www.tcpdump.org/linktypes.html>.
        link_type: u16,
    },
    /// More would have to be kept in memory than is sensible.
    #[error(
        "it holds more than {} MiB of RTP at byte {offset}: choose streams by port or SSRC, or cut the file into \
         shorter ones with `editcap -i SECONDS`",
        limit_bytes >> 20
    )]
    TooLarge {
        /// The record that was one too many.
        offset: u64,
        /// What can be kept.
        limit_bytes: u64,
    },
}

impl CaptureError {
    /// Where in the file the fault lies, in bytes.
    pub fn offset(&self) -> u64 {
        match *self {
            Self::Open { .. } | Self::Empty | Self::Format { .. } => 0,
            Self::Read { offset, .. }
            | Self::Header { offset }
            | Self::LinkType { offset, .. }
            | Self::TooLarge { offset, .. } => offset,
        }
    }
}

/// Where a file stops to make sense. What stood before is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {offset}: what came before is used; record or copy the file again to have the rest")]
pub struct Damage {
    /// Where the record begins that could not be read, in bytes.
    pub offset: u64,
    /// What is wrong with it.
    pub what: DamageKind,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// The file ends before the record does.
    #[error("the file was cut within a record")]
    Cut,
    /// It says that it is longer than any record is.
    #[error("a record claims an impossible length")]
    Oversized,
    /// Its fields contradict one another.
    #[error("a record contradicts itself")]
    Malformed,
}
