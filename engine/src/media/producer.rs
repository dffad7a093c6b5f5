//! A stream that a participant sends, and how its packets are found.

use std::time::{Duration, Instant};

use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::ProducerId;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{CodecTable, MediaKind, PayloadType, ProducerTable, Ssrc};

use super::key_frame::KeyFrames;
use super::listener::Flow;
use super::policer::Policer;
use super::rewrite::RunId;
use super::store::RetransmissionStore;
use super::stream::InboundStream;
use crate::security::srtp::ReplayWindow;
use crate::wire::sequence::{PacketIndex, Timestamp};

/// How much longer than a lower encoding the one that is forwarded may be silent before it counts as stopped: seven frames
/// at the least rate of the lowest, 15 a second. One that has rested longer between its frames may do so again, and half as
/// long on top.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// The longest rest between two frames that is taken for a habit; what is longer was a stop.
const REST_MAX: Duration = Duration::from_millis(1500);

/// One encoding of a producer with the streams that it is received as.
#[derive(Debug, Default)]
struct Encoding {
    media: Option<InboundStream>,
    retransmission: Option<RetransmissionStream>,
    /// Which of the producer's media streams it is, for [`RunId`].
    clock: u32,
    key_frames: KeyFrames,
    heard_at: Option<Instant>,
    /// The frame that was heard last.
    frame: Option<HeardFrame>,
    /// The longest rest between its frames of late.
    rest: Duration,
}

/// A frame, the first packet of which has come.
#[derive(Clone, Copy, Debug)]
struct HeardFrame {
    timestamp: Timestamp,
    /// When the encoding had been heard last before it.
    heard_before: Option<Instant>,
}

/// The stream that an encoding's lost packets come by.
#[derive(Debug)]
struct RetransmissionStream {
    ssrc: Ssrc,
    replay: ReplayWindow,
}

impl Encoding {
    /// Notes a packet, and gives when the encoding had been heard last before the packet's frame.
    fn on_heard(&mut self, timestamp: Timestamp, received_at: Instant) -> Option<Instant> {
        let packet_before = self.heard_at.replace(received_at);
        if let Some(frame) = self.frame.filter(|frame| frame.timestamp == timestamp) {
            return frame.heard_before;
        }
        self.frame = Some(HeardFrame { timestamp, heard_before: packet_before });
        let rest = packet_before.map_or(Duration::ZERO, |at| received_at.saturating_duration_since(at));
        // One long rest is forgotten within a dozen frames.
        self.rest = rest.min(REST_MAX).max(self.rest * 7 / 8);
        packet_before
    }
}

/// What staging a copy needs to know of a consumer, side by side with the others of its producer: their own state is
/// scattered, and that of sound is not touched before the copy is written.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<T, C> {
    /// The consumer.
    pub consumer: C,
    /// The transport that it is on.
    pub transport: T,
    /// Whether it gets copies.
    pub is_flowing: bool,
}

/// A producer. `T` is the shard's key of a transport, `C` that of a consumer.
#[derive(Debug)]
pub struct Producer<T, C> {
    /// Its name in signaling.
    pub id: ProducerId,
    /// The transport that its packets come by.
    pub transport: T,
    /// Who gets a copy.
    pub subscriptions: Vec<Subscription<T, C>>,
    /// What can be sent again: pictures.
    pub store: Option<RetransmissionStore>,
    table: ProducerTable,
    encodings: Vec<Encoding>,
    /// The encoding that consumers are to get: the highest that is sent.
    target: usize,
    paused: PauseReasons,
    run: u32,
    /// Streams that have begun. No two have one clock: were two encodings in one run, their packets of the same number would
    /// go out with one index, which under AES-GCM gives the key stream away.
    clocks: u32,
    policer: Policer,
    /// The pass of the shard that had a packet last, and how many it had.
    pass: (u64, u32),
}

impl<T, C> Producer<T, C> {
    /// Makes a producer of which nothing has come.
    pub fn new(id: ProducerId, transport: T, table: ProducerTable, paused: PauseReasons) -> Self {
        Self {
            id,
            transport,
            subscriptions: Vec::new(),
            store: (table.kind == MediaKind::Video).then(RetransmissionStore::default),
            encodings: table.encodings.iter().map(|_| Encoding::default()).collect(),
            target: 0,
            policer: Policer::new(table.kind),
            table,
            paused,
            run: 0,
            clocks: 0,
            pass: (0, 0),
        }
    }

