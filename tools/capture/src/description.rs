//! What a stream is, in figures: for a person to choose by, and for a machine as JSON.

use std::net::SocketAddr;

use serde::Serialize;

use crate::codec::{self, Codec, Kind};
use crate::encryption;
use crate::stream::CapturedStream;

/// The figures of one captured stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamDescription {
    /// The SSRC.
    pub ssrc: u32,
    /// Who sent it.
    pub source: SocketAddr,
    /// Whom it was sent to.
    pub destination: SocketAddr,
    /// The payload type of most packets.
    pub payload_type: u8,
    /// The payload types of the others, in order.
    pub other_payload_types: Vec<u8>,
    /// What it probably is.
    pub codec: Option<Codec>,
    /// Whether it is heard or seen.
    pub kind: Option<Kind>,
    /// Timestamps a second.
    pub clock_rate_hz: Option<u32>,
    /// The first packet's time, since the first of the whole capture.
    pub started_ms: u64,
    /// Time from the first packet to the last.
    pub duration_ms: u64,
    /// Packets, without repeats.
    pub packets: u64,
    /// Bytes of their payloads, without headers and padding.
    pub payload_bytes: u64,
    /// Bits of payload a second, over the time of one round of playing.
    pub bit_rate_bps: u64,
    /// Sequence numbers between the first and the last that no packet had.
    pub lost: u64,
    /// Packets that had been there before; they are not played.
    pub repeated: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// How often its numbers began anew.
    pub restarts: u64,
    /// Typical clock ticks from one frame to the next.
    pub step_ticks: u32,
    /// Whether the payloads look encrypted, as those of SRTP: a hint; none where too few packets tell.
    pub looks_encrypted: Option<bool>,
    /// The SSRC of the stream whose packets it sends again (RFC 4588).
    pub retransmits_ssrc: Option<u32>,
}

impl StreamDescription {
    /// Notes that the stream retransmits another one, whose payloads are behind a number that no codec has.
    pub(crate) fn mark_retransmission(&mut self, original: u32) {
        self.retransmits_ssrc = Some(original);
        (self.codec, self.looks_encrypted) = (None, Some(false));
    }
}

impl CapturedStream {
    /// Describes the stream by itself; whether it retransmits another one is told by [`crate::Capture::descriptions`].
    pub fn describe(&self) -> StreamDescription {
        let payload_type = self.payload_type();
        let mut other_payload_types: Vec<_> = self.packets().iter().map(|packet| packet.payload_type).collect();
        other_payload_types.sort_unstable();
        other_payload_types.dedup();
        other_payload_types.retain(|&other| other != payload_type);
        let looks_encrypted = encryption::looks_encrypted(self.packets(), payload_type);
        let guess = codec::guess(self.packets(), payload_type, self.pace(), looks_encrypted.unwrap_or(false));
        let packets = self.packets().len() as u64;
        let payload_bytes = self.packets().iter().map(|packet| packet.payload.len() as u64).sum();
        let counts = self.counts();
        StreamDescription {
            ssrc: self.ssrc,
            source: self.source,
            destination: self.destination,
            payload_type,
            other_payload_types,
            codec: guess.codec,
            kind: guess.kind,
            clock_rate_hz: guess.clock_rate_hz,
            started_ms: to_ms(self.started().as_nanos()),
            duration_ms: to_ms(self.duration().as_nanos()),
            packets,
            payload_bytes,
            bit_rate_bps: bit_rate_bps(payload_bytes, self.round().time_ns),
            lost: self.round().places.saturating_sub(packets),
            repeated: counts.repeated,
            reordered: counts.reordered,
            restarts: counts.restarts,
            step_ticks: self.pace().step_ticks,
            looks_encrypted,
            retransmits_ssrc: None,
        }
    }
}

fn to_ms(ns: u128) -> u64 {
    u64::try_from(ns / 1_000_000).unwrap_or(u64::MAX)
}

fn bit_rate_bps(bytes: u64, time_ns: u64) -> u64 {
    let rate = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(time_ns.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::tests::{noise, stream_of};

    #[test]
    fn a_voice_is_described_in_figures() {
        let packets = (0..100u64)
            .filter(|n| n % 10 != 5)
            .map(|n| (n * 20_000_000, (65_500 + n) as u16, n as u32 * 960, [&[0xfc][..], &noise(n, 79)].concat()));
        let description = stream_of(7, 111, packets).describe();
        assert_eq!((description.codec, description.kind), (Some(Codec::Opus), Some(Kind::Audio)));
        assert_eq!((description.clock_rate_hz, description.step_ticks), (Some(48_000), 960));
        assert_eq!((description.packets, description.payload_bytes, description.lost), (90, 7200, 10));
        assert_eq!((description.duration_ms, description.bit_rate_bps), (1980, 28_800));
        assert_eq!(description.looks_encrypted, Some(false));
        let json = serde_json::to_value(&description).unwrap();
        assert_eq!(json["codec"], "opus");
        assert_eq!(json["kind"], "audio");
        assert_eq!(json["source"], "10.0.0.1:5004");
        assert_eq!(json["bitRateBps"], 28_800);
        assert!(json["retransmitsSsrc"].is_null());
    }
}
