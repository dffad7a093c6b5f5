//! Which codec a stream probably has, from its payload type, its pace and the front of its payloads.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::pace::Pace;
use crate::static_payload::{self, is_dynamic};
use crate::stream::CapturedPacket;
use crate::video;

/// What a stream is heard or seen as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// A codec, by the name of its payload format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// The RTP payload format for AV1 of the Alliance for Open Media.
    Av1,
    /// One of the static payload types of RFC 3551, by its name there.
    Static(&'static str),
}

impl Codec {
    /// The name, as it stands behind `audio/` or `video/` in a MIME type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
            Self::Static(name) => name,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Serialize for Codec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What is guessed of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) codec: Option<Codec>,
    pub(crate) kind: Option<Kind>,
    pub(crate) clock_rate_hz: Option<u32>,
}

/// The clock rates that tell Opus and video from all else.
const OPUS_CLOCK_RATE_HZ: u32 = 48_000;
const VIDEO_CLOCK_RATE_HZ: u32 = 90_000;

/// Ticks of the shortest and the longest Opus packet: 2.5 and 120 ms (RFC 6716 section 2.1.4 and 3.2.5).
const OPUS_UNIT_TICKS: u32 = 120;
const OPUS_TICKS_MAX: u32 = 48 * OPUS_UNIT_TICKS;

/// The share of packets that a codec's rules may not fit: what was late, or of another payload type.
pub(crate) const MISFITS_MAX: f64 = 0.05;

/// Packets that are looked at; more tell nothing new.
pub(crate) const PACKETS_LOOKED_AT: usize = 2_000;

/// Guesses what the stream of `packets` is; `looks_encrypted` tells that its payloads say nothing.
pub(crate) fn guess(packets: &[CapturedPacket], payload_type: u8, pace: Pace, looks_encrypted: bool) -> Guess {
    if let Some(known) = static_payload::of(payload_type) {
        let codec = Some(Codec::Static(known.name));
        return Guess { codec, kind: Some(known.kind), clock_rate_hz: Some(known.clock_rate_hz) };
    }
    let clock_rate_hz = pace.clock_rate_hz;
    if !is_dynamic(payload_type) {
        return Guess { clock_rate_hz, ..Guess::default() };
    }
    let own = packets.iter().filter(|packet| packet.payload_type == payload_type).take(PACKETS_LOOKED_AT);
    let (codec, kind) = match clock_rate_hz {
        // Nothing else that calls use has this clock, so that an encrypted stream is known by its pace alone.
        Some(OPUS_CLOCK_RATE_HZ) => {
            let has_its_pace = pace.step_ticks.is_multiple_of(OPUS_UNIT_TICKS) && pace.step_ticks <= OPUS_TICKS_MAX;
            let is_opus = has_its_pace && (looks_encrypted || follows_its_contents(own));
            (is_opus.then_some(Codec::Opus), Some(Kind::Audio))
        }
        Some(VIDEO_CLOCK_RATE_HZ) => {
            let codec = if looks_encrypted { None } else { video::guess(own) };
            (codec, Some(Kind::Video))
        }
        // Too short to have a clock, or one that stopped: what the payloads say without it.
        None if !looks_encrypted => {
            let codec = video::guess_short(own);
            (codec, codec.map(|_| Kind::Video))
        }
        Some(_) => (None, Some(Kind::Audio)),
        None => (None, None),
    };
    Guess { codec, kind, clock_rate_hz }
}

/// Whether timestamps go on by what each packet's table of contents says that it lasts; where a voice was silent, by a
/// multiple of it.
fn follows_its_contents<'a>(packets: impl Iterator<Item = &'a CapturedPacket>) -> bool {
    let (mut steps, mut misfits) = (0u32, 0u32);
    let mut before: Option<&CapturedPacket> = None;
    for packet in packets.filter(|packet| !packet.payload.is_empty()) {
        if let Some(before) = before
            && packet.place == before.place + 1
        {
            let step = packet.ticks.saturating_sub(before.ticks);
            let fits = opus_ticks(&before.payload).is_some_and(|ticks| step > 0 && step.is_multiple_of(ticks.into()));
            steps += 1;
            misfits += u32::from(!fits);
        }
        before = Some(packet);
    }
    steps > 0 && f64::from(misfits) <= MISFITS_MAX * f64::from(steps)
}

/// How long an Opus packet lasts, by its table of contents (RFC 6716 sections 3.1 and 3.2).
fn opus_ticks(payload: &[u8]) -> Option<u32> {
    let contents = *payload.first()?;
    let configuration = contents >> 3;
    let frame_ticks = match configuration {
        0..=11 => [480, 960, 1920, 2880][usize::from(configuration & 3)],
        12..=15 => [480, 960][usize::from(configuration & 1)],
        _ => [120, 240, 480, 960][usize::from(configuration & 3)],
    };
    let frames = match contents & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*payload.get(1)? & 0x3f),
    };
    let ticks = frame_ticks * frames;
    (1..=OPUS_TICKS_MAX).contains(&ticks).then_some(ticks)
}

#[cfg(test)]
mod tests;