    /// Reads a little of what a packet of `encoding` needs, and gives a word of it, so that it is in the cache.
    pub fn warm(&self, encoding: usize) -> u64 {
        let stream = self.encodings.get(encoding).and_then(|encoding| encoding.media.as_ref());
        u64::from(stream.map_or(0, |stream| stream.warm()))
            ^ u64::from(self.subscriptions.first().is_some_and(|subscription| subscription.is_flowing))
            ^ u64::from(self.table.codecs.first().map_or(0, |codec| codec.payload_type.0))
            ^ self.pass.0
    }

    /// Counts a packet, and gives which of its pass it is.
    pub fn count_in_pass(&mut self, pass: u64) -> u32 {
        let (last, count) = self.pass;
        let place = if last == pass { count } else { 0 };
        self.pass = (pass, place + 1);
        place
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

    /// Takes a reason away. What comes next is a new run for every consumer, and needs a key frame.
    pub fn resume(&mut self, reason: PauseReason) {
        let was_flowing = self.is_flowing();
        self.paused = self.paused.without(reason);
        if !was_flowing && self.is_flowing() {
            self.run = self.run.wrapping_add(1);
            self.want_key_frame(self.target);
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

    /// The media stream of `encoding`, once it has begun.
    pub fn stream_mut(&mut self, encoding: usize) -> Option<&mut InboundStream> {
        self.encodings.get_mut(encoding)?.media.as_mut()
    }

    /// All media streams that have begun.
    pub fn streams(&self) -> impl Iterator<Item = &InboundStream> {
        self.encodings.iter().filter_map(|encoding| encoding.media.as_ref())
    }

    /// All media streams that have begun.
    pub fn streams_mut(&mut self) -> impl Iterator<Item = &mut InboundStream> {
        self.encodings.iter_mut().filter_map(|encoding| encoding.media.as_mut())
    }

    /// The SSRCs of all streams that have begun, with their replay windows.
    pub fn replay_windows(&self) -> impl Iterator<Item = (Ssrc, ReplayWindow)> + '_ {
        self.encodings.iter().flat_map(|encoding| {
            let media = encoding.media.as_ref().map(|stream| (stream.ssrc, stream.replay));
            let retransmission = encoding.retransmission.as_ref().map(|stream| (stream.ssrc, stream.replay));
            media.into_iter().chain(retransmission)
        })
    }

    /// The media codec of the packets of `flow` with `payload_type`.
    pub fn codec(&self, flow: Flow, payload_type: PayloadType) -> Result<&CodecTable, DropReason> {
        let is_it = |codec: &&CodecTable| match flow {
            Flow::Media => codec.payload_type == payload_type,
            Flow::Retransmission => codec.rtx_payload_type == Some(payload_type),
        };
        self.table.codecs.iter().find(is_it).ok_or(DropReason::RtpUnknownPayloadType)
    }

    /// The replay window of the stream that `ssrc` has in `encoding`, if it is the current one.
    pub fn replay_window(&mut self, encoding: usize, flow: Flow, ssrc: Ssrc) -> Option<&mut ReplayWindow> {
        let encoding = self.encodings.get_mut(encoding)?;
        let (known, window) = match flow {
            Flow::Media => encoding.media.as_mut().map(|stream| (stream.ssrc, &mut stream.replay))?,
            Flow::Retransmission => encoding.retransmission.as_mut().map(|stream| (stream.ssrc, &mut stream.replay))?,
        };
        (known == ssrc).then_some(window)
    }

    /// Begins the stream that `ssrc` is of `encoding`, once its first packet has been authenticated, and gives what the one
    /// that it replaces leaves behind.
    pub fn begin_stream(
        &mut self,
        encoding: usize,
        flow: Flow,
        ssrc: Ssrc,
        clock_rate_hz: u32,
        replay: ReplayWindow,
    ) -> Option<(Ssrc, ReplayWindow)> {
        let kind = self.table.kind;
        let encoding = self.encodings.get_mut(encoding)?;
        match flow {
            Flow::Media => {
                encoding.clock = self.clocks;
                self.clocks = self.clocks.wrapping_add(1);
                let stream = InboundStream::new(kind, ssrc, clock_rate_hz, replay);
                encoding.media.replace(stream).map(|stream| (stream.ssrc, stream.replay))
            }
            Flow::Retransmission => {
                let stream = RetransmissionStream { ssrc, replay };
                encoding.retransmission.replace(stream).map(|stream| (stream.ssrc, stream.replay))
            }
        }
    }

    /// The encoding that consumers are to get.
    pub fn target(&self) -> usize {
        self.target
    }

    /// Notes that a packet of a frame of `encoding` came. It takes the place of what is forwarded, from its next key frame
    /// on, where it is higher, or where that has stopped.
    pub fn on_heard(&mut self, encoding: usize, timestamp: Timestamp, received_at: Instant) {
        let target = self.encodings.get(self.target);
        let (target_heard_at, target_rest) =
            target.map_or((None, Duration::ZERO), |target| (target.heard_at, target.rest));
        let Some(heard) = self.encodings.get_mut(encoding) else { return };
        // By its frame before this one: all encodings of a slow picture rest between two of them, and one goes on first.
        let heard_before = heard.on_heard(timestamp, received_at);
        let silence_max = SILENCE_MAX.max(target_rest * 3 / 2);
        let has_target_stopped = target_heard_at.is_none_or(|target_at| {
            heard_before.is_some_and(|at| at.saturating_duration_since(target_at) > silence_max)
        });
        // One between the two is the better choice, and its next packet chooses it.
        let has_better = || {
            let between = self.encodings.iter().take(self.target).skip(encoding + 1);
            between
                .filter_map(|other| other.heard_at)
                .any(|at| received_at.saturating_duration_since(at) <= SILENCE_MAX)
        };
        if encoding > self.target || (encoding < self.target && has_target_stopped && !has_better()) {
            self.target = encoding;
            self.want_key_frame(encoding);
        }
    }

    /// Whether anybody is to get copies.
    pub fn is_watched(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Somebody needs a key frame of `encoding` to go on; without a consumer nobody does. Whether that is news.
    pub fn want_key_frame(&mut self, encoding: usize) -> bool {
        let is_watched = self.is_watched();
        self.encodings.get_mut(encoding).is_some_and(|encoding| is_watched && encoding.key_frames.want())
    }

    /// A key frame of `encoding` has begun with the packet `index`.
    pub fn on_key_frame(&mut self, encoding: usize, index: PacketIndex, now: Instant) {
        if let Some(encoding) = self.encodings.get_mut(encoding) {
            encoding.key_frames.on_key_frame(now);
            if let Some(stream) = &mut encoding.media {
                stream.on_key_frame(index);
            }
        }
    }

    /// The encodings that have begun, with what is to be asked of their publisher.
    pub fn wishes_mut(&mut self) -> impl Iterator<Item = (&mut InboundStream, &mut KeyFrames)> {
        self.encodings.iter_mut().filter_map(|encoding| Some((encoding.media.as_mut()?, &mut encoding.key_frames)))
    }

    /// When the publisher is to be asked for something.
    pub fn wishes_next_at(&self, now: Instant) -> Option<Instant> {
        let next = |encoding: &Encoding| {
            let missing = encoding.media.as_ref()?.missing.as_ref().and_then(|missing| missing.next_at());
            let key_frame = encoding.key_frames.next_at(now).filter(|_| self.paused.is_empty());
            missing.into_iter().chain(key_frame).min()
        };
        self.encodings.iter().filter_map(next).min()
    }

    /// The encoding that is sent as the stream `clock`.
    pub fn encoding_of(&self, clock: u32) -> Option<usize> {
        self.encodings.iter().position(|encoding| encoding.media.is_some() && encoding.clock == clock)
    }

    /// The media stream `clock`.
    pub fn stream(&self, clock: u32) -> Option<&InboundStream> {
        self.encodings.get(self.encoding_of(clock)?)?.media.as_ref()
    }
}
