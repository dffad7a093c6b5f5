//! The streams of a capture as sources: each clone plays one from a place of its own.
//!
//! Packets are numbered anew without gaps, so that what is lost in the capture is not taken for the server's loss. What
//! is not of the stream's own format, and what is nothing but padding, is left out.

use std::path::Path;
use std::sync::Arc;

use capture::{Capture, CapturedStream, Codec, Filter, Playback, PlaybackOptions, PlayedPacket};
use peer::{OPUS_PAYLOAD_TYPE, VideoCodec};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::ledger::Ledger;
use super::{Kind, SourcePacket};
use crate::error::LoadError;

/// Pictures begin within so long of their start, and at the capture's beginning, where there may be a key frame.
const PICTURE_STAGGER_NS: u64 = 1_000_000_000;
/// Captured voice is told to be speech: its level is in header extensions, which are not kept.
const LEVEL_SPEECH: u8 = 0x80 | 30;

/// The streams of a capture that a server can forward.
#[derive(Clone, Debug)]
pub struct Library {
    voices: Vec<Playable>,
    pictures: Vec<Playable>,
    scale: f64,
}

/// A stream and how it is announced.
#[derive(Clone, Debug)]
pub struct Playable {
    stream: Arc<CapturedStream>,
    format: Format,
}

/// The format of a stream's payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Opus.
    Opus,
    /// A format of pictures.
    Video(VideoCodec),
}

impl Format {
    /// What it carries.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus => Kind::Audio,
            Self::Video(_) => Kind::Video,
        }
    }

    /// The payload type that it is announced with.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Opus => OPUS_PAYLOAD_TYPE,
            Self::Video(codec) => codec.payload_type(),
        }
    }
}

impl Library {
    /// Reads the capture at `path`. Gives also warnings: of damage, and of streams that are left out.
    ///
    /// # Errors
    /// Where the file is no capture, or has no stream that can be played.
    pub fn read(path: &Path, filter: &Filter, scale: f64) -> Result<(Self, Vec<String>), LoadError> {
        let capture = Capture::read(path, filter)
            .map_err(|error| LoadError::Capture { path: path.to_owned(), reason: error.to_string() })?;
        let mut warnings: Vec<String> =
            capture.damage.iter().map(|damage| format!("{}: {damage}", path.display())).collect();
        let mut library = Self { voices: Vec::new(), pictures: Vec::new(), scale };
        for (stream, description) in capture.streams.iter().zip(capture.descriptions()) {
            if description.retransmits_ssrc.is_some() {
                continue;
            }
            let format = match description.codec {
                Some(Codec::Opus) => Format::Opus,
                Some(Codec::Vp8) => Format::Video(VideoCodec::Vp8),
                Some(Codec::Vp9) => Format::Video(VideoCodec::Vp9),
                Some(Codec::H264) => Format::Video(VideoCodec::H264),
                Some(Codec::Av1) => Format::Video(VideoCodec::Av1),
                _ => {
                    warnings.push(format!(
                        "stream {:#010x} is left out: its codec is not one of the protocol",
                        stream.ssrc
                    ));
                    continue;
                }
            };
            let main = stream.payload_type();
            if !stream.packets().iter().any(|packet| packet.payload_type == main && !packet.payload.is_empty()) {
                warnings.push(format!("stream {:#010x} is left out: it is nothing but padding", stream.ssrc));
                continue;
            }
            let playable = Playable { stream: Arc::clone(stream), format };
            // A scale out of bounds is told before anybody joins.
            Playback::new(Arc::clone(stream), PlaybackOptions { scale, ..PlaybackOptions::default() })
                .map_err(|error| LoadError::Arguments(format!("--capture-scale: {error}")))?;
            match format.kind() {
                Kind::Audio => library.voices.push(playable),
                Kind::Video => library.pictures.push(playable),
            }
        }
        if library.voices.is_empty() && library.pictures.is_empty() {
            let reason = "it has no stream of Opus, VP8, VP9, H264 or AV1; see voice-load inspect".to_owned();
            return Err(LoadError::Capture { path: path.to_owned(), reason });
        }
        Ok((library, warnings))
    }

    /// The stream that the clone numbered `clone` plays: they go round.
    pub fn stream(&self, kind: Kind, clone: usize) -> Option<&Playable> {
        let streams = match kind {
            Kind::Audio => &self.voices,
            Kind::Video => &self.pictures,
        };
        streams.get(clone.checked_rem(streams.len())?)
    }

    /// A clone of `playable` that begins at `from_ns` since the run's beginning, at a place that `seed` chooses.
    pub fn play(&self, playable: &Playable, seed: u64, from_ns: u64) -> Option<Played> {
        let options = PlaybackOptions { scale: self.scale, ..PlaybackOptions::default() };
        let playback = Playback::new(Arc::clone(&playable.stream), options).ok()?;
        Some(Played::new(playback, playable.format, playable.stream.payload_type(), seed, from_ns))
    }
}

impl Playable {
    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// One clone of a captured stream.
pub struct Played {
    playback: Playback,
    format: Format,
    payload_type: u8,
    next: PlayedPacket,
    from_ns: u64,
    /// Where in the capture it began.
    skipped_ns: u64,
    ledger: Arc<Ledger>,
}

impl Played {
    fn new(playback: Playback, format: Format, payload_type: u8, seed: u64, from_ns: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut playback = playback;
        let next = playback.next_packet();
        let ledger = Arc::new(Ledger::new(format.kind()));
        let mut played = Self { playback, format, payload_type, next, from_ns, skipped_ns: 0, ledger };
        played.pass_over_others();
        match format.kind() {
            Kind::Audio => {
                let round_ns = u64::try_from(played.playback.round_duration().as_nanos()).unwrap_or(u64::MAX).max(1);
                let skipped_ns = rng.random_range(0..round_ns);
                while due_ns(&played.next) < skipped_ns {
                    played.advance();
                }
                played.skipped_ns = skipped_ns;
            }
            Kind::Video => played.from_ns += rng.random_range(0..PICTURE_STAGGER_NS),
        }
        played
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What it has sent.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// When the next packet is due.
    pub fn due_ns(&self) -> u64 {
        (self.from_ns + due_ns(&self.next)).saturating_sub(self.skipped_ns)
    }

    /// The packet that is due.
    pub fn poll_packet(&mut self, sent_at_ns: u64) -> SourcePacket {
        let packet = self.next.clone();
        self.advance();
        self.ledger.note(&packet.payload, sent_at_ns);
        SourcePacket {
            payload: packet.payload,
            timestamp: packet.timestamp,
            marker: packet.marker,
            audio_level: (self.format == Format::Opus).then_some(LEVEL_SPEECH),
        }
    }

    fn advance(&mut self) {
        self.next = self.playback.next_packet();
        self.pass_over_others();
    }

    /// Passes over packets of other formats and of padding; the library has only streams with some of their own, so
    /// this ends.
    fn pass_over_others(&mut self) {
        while self.next.payload.is_empty() || self.next.payload_type != self.payload_type {
            self.next = self.playback.next_packet();
        }
    }
}

fn due_ns(packet: &PlayedPacket) -> u64 {
    u64::try_from(packet.due.as_nanos()).unwrap_or(u64::MAX)
}
