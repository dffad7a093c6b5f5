//! RTP captures: read, described and played again.
//!
//! [`Capture::read`] takes a capture file apart, packet by packet: `file` gives the records, `datagram` the UDP datagram
//! in each, and `collection` finds the RTP streams among them. A [`CapturedStream`] is one of these with its numbers
//! unwrapped; it can be described, as a [`StreamDescription`], and played without end, by a [`Playback`] for each clone.
//! [`CaptureWriter`] goes the other way: it records RTP so that Wireshark and this crate read it.
//!
//! Not here: sockets, clocks, SSRCs and header extensions of what is played, encryption, and how any of it looks on a
//! terminal. All of that is the load tool's.

mod codec;
mod collection;
mod datagram;
mod description;
mod encryption;
mod error;
mod file;
mod pace;
mod playback;
mod probation;
mod retransmission;
mod static_payload;
mod stream;
mod video;
mod writer;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use file::Link;

pub use codec::{Codec, Kind};
pub use collection::{Counts, Filter, STORED_BYTES_MAX};
pub use description::StreamDescription;
pub use error::{CaptureError, Damage, DamageKind};
pub use playback::{Playback, PlaybackError, PlaybackOptions, PlayedPacket, SCALE_MAX, SCALE_MIN};
pub use stream::{CapturedPacket, CapturedStream};
pub use writer::{CaptureWriter, WriteError};

/// The RTP of one capture file.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The streams, in the order of their first packets.
    pub streams: Vec<Arc<CapturedStream>>,
    /// Where the file stops to make sense, if it does; the streams hold what was whole before.
    pub damage: Option<Damage>,
    /// What the file's packets were.
    pub counts: Counts,
}

impl Capture {
    /// Reads the file at `path` and keeps the streams that `filter` lets through.
    ///
    /// The file is read in one pass through a buffer of a fixed size; what is kept, payloads with their numbers, ends at
    /// [`STORED_BYTES_MAX`] with an error. The errors do not name the file: the caller knows it.
    pub fn read(path: &Path, filter: &Filter) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|source| CaptureError::Open { source })?;
        Self::from_reader(file, filter)
    }

    /// Reads a capture from its `bytes`, like [`Capture::read`].
    pub fn from_bytes(bytes: &[u8], filter: &Filter) -> Result<Self, CaptureError> {
        Self::from_reader(bytes, filter)
    }

    /// Reads a capture from wherever its bytes come from, like [`Capture::read`].
    pub fn from_reader(source: impl Read, filter: &Filter) -> Result<Self, CaptureError> {
        let mut collection = collection::Collection::new(*filter, STORED_BYTES_MAX);
        let damage = file::read_records(source, &mut |record| collection.handle_record(record))?;
        if let Some(Link { link_type, offset }) = collection.foreign_link() {
            return Err(CaptureError::LinkType { offset, link_type });
        }
        let (streams, counts) = collection.finish();
        Ok(Self { streams: streams.into_iter().map(Arc::new).collect(), damage, counts })
    }

    /// Describes every stream, in the order of [`Capture::streams`], and tells which of them retransmit others.
    pub fn descriptions(&self) -> Vec<StreamDescription> {
        let mut descriptions: Vec<_> = self.streams.iter().map(|stream| stream.describe()).collect();
        for (place, original) in retransmission::originals(&self.streams).into_iter().enumerate() {
            if let Some(original) = original {
                descriptions[place].mark_retransmission(original);
            }
        }
        descriptions
    }
}
