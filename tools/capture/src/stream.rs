//! One RTP stream of a capture, its numbers unwrapped, ready to be described and played.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use engine::wire::rtp::RtpHeader;

use crate::pace::Pace;

/// One packet of a [`CapturedStream`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// When it was captured, since the stream's first packet, in nanoseconds; never less than that of the packet before.
    pub at_ns: u64,
    /// How many sequence numbers lie between the lowest of the stream and its own.
    pub place: u64,
    /// How many clock ticks lie between the lowest timestamp of the stream and its own.
    pub ticks: u64,
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: u8,
    /// The payload without padding; empty where the packet was nothing but padding.
    pub payload: Bytes,
}

/// The packets of one source to one destination under one SSRC, of which there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedStream {
    /// The SSRC.
    pub ssrc: u32,
    /// Who sent it.
    pub source: SocketAddr,
    /// Whom it was sent to.
    pub destination: SocketAddr,
    packets: Vec<CapturedPacket>,
    started_ns: u64,
    first_sequence: u16,
    first_timestamp: u32,
    counts: StreamCounts,
    pace: Pace,
    round: Round,
}

/// What reading found of a stream beside its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamCounts {
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    pub(crate) restarts: u64,
}

/// What one playing of all packets takes, up to where the first packet stands again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) places: u64,
    pub(crate) ticks: u64,
    pub(crate) time_ns: u64,
}

impl CapturedStream {
    /// The packets, in the order in which they were captured. Repeats are left out: they carry nothing, and a capture of all
    /// interfaces has every packet twice.
    pub fn packets(&self) -> &[CapturedPacket] {
        &self.packets
    }

    /// When the first packet was captured, since the first of the whole capture.
    pub fn started(&self) -> Duration {
        Duration::from_nanos(self.started_ns)
    }

    /// The lowest sequence number, as it stood on the wire.
    pub fn first_sequence(&self) -> u16 {
        self.first_sequence
    }

    /// The lowest timestamp, as it stood on the wire.
    pub fn first_timestamp(&self) -> u32 {
        self.first_timestamp
    }

    /// Time from the first packet to the last.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.packets.last().map_or(0, |packet| packet.at_ns))
    }

    /// The payload type of most packets.
    pub fn payload_type(&self) -> u8 {
        let mut counts = HashMap::new();
        for packet in &self.packets {
            *counts.entry(packet.payload_type).or_insert(0u64) += 1;
        }
        let most = counts.into_iter().max_by_key(|&(payload_type, count)| (count, std::cmp::Reverse(payload_type)));
        most.map_or(0, |(payload_type, _)| payload_type)
    }

    pub(crate) fn counts(&self) -> StreamCounts {
        self.counts
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) fn round(&self) -> Round {
        self.round
    }

    /// Unwraps the numbers of a stream that was read.
    pub(crate) fn new(draft: StreamDraft) -> Self {
        let StreamDraft { source, destination, ssrc, packets: drafts, repeated, reordered } = draft;
        let restarts = drafts.iter().filter(|packet| packet.is_restart).count() as u64;
        let first = drafts.first();
        let started_ns = first.map_or(0, |packet| packet.at_ns);
        let lowest_place = drafts.iter().map(|packet| packet.place).min().unwrap_or(0);
        let (wire_sequence, wire_timestamp) = first.map_or((0, 0), |packet| (packet.sequence, packet.timestamp));
        let ticks = unwrap_timestamps(&drafts);
        let lowest_ticks = ticks.iter().copied().min().unwrap_or(0);
        let mut latest_ns = 0;
        let mut packets: Vec<_> = drafts
            .into_iter()
            .zip(ticks)
            .map(|(packet, ticks)| {
                // A clock that was set back stands still until it is where it was.
                latest_ns = packet.at_ns.saturating_sub(started_ns).max(latest_ns);
                CapturedPacket {
                    at_ns: latest_ns,
                    place: packet.place.wrapping_sub(lowest_place).cast_unsigned(),
                    ticks: ticks.wrapping_sub(lowest_ticks).cast_unsigned(),
                    marker: packet.marker,
                    payload_type: packet.payload_type,
                    payload: packet.payload,
                }
            })
            .collect();
        packets.shrink_to_fit();
        let pace = Pace::of(&packets);
        Self {
            ssrc,
            source,
            destination,
            started_ns,
            // The first packet stands at place 0 and has 0 ticks.
            first_sequence: wire_sequence.wrapping_add(lowest_place as u16),
            first_timestamp: wire_timestamp.wrapping_add(lowest_ticks as u32),
            counts: StreamCounts { repeated, reordered, restarts },
            round: Round::of(&packets, pace),
            pace,
            packets,
        }
    }
}

impl Round {
    /// Behind the last frame comes the first one again, a step of timestamps and of time later.
    fn of(packets: &[CapturedPacket], pace: Pace) -> Self {
        let last = packets.iter().map(|packet| packet.at_ns).max().unwrap_or(0);
        let highest_ticks = packets.iter().map(|packet| packet.ticks).max().unwrap_or(0);
        let last_frame_ns =
            packets.iter().find(|packet| packet.ticks == highest_ticks).map_or(0, |packet| packet.at_ns);
        Self {
            places: packets.iter().map(|packet| packet.place).max().unwrap_or(0) + 1,
            ticks: highest_ticks + u64::from(pace.step_ticks),
            time_ns: last_frame_ns.saturating_add(pace.interval_ns).max(last),
        }
    }
}

/// A packet as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Since the capture's first packet.
    pub(crate) at_ns: u64,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    /// Whether the stream begins anew here, with numbers that have nothing to do with those before.
    pub(crate) is_restart: bool,
    /// Its unwrapped sequence number; the first packet's is 0.
    pub(crate) place: i64,
    pub(crate) payload: Bytes,
}

impl Draft {
    pub(crate) fn new(header: &RtpHeader, at_ns: u64) -> Self {
        Self {
            at_ns,
            sequence: header.sequence.0,
            timestamp: header.timestamp.0,
            marker: header.marker,
            payload_type: header.payload_type.0,
            is_restart: false,
            place: 0,
            payload: Bytes::new(),
        }
    }
}

/// A stream as it was read.
#[derive(Clone, Debug)]
pub(crate) struct StreamDraft {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) ssrc: u32,
    pub(crate) packets: Vec<Draft>,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
}

impl StreamDraft {
    pub(crate) fn new(source: SocketAddr, destination: SocketAddr, ssrc: u32) -> Self {
        Self { source, destination, ssrc, packets: Vec::new(), repeated: 0, reordered: 0 }
    }
}

/// The timestamps without wrapping, relative to the first packet's. Where the stream begins anew they go on by the step that
/// they had before.
fn unwrap_timestamps(drafts: &[Draft]) -> Vec<i64> {
    let mut unwrapped = Vec::with_capacity(drafts.len());
    let (mut ticks, mut highest, mut step) = (0i64, 0i64, None);
    let mut before = drafts.first().map_or(0, |packet| packet.timestamp);
    for packet in drafts {
        if packet.is_restart {
            ticks = highest + step.unwrap_or_else(|| i64::from(Pace::UNKNOWN.step_ticks));
        } else {
            ticks += i64::from(packet.timestamp.wrapping_sub(before).cast_signed());
        }
        before = packet.timestamp;
        if ticks > highest {
            if !packet.is_restart {
                step = Some(ticks - highest);
            }
            highest = ticks;
        }
        unwrapped.push(ticks);
    }
    unwrapped
}

#[cfg(test)]
pub(crate) mod tests;
