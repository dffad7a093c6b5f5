//! A stream that a participant sends, and how its packets are found.

use std::time::Instant;

use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::ProducerId;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{CodecTable, MediaKind, ProducerTable, Ssrc};

use super::rewrite::RunId;
use super::stream::InboundStream;
use crate::security::srtp::ReplayWindow;
use crate::wire::rtp::RtpHeader;

/// SSRCs that an encoding once had and that are not taken again: a straggler would turn the stream back. A publisher that
/// restarts more often within one producer forgets the oldest.
const RETIRED_SSRCS_MAX: usize = 8;

/// One encoding of a producer with the stream that it is received as.
#[derive(Debug, Default)]
struct Encoding {
    stream: Option<InboundStream>,
    retired: Vec<(Ssrc, ReplayWindow)>,
    /// How often the SSRC has changed.
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
    /// When the newest packet that may be forwarded came.
    pub newest_packet_at: Option<Instant>,
    table: ProducerTable,
    encodings: Vec<Encoding>,
    paused: PauseReasons,
    run: u32,
}

impl<T, C> Producer<T, C> {
    /// Makes a producer of which nothing has come.
    pub fn new(id: ProducerId, transport: T, table: ProducerTable, paused: PauseReasons) -> Self {
        Self {
            id,
            transport,
            consumers: Vec::new(),
            newest_packet_at: None,
            encodings: table.encodings.iter().map(|_| Encoding::default()).collect(),
            table,
            paused,
            run: 0,
        }
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.table.kind
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

    /// Every SSRC that was received, with its window.
    pub fn windows(&self) -> impl Iterator<Item = (Ssrc, ReplayWindow)> + '_ {
        self.encodings.iter().flat_map(|encoding| {
            let current = encoding.stream.as_ref().map(|stream| (stream.ssrc, stream.replay));
            encoding.retired.iter().copied().chain(current)
        })
    }

    /// The codec of a packet with `header`, if `encoding` may receive it; asked before the packet is authenticated, so
    /// nothing changes.
    pub fn may_receive(&self, encoding: usize, header: &RtpHeader) -> Result<&CodecTable, DropReason> {
        match self.encodings.get(encoding) {
            Some(encoding) if encoding.retired.iter().all(|(retired, _)| *retired != header.ssrc) => {}
            _ => return Err(DropReason::RtpUnknownStream),
        }
        let codec = self.table.codecs.iter().find(|codec| codec.payload_type == header.payload_type);
        codec.ok_or(DropReason::RtpUnknownPayloadType)
    }

    /// Begins the stream `ssrc` of `encoding`, whose first packet has been authenticated and passed `window`, and tells
    /// which SSRC it replaces.
    pub fn begin_stream(
        &mut self,
        encoding: usize,
        ssrc: Ssrc,
        clock_rate_hz: u32,
        window: ReplayWindow,
    ) -> Option<Ssrc> {
        let encoding = self.encodings.get_mut(encoding)?;
        let replaced = encoding.stream.replace(InboundStream::new(ssrc, clock_rate_hz, window))?;
        if encoding.retired.len() == RETIRED_SSRCS_MAX {
            encoding.retired.remove(0);
        }
        encoding.retired.push((replaced.ssrc, replaced.replay));
        encoding.clock = encoding.clock.wrapping_add(1);
        Some(replaced.ssrc)
    }
}
