//! A captured stream played without end, packet by packet, as one clone of it.
//!
//! After the last packet comes the first again. Sequence numbers and timestamps go on: what was lost in the capture is a gap
//! in every round, what was reordered is so again, and from one round to the next the sequence goes on by one, the timestamp
//! by the stream's typical step from frame to frame, and the time by the interval that belongs to it.
//!
//! Timestamps are scaled with the time. Played twice as fast, packets of 20 ms come every 10 ms and their timestamps go on by
//! 480 and not by 960, so that the media clock runs at its true rate. Were they left as they were, a receiver would see a
//! clock of 96 kHz: its jitter estimate would grow to the interval itself, sender reports would contradict the packets, and
//! what is measured would be that. A decoder hears the faster sound as frames that overlap; load has no decoder.
//!
//! Not here: SSRC, MID and header extensions, which the caller writes, and waiting until a packet is due.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::stream::CapturedStream;

/// The slowest and the fastest playing. A hundredth makes a packet of voice every two seconds, a hundred times is more than
/// a machine sends of any stream; beyond, numbers lose their precision.
pub const SCALE_MIN: f64 = 0.01;
/// See [`SCALE_MIN`].
pub const SCALE_MAX: f64 = 100.0;

/// How a stream is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaybackOptions {
    /// How many times as fast as it was captured, from [`SCALE_MIN`] to [`SCALE_MAX`].
    pub scale: f64,
    /// The number that the stream's lowest sequence number becomes in the first round.
    pub first_sequence: u16,
    /// What the stream's lowest timestamp becomes in the first round.
    pub first_timestamp: u32,
}

impl Default for PlaybackOptions {
    fn default() -> Self {
        Self { scale: 1.0, first_sequence: 0, first_timestamp: 0 }
    }
}

/// Why a stream is not played.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PlaybackError {
    /// The scale is out of bounds, or no number.
    #[error("the timing scale is {0}; it can be from {SCALE_MIN} to {SCALE_MAX}, with 2 for twice as fast")]
    Scale(f64),
}

/// One packet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedPacket {
    /// When to send it, since the start of the playing; never less than that of the packet before.
    pub due: Duration,
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload type that it was captured with, which tells packets of other formats (DTMF, comfort noise) apart.
    pub payload_type: u8,
    /// The payload without padding; empty where the captured packet was nothing but padding.
    pub payload: Bytes,
    /// Whether a round begins with it; so does the first one.
    pub is_loop_start: bool,
}

/// One endless playing of a stream. The packets are shared; each playing has only its place among them.
#[derive(Clone, Debug)]
pub struct Playback {
    stream: Arc<CapturedStream>,
    options: PlaybackOptions,
    next: usize,
    /// What all rounds before came to.
    passed_places: u64,
    passed_ticks: u64,
    passed_ns: u64,
}

impl Playback {
    /// Plays `stream` from its first packet.
    pub fn new(stream: Arc<CapturedStream>, options: PlaybackOptions) -> Result<Self, PlaybackError> {
        if !(SCALE_MIN..=SCALE_MAX).contains(&options.scale) {
            return Err(PlaybackError::Scale(options.scale));
        }
        Ok(Self { stream, options, next: 0, passed_places: 0, passed_ticks: 0, passed_ns: 0 })
    }

    /// Gives the next packet, without end. Nothing is allocated.
    pub fn next_packet(&mut self) -> PlayedPacket {
        if self.next == self.stream.packets().len() {
            let round = self.stream.round();
            self.passed_places = self.passed_places.wrapping_add(round.places);
            self.passed_ticks = self.passed_ticks.wrapping_add(round.ticks);
            self.passed_ns = self.passed_ns.saturating_add(round.time_ns);
            self.next = 0;
        }
        let packet = &self.stream.packets()[self.next];
        self.next += 1;
        let sequence = self.passed_places.wrapping_add(packet.place) as u16;
        let ticks = self.scaled(self.passed_ticks.wrapping_add(packet.ticks)) as u32;
        PlayedPacket {
            due: Duration::from_nanos(self.scaled(self.passed_ns.saturating_add(packet.at_ns))),
            sequence: self.options.first_sequence.wrapping_add(sequence),
            timestamp: self.options.first_timestamp.wrapping_add(ticks),
            marker: packet.marker,
            payload_type: packet.payload_type,
            payload: packet.payload.clone(),
            is_loop_start: self.next == 1,
        }
    }

    /// How long one round takes.
    pub fn round_duration(&self) -> Duration {
        Duration::from_nanos(self.scaled(self.stream.round().time_ns))
    }

    /// A sum of ticks or of nanoseconds, played. It is scaled as a whole, so that no error adds up.
    fn scaled(&self, sum: u64) -> u64 {
        // As captured, every number stays what it was, however large.
        if self.options.scale == 1.0 { sum } else { (sum as f64 / self.options.scale).round() as u64 }
    }
}

#[cfg(test)]
mod tests;
