//! What a lane tells at its end, and what it shows in between.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::measure::histogram::Durations;
use crate::measure::latency::Latency;
use crate::measure::stream::Counts;
use crate::source::Kind;

/// Counters that others may look at while the lane runs; it writes them a few times a second.
#[derive(Debug, Default)]
pub struct Gauge {
    /// RTP packets sent.
    pub sent: AtomicU64,
    /// RTP packets received.
    pub received: AtomicU64,
    /// Packets that failed authentication, were altered or belong to no stream.
    pub rubbish: AtomicU64,
    /// Streams that are received now.
    pub streams: AtomicU64,
}

/// All that a lane has measured.
#[derive(Clone, Debug, Default)]
pub struct LaneOutcome {
    /// The one-way latency of verified voice.
    pub audio_latency: Latency,
    /// The one-way latency of verified pictures.
    pub video_latency: Latency,
    /// How late packets were sent.
    pub lateness: Durations,
    /// From the beginning of a join to the first packet.
    pub first_packet: Durations,
    /// From asking for a stream of pictures to its first key frame, where it is verified.
    pub first_key_frame: Durations,
    /// What became of each stream that was received.
    pub streams: Vec<StreamOutcome>,
    /// What each producer sent.
    pub producers: Vec<ProducerOutcome>,
    /// Rubbish by its kind.
    pub rubbish: Rubbish,
    /// Counts over the whole life.
    pub traffic: Traffic,
    /// Counts at the beginning of the measured time.
    pub traffic_before: Traffic,
    /// Counts of the measured time.
    pub traffic_measured: Traffic,
    /// CPU time of the lane's thread in the measured time.
    pub cpu: Duration,
    /// The measured time.
    pub measured: Duration,
    /// Datagrams that the kernel threw away because the lane read too slowly.
    pub overflowed: u64,
    /// The smallest receive buffer that the kernel allowed.
    pub receive_buffer_len: Option<usize>,
    /// Transports whose consent checks were no longer answered.
    pub unanswered_transports: u64,
}

impl LaneOutcome {
    /// The lane's share of one core in the measured time.
    pub fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.measured.as_secs_f64().max(f64::EPSILON)
    }

    /// Takes the figures of another lane.
    pub fn add(&mut self, other: &Self) {
        self.audio_latency.add(&other.audio_latency);
        self.video_latency.add(&other.video_latency);
        self.lateness.add(&other.lateness);
        self.first_packet.add(&other.first_packet);
        self.first_key_frame.add(&other.first_key_frame);
        self.streams.extend_from_slice(&other.streams);
        self.producers.extend_from_slice(&other.producers);
        self.rubbish.add(&other.rubbish);
        self.traffic = self.traffic.plus(&other.traffic);
        self.traffic_measured = Traffic::plus(&self.traffic_measured, &other.traffic_measured);
        self.cpu += other.cpu;
        self.measured = self.measured.max(other.measured);
        self.overflowed += other.overflowed;
        self.unanswered_transports += other.unanswered_transports;
        self.receive_buffer_len = [self.receive_buffer_len, other.receive_buffer_len].into_iter().flatten().min();
    }
}

/// What should never arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rubbish {
    /// Packets of verified transports, and RTCP of all, that failed authentication.
    pub unauthenticated: u64,
    /// Packets whose content is not what their producer sent.
    pub altered: u64,
    /// Packets that belong to no stream that was asked for, and datagrams of no known class.
    pub unknown: u64,
}

impl Rubbish {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.unauthenticated + self.altered + self.unknown
    }

    /// Takes that of another lane.
    pub fn add(&mut self, other: &Self) {
        self.unauthenticated += other.unauthenticated;
        self.altered += other.altered;
        self.unknown += other.unknown;
    }
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// RTP packets sent.
    pub sent: u64,
    /// Bytes of the datagrams of those.
    pub sent_bytes: u64,
    /// RTP packets received.
    pub received: u64,
    /// Bytes of the datagrams of those.
    pub received_bytes: u64,
    /// RTP packets whose content was checked.
    pub checked: u64,
    /// RTCP datagrams received.
    pub rtcp_received: u64,
    /// Retransmissions received.
    pub retransmissions: u64,
    /// Packets sent again because the server asked.
    pub resent: u64,
    /// Key frames that the server asked for.
    pub key_frames_asked: u64,
    /// Datagrams that the kernel did not take.
    pub send_failures: u64,
}

impl Traffic {
    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        self.combine(before, u64::saturating_sub)
    }

    /// The sum of both.
    pub fn plus(&self, other: &Self) -> Self {
        self.combine(other, u64::saturating_add)
    }

    fn combine(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            sent: of(self.sent, other.sent),
            sent_bytes: of(self.sent_bytes, other.sent_bytes),
            received: of(self.received, other.received),
            received_bytes: of(self.received_bytes, other.received_bytes),
            checked: of(self.checked, other.checked),
            rtcp_received: of(self.rtcp_received, other.rtcp_received),
            retransmissions: of(self.retransmissions, other.retransmissions),
            resent: of(self.resent, other.resent),
            key_frames_asked: of(self.key_frames_asked, other.key_frames_asked),
            send_failures: of(self.send_failures, other.send_failures),
        }
    }
}

/// What became of a stream.
#[derive(Clone, Debug)]
pub struct StreamOutcome {
    /// Its producer, as its content says.
    pub publisher: u32,
    /// What it carries.
    pub kind: Kind,
    /// When it was asked for, in nanoseconds since the Unix epoch.
    pub opened_at_ns: u64,
    /// When its last packet in order came.
    pub latest_at_ns: Option<u64>,
    /// It ended before the run did.
    pub is_closed: bool,
    /// As the headers tell it.
    pub counts: Counts,
    /// Its jitter in milliseconds.
    pub jitter_ms: f64,
    /// As the content tells it, where it is verified.
    pub content: Option<ContentOutcome>,
}

/// What the content of a stream tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContentOutcome {
    /// As the counters in the payloads tell it.
    pub counts: Counts,
    /// The highest counter; `None` where nothing good came.
    pub highest: Option<u64>,
    /// The mean one-way latency in milliseconds.
    pub latency_mean_ms: f64,
}

/// What a producer sent.
#[derive(Clone, Copy, Debug)]
pub struct ProducerOutcome {
    /// Its number in payloads.
    pub publisher: u32,
    /// Packets.
    pub sent: u64,
    /// When the last was sent, in nanoseconds since the Unix epoch.
    pub last_sent_at_ns: u64,
}
