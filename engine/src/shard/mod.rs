//! The sans-IO shard: commands, datagrams, handshakes and time go in, datagrams, events and deadlines come out.
//!
//! One turn always has the same order, which the runtime keeps:
//! [`Shard::handle_command`]… → fill [`Shard::input_mut`] and [`Shard::handle_input`] → [`Shard::handle_dtls`]… →
//! [`Shard::handle_timeout`] → [`Shard::poll_output`] until `None`, each followed by [`Shard::handle_sent`] →
//! [`Shard::poll_dtls`] until `None` → [`Shard::poll_event`] as long as there is room for events → sleep until
//! [`Shard::poll_timeout`] at the latest.

use std::time::Instant;

use shard_protocol::stats::ShardStats;
use shard_protocol::{Command, Event};

use crate::packet::{InputBatch, OutputBatch};
use crate::security::dtls::{DtlsRequest, DtlsResponse};

/// What a shard is told when it is made.
#[derive(Clone, Copy, Debug)]
pub struct ShardConfig {
    /// Seeds what needs to be different but not secret: first sequence numbers and timestamps.
    pub seed: u64,
    /// The time now.
    pub now: Instant,
    /// The same moment as an NTP timestamp (RFC 5905 section 6), for sender reports.
    pub now_ntp: u64,
}

/// What became of one [`OutputBatch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOutcome {
    /// System calls made.
    pub calls: u64,
    /// Datagrams that the kernel took.
    pub datagrams_sent: u64,
    /// Datagrams dropped because the socket's buffer was full.
    pub datagrams_buffer_full: u64,
    /// Datagrams that the kernel refused for another reason.
    pub datagrams_failed: u64,
}

/// A shard.
pub struct Shard {
    input: InputBatch,
    stats: ShardStats,
}

impl Shard {
    /// Makes an empty shard. All that the packet path needs is allocated here.
    pub fn new(config: ShardConfig) -> Self {
        Self { input: InputBatch::new(config.now), stats: ShardStats::default() }
    }

    /// Carries out one command.
    pub fn handle_command(&mut self, _now: Instant, _command: Command) {}

    /// The batch to fill with received datagrams before [`Self::handle_input`].
    pub fn input_mut(&mut self) -> &mut InputBatch {
        &mut self.input
    }

    /// Takes the input batch: every datagram is opened, and every copy that follows from it is staged.
    pub fn handle_input(&mut self, _now: Instant) {}

    /// Takes what the handshakes said.
    pub fn handle_dtls(&mut self, _now: Instant, _response: DtlsResponse) {}

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Assembles the next messages to send, destination by destination; `None` when nothing is staged any more. The input
    /// batch must not be touched before that.
    pub fn poll_output(&mut self, _now: Instant) -> Option<&OutputBatch> {
        None
    }

    /// Counts what became of the batch that [`Self::poll_output`] gave.
    pub fn handle_sent(&mut self, _outcome: SendOutcome) {}

    /// The next request to the handshakes.
    pub fn poll_dtls(&mut self) -> Option<DtlsRequest> {
        None
    }

    /// The next event; only to be asked for when there is room for it.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When [`Self::handle_timeout`] is due; `None` while nothing is.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Whether [`Command::Shutdown`] was carried out.
    pub fn is_shut_down(&self) -> bool {
        false
    }

    /// The figures, for the runtime to count its sleeps in.
    pub fn stats_mut(&mut self) -> &mut ShardStats {
        &mut self.stats
    }
}
