//! What producers send: synthetic voice, synthetic pictures, or the streams of a capture.
//!
//! A source gives payloads with the time at which each is due; numbers, SSRCs and header extensions are the sender's.

mod ledger;
mod played;
mod video;
mod voice;

use std::sync::Arc;

use bytes::Bytes;
use peer::VideoCodec;

pub use ledger::{Found, Ledger};
pub use played::{Format, Library, Playable, Played};
pub use video::{Picture, Video};
pub use voice::Voice;

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Voice.
    Audio,
    /// Pictures.
    Video,
}

impl Kind {
    /// The kind as the protocol names it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// The clock of its timestamps.
    pub fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Audio => 48_000,
            Self::Video => 90_000,
        }
    }
}

/// A packet that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePacket {
    /// The payload.
    pub payload: Bytes,
    /// Ticks of the clock since the source's beginning.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The level of the sound in -dBov with the voice bit (RFC 6464 3); none for pictures.
    pub audio_level: Option<u8>,
}

/// Where a producer's packets come from.
pub enum Source {
    /// Synthetic voice.
    Voice(Voice),
    /// Synthetic pictures.
    Video(Video),
    /// A stream of a capture.
    Played(Played),
}

impl Source {
    /// The format of its payloads.
    pub fn format(&self) -> Format {
        match self {
            Self::Voice(_) => Format::Opus,
            Self::Video(_) => Format::Video(VideoCodec::Vp8),
            Self::Played(played) => played.format(),
        }
    }

    /// Where its payloads are noted, if they do not speak for themselves.
    pub fn ledger(&self) -> Option<&Arc<Ledger>> {
        match self {
            Self::Voice(_) | Self::Video(_) => None,
            Self::Played(played) => Some(played.ledger()),
        }
    }

    /// When the next packet is due, in nanoseconds since the run's beginning; `None` where no more comes.
    pub fn due_ns(&self) -> Option<u64> {
        match self {
            Self::Voice(voice) => voice.due_ns(),
            Self::Video(video) => Some(video.due_ns()),
            Self::Played(played) => Some(played.due_ns()),
        }
    }

    /// The packet that is due, and sent at `sent_at_ns` since the Unix epoch; the next one is due then.
    pub fn poll_packet(&mut self, sent_at_ns: u64) -> SourcePacket {
        match self {
            Self::Voice(voice) => voice.poll_packet(sent_at_ns),
            Self::Video(video) => video.poll_packet(sent_at_ns),
            Self::Played(played) => played.poll_packet(sent_at_ns),
        }
    }

    /// Makes the next frame one that needs no other; a capture goes on as it was.
    pub fn handle_key_frame_request(&mut self) {
        if let Self::Video(video) = self {
            video.handle_key_frame_request();
        }
    }
}
