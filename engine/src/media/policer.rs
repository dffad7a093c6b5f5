//! How much a publisher may send before its packets are no longer copied to others.
//!
//! A publisher is told by RTCP what to send, but nothing makes it obey, and each of its packets is paid for by every
//! receiver. The bound lies above what any honest encoder sends.

use std::time::{Duration, Instant};

use shard_protocol::tables::MediaKind;

/// Opus's highest bit rate, 510 kbit/s (RFC 6716 section 2.1.1), in its shortest frames, 400 a second (section 2.1.4), each
/// with the headers below; and a fifth more.
const AUDIO_BYTES_PER_SECOND: u64 = 96_000;

/// A screen of 4 Mbit/s, its three simulcast layers if it has any, and as much again for key frames and retransmissions: 1250
/// full packets a second, each with the cost below.
const VIDEO_BYTES_PER_SECOND: u64 = 2_000_000;

/// Bytes of IPv4, UDP and RTP headers, so that many small packets count too.
const PACKET_OVERHEAD: u64 = 40;

/// What a packet of pictures counts beside its payload. A copy costs the kernel the same work however short it is, and
/// encoders fill their packets: without this a flood of packets of one byte each would be allowed to be thirty times as many
/// as a screen has, for each receiver. With it they are four times as many.
const VIDEO_PACKET_COST: u64 = 400;

/// How far a publisher may run ahead: what a network held back for this long arrives at once.
const BURST: Duration = Duration::from_secs(1);

/// The generic cell rate algorithm (ITU-T I.371 annex A): a bucket that leaks by itself, in one number.
#[derive(Clone, Copy, Debug)]
pub struct Policer {
    bytes_per_second: u64,
    /// What a packet counts beside its payload.
    packet_cost: u64,
    /// When all that was admitted would have been sent at the allowed rate; `None` before the first packet.
    drained_at: Option<Instant>,
}

impl Policer {
    /// Makes the policer of one producer.
    pub fn new(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::with_rate(AUDIO_BYTES_PER_SECOND),
            MediaKind::Video => Self { packet_cost: VIDEO_PACKET_COST, ..Self::with_rate(VIDEO_BYTES_PER_SECOND) },
        }
    }

    /// Makes a policer of `bytes_per_second`, which are not 0.
    pub fn with_rate(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, packet_cost: PACKET_OVERHEAD, drained_at: None }
    }

    /// Whether a payload of `len` bytes that came at `received_at` is within the rate; only such a one counts.
    pub fn admits(&mut self, len: usize, received_at: Instant) -> bool {
        let drained_at = self.drained_at.map_or(received_at, |drained_at| drained_at.max(received_at));
        if drained_at.saturating_duration_since(received_at) > BURST {
            return false;
        }
        // A datagram is shorter than 2^16 bytes, so this stays far below 2^64.
        let nanos = (len as u64 + self.packet_cost) * 1_000_000_000 / self.bytes_per_second;
        self.drained_at = Some(drained_at + Duration::from_nanos(nanos));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `packets` of `len` bytes, evenly over `seconds`, are admitted.
    fn admitted(kind: MediaKind, packets: u32, len: usize, seconds: u32) -> u32 {
        let mut policer = Policer::new(kind);
        let start = Instant::now();
        let step = Duration::from_secs(u64::from(seconds)) / packets;
        (0..packets).filter(|n| policer.admits(len, start + step * *n)).count() as u32
    }

    #[test]
    fn the_loudest_honest_encoder_is_never_cut() {
        // 510 kbit/s in frames of 2.5 ms, and in frames of 20 ms.
        assert_eq!(admitted(MediaKind::Audio, 4000, 160, 10), 4000);
        assert_eq!(admitted(MediaKind::Audio, 500, 1275, 10), 500);
        // 12 Mbit/s of pictures in full packets.
        assert_eq!(admitted(MediaKind::Video, 12_500, 1200, 10), 12_500);
        // What a network held back for a second comes at once.
        let mut policer = Policer::new(MediaKind::Audio);
        let now = Instant::now();
        assert!((0..50).all(|_| policer.admits(1275, now)));
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_and_a_burst() {
        let packets = admitted(MediaKind::Audio, 37_000, 1100, 10);
        let bytes = u64::from(packets) * (1100 + PACKET_OVERHEAD);
        assert!((10 * AUDIO_BYTES_PER_SECOND..=12 * AUDIO_BYTES_PER_SECOND).contains(&bytes), "{bytes}");
    }

    #[test]
    fn packets_without_content_are_no_way_round_it() {
        // The rate and a burst of packets of one byte.
        let rate = VIDEO_BYTES_PER_SECOND / (VIDEO_PACKET_COST + 1);
        let packets = u64::from(admitted(MediaKind::Video, 360_000, 1, 10));
        assert!((10 * rate..=12 * rate).contains(&packets), "{packets}");
    }
}
