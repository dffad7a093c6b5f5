//! A stream that a participant sends, and how its packets are found.

use std::time::Instant;

use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::ProducerId;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{CodecTable, PayloadType, ProducerTable, Ssrc};

use super::policer::Policer;
use super::rewrite::RunId;
use super::stream::InboundStream;

/// One encoding of a producer with the stream that it is received as.
#[derive(Debug, Default)]
struct Encoding {
    stream: Option<InboundStream>,
    /// Which of the producer's streams it is, for [`RunId`].
    clock: u32,
}

/// A producer. `T` is the shard's key of a transport, `C` that of a consumer.
#[derive(Debug)]
pub struct Producer<T, C> {
    /// Its name in signaling.
    pub id: ProducerId,
    /// The transport that its packets come by.
    pub transport: T,
    /// Who gets a copy, in the order of their making.
    pub consumers: Vec<C>,
    table: ProducerTable,
    encodings: Vec<Encoding>,
    paused: PauseReasons,
    run: u32,
    /// Streams that have begun. No two have one clock: were two encodings in one run, their packets of the same number would
    /// go out with one index, which under AES-GCM gives the key stream away.
    clocks: u32,
    policer: Policer,
}

impl<T, C> Producer<T, C> {
    /// Makes a producer of which nothing has come.
    pub fn new(id: ProducerId, transport: T, table: ProducerTable, paused: PauseReasons) -> Self {
        Self {
            id,
            transport,
            consumers: Vec::new(),
            encodings: table.encodings.iter().map(|_| Encoding::default()).collect(),
            policer: Policer::new(table.kind),
            table,
            paused,
            run: 0,
            clocks: 0,
        }
    }

    /// Its parameters.
    pub fn table(&self) -> &ProducerTable {
        &self.table
    }

    /// Whether its packets are forwarded.
    pub fn is_flowing(&self) -> bool {
        self.paused.is_empty()
    }

    /// Adds a reason not to flow.
    pub fn pause(&mut self, reason: PauseReason) {
        self.paused = self.paused.with(reason);
    }

    /// Takes a reason away. What comes next is a new run for every consumer.
    pub fn resume(&mut self, reason: PauseReason) {
        let was_flowing = self.is_flowing();
        self.paused = self.paused.without(reason);
        if !was_flowing && self.is_flowing() {
            self.run = self.run.wrapping_add(1);
        }
    }

    /// Whether a payload of `len` bytes that came at `received_at` is within what a publisher may send.
    pub fn admits(&mut self, len: usize, received_at: Instant) -> bool {
        self.policer.admits(len, received_at)
    }

    /// The run that packets of `encoding` belong to now.
    pub fn run_id(&self, encoding: usize) -> RunId {
        RunId { run: self.run, clock: self.encodings.get(encoding).map_or(0, |encoding| encoding.clock) }
    }

    /// The stream that `ssrc` has in `encoding`, if it is the current one.
    pub fn stream_mut(&mut self, encoding: usize, ssrc: Ssrc) -> Option<&mut InboundStream> {
        self.encodings.get_mut(encoding)?.stream.as_mut().filter(|stream| stream.ssrc == ssrc)
    }

    /// All streams that have begun.
    pub fn streams_mut(&mut self) -> impl Iterator<Item = &mut InboundStream> {
        self.encodings.iter_mut().filter_map(|encoding| encoding.stream.as_mut())
    }

    /// The codec of the packets with `payload_type`.
    pub fn codec(&self, payload_type: PayloadType) -> Result<&CodecTable, DropReason> {
        let codec = self.table.codecs.iter().find(|codec| codec.payload_type == payload_type);
        codec.ok_or(DropReason::RtpUnknownPayloadType)
    }

    /// Begins `stream` as that of `encoding`, once its first packet has been authenticated, and gives the one that it
    /// replaces.
    pub fn begin_stream(&mut self, encoding: usize, stream: InboundStream) -> Option<InboundStream> {
        let encoding = self.encodings.get_mut(encoding)?;
        encoding.clock = self.clocks;
        self.clocks = self.clocks.wrapping_add(1);
        encoding.stream.replace(stream)
    }
}
