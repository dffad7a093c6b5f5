//! The result of a run: what was measured, and what it means.
//!
//! [`Report`] is what `--json` writes, and the table shows. Its names are a contract: fields are added, never renamed.

mod media;
mod table;
mod verdict;

use serde::Serialize;

use crate::join::JoinFigures;
use crate::lane::{LaneOutcome, Rubbish};
use crate::measure::histogram::Summary;
use crate::observe::metrics::MetricsUse;
use crate::observe::process::ProcessUse;
use crate::observe::throttling::Throttling;
use crate::shape::Shape;

pub use media::{Media, StreamsSummary};
pub use table::render;
pub use verdict::{Judged, Limits, Outcome, Threshold, Verdict, judge};

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// This tool's version.
    pub version: &'static str,
    /// The signaling address.
    pub url: String,
    /// The shape.
    pub shape: Shape,
    /// How long it was measured, in seconds.
    pub measured_s: f64,
    /// Whether the figures can be trusted, and are good.
    pub verdict: Verdict,
    /// What was asked for, and what was found.
    pub thresholds: Vec<Threshold>,
    /// The ways in.
    pub joins: Joins,
    /// What came of what was sent.
    pub media: Media,
    /// What should never have arrived.
    pub rubbish: Rubbish,
    /// The tool itself.
    pub generator: Generator,
    /// The server's process, where it was asked for.
    pub process: Option<ProcessUse>,
    /// The server's metrics, where it has some that are known.
    pub metrics: Option<MetricsUse>,
}

/// The ways in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Joins {
    /// Joins that were begun.
    pub attempted: u64,
    /// Joins that came to their end.
    pub joined: u64,
    /// Joins that failed.
    pub failed: u64,
    /// Of those, such as waited in vain.
    pub timed_out: u64,
    /// Connections that ended without our doing.
    pub lost: u64,
    /// Why joins failed.
    pub failures: Vec<Reason>,
    /// Why connections ended.
    pub losses: Vec<Reason>,
    /// Why streams could not be taken.
    pub consume_failures: Vec<Reason>,
    /// Until the WebSocket was open.
    pub web_socket: Summary,
    /// From a transport's first check to its answer.
    pub ice: Summary,
    /// From there to the keys.
    pub dtls: Summary,
    /// From the beginning until both transports were connected and all producers made.
    pub total: Summary,
    /// From the beginning until the first packet of any stream.
    pub first_packet: Summary,
    /// From asking for pictures to their first key frame, of verified streams.
    pub first_key_frame: Summary,
    /// From asking for a stream to the answer.
    pub consume: Summary,
    /// Round trips of all requests.
    pub round_trip: Summary,
}

/// Why something failed, and how often.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What the tool measured of itself, and of the processor under it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Generator {
    /// How late packets were sent.
    pub lateness: Summary,
    /// How late the thread was that makes joins.
    pub join_lateness: Summary,
    /// Each lane's share of one core.
    pub lane_cores: Vec<f64>,
    /// CPU time of the lanes for each packet received, in nanoseconds; what they send is in it.
    pub cpu_per_received_packet_ns: f64,
    /// Datagrams that the kernel threw away because a lane read too slowly.
    pub overflowed: u64,
    /// The smallest receive buffer that the kernel allowed, in bytes.
    pub receive_buffer_bytes: Option<usize>,
    /// Packets that the kernel refused to send.
    pub send_failures: u64,
    /// Transports whose consent checks were no longer answered.
    pub unanswered_transports: u64,
    /// A lane ended by a fault of this tool.
    pub lanes_broken: u64,
    /// How much of the measured time the processor under it was throttled.
    pub throttling: Throttling,
}

impl Joins {
    /// The figures as they are told.
    pub fn new(figures: &JoinFigures, outcome: &LaneOutcome) -> Self {
        let reasons = |counts: &std::collections::BTreeMap<String, u64>| {
            let mut reasons: Vec<Reason> =
                counts.iter().map(|(reason, &count)| Reason { reason: reason.clone(), count }).collect();
            reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
            reasons
        };
        Self {
            attempted: figures.attempted,
            joined: figures.joined,
            failed: figures.failed(),
            timed_out: figures.timed_out,
            lost: figures.lost_total(),
            failures: reasons(&figures.failures),
            losses: reasons(&figures.lost),
            consume_failures: reasons(&figures.consume_failures),
            web_socket: figures.web_socket.summary(),
            ice: figures.ice.summary(),
            dtls: figures.dtls.summary(),
            total: figures.total.summary(),
            first_packet: outcome.first_packet.summary(),
            first_key_frame: outcome.first_key_frame.summary(),
            consume: figures.consume.summary(),
            round_trip: figures.round_trip.summary(),
        }
    }
}
