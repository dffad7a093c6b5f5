//! The sans-IO shard: commands, datagrams, handshakes and time go in, datagrams, events and deadlines come out.
//!
//! One turn always has the same order, which the runtime keeps:
//! [`Shard::handle_command`]… → fill [`Shard::input_mut`] and [`Shard::handle_input`] → [`Shard::handle_dtls`]… →
//! [`Shard::handle_timeout`] → [`Shard::poll_output`] until `None`, each followed by [`Shard::handle_sent`] →
//! [`Shard::poll_dtls`] until `None` → [`Shard::poll_event`] as long as there is room for events → sleep until
//! [`Shard::poll_timeout`] at the latest.
//!
//! A media packet's way is `handle_input` → `on_datagram` → `on_rtp`, which opens it, and `on_media`, which reads it;
//! `stage_picture`, or `stage_sounds` when the whole batch is read, stages a copy for each consumer; and then `assemble`
//! writes and protects the copies destination by destination. Nothing on that way allocates, locks, reads a clock or logs.

mod commands;
mod connections;
mod feedback;
mod keys;
mod objects;
mod peer;
mod reports;
mod timers;

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use shard_protocol::Event;
use shard_protocol::limits::TRANSPORTS_MAX;
use shard_protocol::stats::{DropReason, ShardStats};
use shard_protocol::tables::{CodecTable, MediaKind};

use self::feedback::RETRANSMISSION_LEN_MAX;
use self::keys::{ConsumerKey, PeerKey, ProducerKey};
use self::objects::{CONSUMERS_PER_PRODUCER_MAX, Objects};
use self::peer::Peer;
use self::reports::PROTECTED_LEN_MAX;
use self::timers::Timers;
use crate::egress::{STAGED_MAX, Staged, Staging};
use crate::ingress::{DatagramClass, Routes};
use crate::media::{
    Arrival, COPY_HEADER_LEN_MAX, Consumer, Content, Departure, Flow, Incoming, PADDING_MAX, Reception, StreamRoute,
    Subscription, padding_len, padding_max,
};
use crate::packet::{BATCH_MAX, InputBatch, OutputBatch};
use crate::security::dtls::DtlsRequest;
use crate::wire::extension::ExtensionValues;
use crate::wire::rtcp::NtpTimestamp;
use crate::wire::rtp::RtpHeader;
use crate::wire::rtx;
use crate::wire::sequence::PacketIndex;

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
    /// Messages that the kernel took.
    pub messages_sent: u64,
    /// Datagrams in them.
    pub datagrams_sent: u64,
    /// Datagrams dropped because the socket's buffer was full.
    pub datagrams_buffer_full: u64,
    /// Datagrams that the kernel refused for another reason.
    pub datagrams_failed: u64,
    /// Whether messages cannot be cut into datagrams, now and ever after, so that equal lengths serve nothing.
    pub is_uncut: bool,
}

/// Peers that one [`Shard::handle_timeout`] looks after, so that reports never hold media up for long; the rest are due at
/// once again. Of 500 publishers of pictures, each told of its uplink ten times a second, a turn of eleven milliseconds brings 55.
const TIMEOUTS_PER_TURN: usize = 64;

/// Copies after which a turn takes no further datagram of its input: at two to four microseconds each, commands, handshakes
/// and timers wait nine to eighteen milliseconds for them. What is left is the next turn's, which has nothing else to join it
/// with; so it is what a whole batch means in rooms of ten.
pub const COPIES_PER_TURN: usize = 9 * BATCH_MAX;

/// Subscriptions passed over that count as a copy: to find that a listener is to get nothing takes a look at a line or two of
/// memory, without cryptography and a send. Without a count a turn of packets that nobody gets would take every datagram,
/// however many listen.
const REFUSALS_PER_COPY: usize = 8;

const _: () = assert!(COPIES_PER_TURN + CONSUMERS_PER_PRODUCER_MAX <= STAGED_MAX);

/// Destinations whose state is read at once, before the first of them has its copies made, and datagrams whose publishers'
/// is, before the first of them is opened. In a shard full of rooms little of it is in the cache, and the processor waits for
/// many lines as long as for one: it has two dozen under way, which is what some eight need.
const WARMED_TOGETHER: usize = 8;

/// A shard.
pub struct Shard {
    objects: Objects,
    routes: Routes<PeerKey>,
    timers: Timers,
    input: InputBatch,
    /// The next datagram of the input to be taken.
    input_next: usize,
    /// Opened and read packets of the input.
    incoming: Vec<Incoming>,
    /// Those of sound that are not staged yet.
    waiting: Vec<Waiting>,
    /// Copies that they mean at most.
    waiting_copies: usize,
    /// Counts the times that all waiting ones were staged.
    passes: u64,
    /// Copies of this turn that are made, and what else it did, as many as take as long.
    copies: usize,
    staging: Staging<PeerKey, ConsumerKey>,
    /// Copies of media.
    output: OutputBatch,
    /// Whether messages are cut into datagrams of one length, so that copies are padded for it and the longer of two goes first.
    is_segmenting: bool,
    /// Everything else: answers to checks, handshakes, reports. It goes out first.
    control: OutputBatch,
    control_is_out: bool,
    /// At most [`connections::HANDSHAKE_REQUESTS_MAX`], and one beginning or end for each transport.
    handshakes: VecDeque<DtlsRequest>,
    answers: VecDeque<Event>,
    /// Peers whose change of state waits to be told; each stands here once.
    news: VecDeque<PeerKey>,
    stats: ShardStats,
    clock: ClockOrigin,
    random: SplitMix64,
    /// When the packets came from the network whose copies are on their way out.
    arrivals: Vec<Instant>,
    /// From the network to the network: the longest of the last turn that forwarded.
    residence: Duration,
    is_shut_down: bool,
}

/// A publisher's packet once it is opened; of a retransmission, the media packet in it.
struct Opened {
    slot: usize,
    header: RtpHeader,
    /// Where its payload ends, before the padding.
    payload_end: usize,
    extensions: ExtensionValues,
    codec: CodecTable,
    index: PacketIndex,
    received_at: Instant,
}

/// A packet of sound that waits to be staged.
struct Waiting {
    rank: Rank,
    producer: ProducerKey,
    received_at: Instant,
}

/// The order in which sounds are staged, and so the order of each listener's copies: one of each stream after another, the
/// longer first. Datagrams of one length leave as one message, with a shorter one at its end. Pictures come in runs of one
/// length and are staged as they come, before the sounds of the batch: whether a listener can go on with a packet must be
/// known before the next is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Which of its stream's packets in the batch it is.
    round: u32,
    /// The longer, the less.
    shortness: u32,
    /// Its place among the incoming ones.
    place: u32,
}

/// One moment on the monotonic clock and on the wall.
#[derive(Clone, Copy, Debug)]
struct ClockOrigin {
    instant: Instant,
    ntp: NtpTimestamp,
}

impl ClockOrigin {
    fn ntp(&self, now: Instant) -> NtpTimestamp {
        self.ntp.plus(now.saturating_duration_since(self.instant))
    }

    /// The time in seconds as 6.18 bits, which wraps every 64 s.
    fn abs_send_time(&self, now: Instant) -> [u8; 3] {
        let [_, _, _, time @ .., _, _] = (self.ntp(now).0 >> 14 << 16).to_be_bytes();
        time
    }
}

/// A small generator for numbers that need to be different but not secret (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014).
#[derive(Clone, Copy, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Shard {
    /// Makes an empty shard. All that the packet path needs is allocated here.
    pub fn new(config: ShardConfig) -> Self {
        Self {
            objects: Objects::default(),
            routes: Routes::with_capacity(TRANSPORTS_MAX),
            timers: Timers::default(),
            input: InputBatch::new(config.now),
            input_next: 0,
            incoming: Vec::with_capacity(BATCH_MAX),
            waiting: Vec::with_capacity(BATCH_MAX),
            waiting_copies: 0,
            passes: 0,
            copies: 0,
            staging: Staging::with_capacity(TRANSPORTS_MAX),
            output: OutputBatch::new(),
            is_segmenting: true,
            control: OutputBatch::new(),
            control_is_out: false,
            handshakes: VecDeque::new(),
            answers: VecDeque::new(),
            news: VecDeque::new(),
            stats: ShardStats::default(),
            clock: ClockOrigin { instant: config.now, ntp: NtpTimestamp(config.now_ntp) },
            random: SplitMix64(config.seed),
            arrivals: Vec::with_capacity(BATCH_MAX),
            residence: Duration::ZERO,
            is_shut_down: false,
        }
    }

    /// The batch to fill with received datagrams before [`Self::handle_input`], where [`Self::has_input`] says that none waits.
    pub fn input_mut(&mut self) -> &mut InputBatch {
        &mut self.input
    }

    /// Whether datagrams of the input wait for their turn.
    pub fn has_input(&self) -> bool {
        self.input_next < self.input.len()
    }

    /// Takes the input batch: every datagram is opened, and every copy that follows from it is staged. What would be more than
    /// a turn's waits for the next, which begins without being given any. Before each, all that may come of it has room: what
    /// one peer asks to be sent again takes none from the next.
    pub fn handle_input(&mut self, now: Instant) {
        while self.has_input()
            && self.copies + self.staging.len() + self.waiting_copies < COPIES_PER_TURN
            && self.control.has_spare_room(RETRANSMISSION_LEN_MAX)
        {
            let slot = self.input_next;
            if slot.is_multiple_of(WARMED_TOGETHER) {
                self.warm_publishers();
            }
            self.input_next += 1;
            self.stats.datagrams_in += 1;
            if let Err(reason) = self.on_datagram(slot, now) {
                self.stats.drops.add(reason);
            }
        }
        self.stage_sounds();
    }

    /// Reads a little of all that the next datagrams of media are looked up by, so that it is in the cache.
    fn warm_publishers(&self) {
        let Objects { peers, producers, .. } = &self.objects;
        let mut next = self.input.filled().iter().skip(self.input_next);
        // Each step for all of them before the next, which needs what was found.
        let senders = [(); WARMED_TOGETHER].map(|()| {
            let slot = next.next()?;
            let datagram = slot.bytes.get(..slot.len).filter(|bytes| DatagramClass::of(bytes) == DatagramClass::Rtp)?;
            Some((datagram, self.routes.by_address(&slot.source)?))
        });
        let routes = senders.map(|sender| {
            let (datagram, peer_key) = sender?;
            let peer = peers.get(peer_key)?;
            black_box(peer.transport.warm_receiver());
            peer.listener.by_ssrc(RtpHeader::parse(datagram).ok()?.ssrc)
        });
        for route in routes.iter().flatten() {
            black_box(producers.get(route.producer).map(|producer| producer.warm(route.encoding)));
        }
    }

    /// Assembles the next messages to send, destination by destination; `None` when nothing is staged any more, and then
    /// the input batch is empty again, or the turn is long enough.
    pub fn poll_output(&mut self, now: Instant) -> Option<&OutputBatch> {
        if std::mem::take(&mut self.control_is_out) {
            self.control.clear();
        }
        self.output.clear();
        loop {
            if !self.control.is_empty() {
                self.control_is_out = true;
                return Some(&self.control);
            }
            self.assemble(now);
            if !self.output.is_empty() {
                return Some(&self.output);
            }
            if !self.has_input() || self.copies >= COPIES_PER_TURN {
                self.end_turn();
                return None;
            }
            self.handle_input(now);
        }
    }

    fn end_turn(&mut self) {
        self.copies = 0;
        // What came for nobody who can be reached has not left.
        self.arrivals.clear();
        if !self.has_input() {
            self.input.set_len(0);
            self.input_next = 0;
        }
    }

    /// Counts what became of the batch that [`Self::poll_output`] gave, which the kernel had taken by `now`.
    pub fn handle_sent(&mut self, now: Instant, outcome: SendOutcome) {
        self.stats.send_calls += outcome.calls;
        self.stats.messages_out += outcome.messages_sent;
        self.stats.datagrams_out += outcome.datagrams_sent;
        self.stats.drops.add_many(DropReason::SendBufferFull, outcome.datagrams_buffer_full);
        self.stats.drops.add_many(DropReason::SendFailed, outcome.datagrams_failed);
        self.is_segmenting &= !outcome.is_uncut;
        if let Some(oldest) = self.arrivals.iter().min() {
            self.residence = now.saturating_duration_since(*oldest);
        }
        // Copies of one packet can be in several batches: it has left with the last.
        if self.staging.is_empty() {
            for received_at in self.arrivals.drain(..) {
                self.stats.residence.observe(now.saturating_duration_since(received_at));
            }
        }
    }

    fn on_datagram(&mut self, slot: usize, now: Instant) -> Result<(), DropReason> {
        let entry = &mut self.input.filled_mut()[slot];
        let source = entry.source;
        let datagram = entry.datagram().ok_or(DropReason::Oversized)?;
        let class = DatagramClass::of(datagram);
        match class {
            DatagramClass::Unknown => return Err(DropReason::UnknownProtocol),
            DatagramClass::Stun => return self.on_check(slot, now),
            DatagramClass::Dtls | DatagramClass::Rtp | DatagramClass::Rtcp => {}
        }
        let peer = self.routes.by_address(&source).ok_or(DropReason::UnknownAddress)?;
        match class {
            DatagramClass::Rtp => self.on_rtp(slot, peer),
            DatagramClass::Rtcp => self.on_rtcp(slot, peer, now),
            _ => self.on_dtls(slot, peer, now),
        }
    }

    /// Opens a packet of a publisher's stream; what is or repairs media is taken on by [`Self::on_media`].
    fn on_rtp(&mut self, slot: usize, peer_key: PeerKey) -> Result<(), DropReason> {
        let Objects { peers, producers, .. } = &mut self.objects;
        let entry = &mut self.input.filled_mut()[slot];
        let received_at = entry.received_at;
        let packet = entry.datagram().ok_or(DropReason::Oversized)?;
        let header = RtpHeader::parse(packet).map_err(|_| DropReason::RtpMalformed)?;
        let peer = peers.get_mut(peer_key).ok_or(DropReason::UnknownAddress)?;
        let route = peer.listener.route(packet, &header).ok_or(DropReason::RtpUnknownStream)?;
        let StreamRoute { producer: producer_key, encoding, flow } = route;
        let producer = producers.get_mut(producer_key).ok_or(DropReason::RtpUnknownStream)?;
        let codec = *producer.codec(flow, header.payload_type)?;

        let known = producer.replay_window(encoding, flow, header.ssrc).map(|window| *window);
        let window = known.or_else(|| peer.listener.retired(header.ssrc));
        if window.is_none() && !peer.listener.has_room() {
            return Err(DropReason::RtpTooManyStreams);
        }
        let window = window.unwrap_or_default();
        let index = window.estimate(header.sequence);
        window.check(index)?;
        let receiver = peer.transport.receiver().ok_or(DropReason::SrtpNoKeys)?;
        let len = receiver.unprotect_rtp(packet, header.header_len, header.ssrc, index)?;

        // From here on the packet is the peer's own, and may leave traces.
        peer.transport.on_authenticated_packet();
        if known.is_none() {
            peer.listener.learn(header.ssrc, route);
            if let Some((ssrc, window)) =
                producer.begin_stream(encoding, flow, header.ssrc, codec.clock_rate_hz, window)
            {
                peer.listener.retire(ssrc, window);
            }
        }
        self.stats.rtp_in += 1;
        let extensions = ExtensionValues::parse(packet, &header, &producer.table().header_extensions);
        if peer.on_uplink_packet(&extensions, packet, received_at, self.clock.instant) {
            peer.set_timer(&mut self.timers, peer_key);
        }
        let payload_end = header.payload_end(&packet[..len]);
        let mut opened = Opened { slot, header, payload_end: 0, extensions, codec, index, received_at };
        let reception = match flow {
            Flow::Media => {
                let stream = producer.stream_mut(encoding).ok_or(DropReason::RtpUnknownStream)?;
                let reception = stream.on_packet(index, header.timestamp, received_at, self.clock.instant);
                opened.payload_end = payload_end.map_err(|_| DropReason::RtpMalformed)?;
                reception
            }
            Flow::Retransmission => {
                if let Some(window) = producer.replay_window(encoding, flow, header.ssrc) {
                    window.accept(index);
                }
                let payload_end = payload_end.map_err(|_| DropReason::RtpMalformed)?;
                // Publishers fill gaps with padding to probe for bandwidth: nothing to forward.
                let Some(original) = rtx::take_original(packet, &header, payload_end, codec.payload_type) else {
                    return Ok(());
                };
                let stream = producer.stream_mut(encoding).ok_or(DropReason::RtxMalformed)?;
                opened.index = stream.replay.estimate(original);
                if !stream.misses(opened.index) {
                    return Err(DropReason::RtxUnwanted);
                }
                opened.payload_end = payload_end - rtx::ORIGINAL_LEN;
                opened.header.payload_type = codec.payload_type;
                stream.on_repair(opened.index, received_at)
            }
        };
        let result = self.on_media(producer_key, encoding, &opened, reception);
        self.wake_for_feedback(peer_key, producer_key, received_at);
        result
    }

    /// Reads a media packet; a picture's is staged, and a sound's waits for the others of the batch.
    fn on_media(
        &mut self,
        producer_key: ProducerKey,
        encoding: usize,
        opened: &Opened,
        reception: Reception,
    ) -> Result<(), DropReason> {
        let producers = &mut self.objects.producers;
        let &Opened { slot, header, payload_end, extensions, codec, index, received_at } = opened;
        let packet = &self.input.filled()[slot].bytes[..payload_end];
        let producer = producers.get_mut(producer_key).ok_or(DropReason::RtpUnknownStream)?;
        if !producer.is_flowing() {
            return Err(DropReason::RtpPaused);
        }
        if !producer.admits(payload_end - header.header_len, received_at) {
            return Err(DropReason::RtpOverRate);
        }
        let content =
            Content::read(packet, &header, extensions, codec.format).map_err(|_| DropReason::PayloadMalformed)?;
        let arrival = Arrival {
            id: producer.run_id(encoding),
            index,
            timestamp: content.timestamp,
            captured_at: producer.stream_mut(encoding).and_then(|stream| stream.captured_at(content.timestamp)),
            is_newest: reception.is_newest,
            begins_run: producer.table().kind == MediaKind::Audio || content.head.starts_key_frame,
            pictures: content.pictures(),
        };
        let incoming = Incoming { slot, encoding, arrival, content };
        // Padding tells nothing of whether the encoding still has pictures.
        if !incoming.content.payload.is_empty() {
            producer.on_heard(encoding, incoming.content.timestamp, received_at);
        }
        if incoming.content.head.starts_key_frame {
            producer.on_key_frame(encoding, index, received_at);
        }

        // BATCH_MAX fits 32 bits.
        let place = self.incoming.len() as u32;
        let len = incoming.content.payload.len() as u32;
        self.incoming.push(incoming);
        match producer.table().kind {
            MediaKind::Audio => {
                let rank = Rank { round: producer.count_in_pass(self.passes), shortness: u32::MAX - len, place };
                self.waiting_copies += producer.subscriptions.len();
                self.waiting.push(Waiting { rank, producer: producer_key, received_at });
            }
            MediaKind::Video => self.stage_picture(place, producer_key, reception.is_beyond_repair, received_at),
        }
        Ok(())
    }

    /// Stages a copy of each waiting packet for each consumer of its producer.
    fn stage_sounds(&mut self) {
        let Objects { queues, producers, .. } = &mut self.objects;
        self.waiting.sort_unstable_by_key(|waiting| waiting.rank);
        for Waiting { rank, producer, received_at } in self.waiting.drain(..) {
            let Some(producer) = producers.get(producer) else { continue };
            let staged_before = self.staging.len();
            // It can be begun with at any time, by all who know its codec: that is looked up with the copy.
            for &Subscription { consumer, transport, is_flowing } in &producer.subscriptions {
                if let Some(queue) = queues.get_mut(transport).filter(|_| is_flowing) {
                    self.staging.push(transport, queue, Staged { incoming: rank.place, consumer });
                }
            }
            let staged = self.staging.len() - staged_before;
            self.copies += (producer.subscriptions.len() - staged) / REFUSALS_PER_COPY;
            if staged > 0 {
                self.arrivals.push(received_at);
            }
        }
        self.waiting_copies = 0;
        self.passes = self.passes.wrapping_add(1);
    }

    /// Stages a copy of a packet for each consumer of its producer that can go on with it or begin, and keeps it for those
    /// who will miss it.
    fn stage_picture(&mut self, place: u32, producer_key: ProducerKey, is_beyond_repair: bool, received_at: Instant) {
        let Objects { peers, queues, producers, consumers, .. } = &mut self.objects;
        let Some(producer) = producers.get_mut(producer_key) else { return };
        let Some(incoming) = self.incoming.get(place as usize) else { return };
        let (encoding, target) = (incoming.encoding, producer.target());
        let staged_before = self.staging.len();
        let mut is_waited_for = false;
        for &Subscription { consumer: consumer_key, transport, is_flowing } in &producer.subscriptions {
            let Some(queue) = queues.get_mut(transport).filter(|_| is_flowing) else { continue };
            let Some(consumer) = consumers.get_mut(consumer_key) else { continue };
            if !consumer.knows(incoming.content.payload_type) {
                consumer.leave_out();
                continue;
            }
            if !consumer.admits(incoming, target) {
                // Whoever cannot be reached is no reason to ask.
                let receiver = peers.get(transport).filter(|_| encoding == target);
                is_waited_for |= receiver.is_some_and(|receiver| receiver.transport.is_reachable());
                continue;
            }
            self.staging.push(transport, queue, Staged { incoming: place, consumer: consumer_key });
        }
        let staged = self.staging.len() - staged_before;
        self.copies += (producer.subscriptions.len() - staged) / REFUSALS_PER_COPY;
        let is_kept = staged > 0 || encoding == target;
        if staged > 0 {
            self.arrivals.push(received_at);
        }
        // Somebody could not begin with this packet, be it that the key frame's first is lost or was too late.
        if is_waited_for || (is_kept && is_beyond_repair) {
            producer.want_key_frame(encoding);
        }
        if let Some(store) = producer.store.as_mut().filter(|_| is_kept) {
            let packet = &self.input.filled()[incoming.slot].bytes[..incoming.content.payload.end];
            store.push(incoming.arrival.id, incoming.arrival.index, packet);
        } else if let Some(missing) = producer.stream_mut(encoding).and_then(|stream| stream.missing.as_mut()) {
            // Nobody gets this encoding: what it has lost is not worth the publisher's bandwidth.
            missing.clear();
        }
    }

    /// Writes and protects the staged copies, destination by destination, until all are done or the output is full.
    fn assemble(&mut self, now: Instant) {
        let departure = self.departure(now);
        let Objects { peers, queues, consumers, .. } = &mut self.objects;
        while let Some(destination) = self.staging.destination() {
            for &destination in self.staging.next_group(WARMED_TOGETHER) {
                black_box(peers.get(destination).map(|peer| peer.transport.warm()));
                for staged in queues.get(destination).into_iter().flat_map(|queue| self.staging.copies(queue)) {
                    black_box(consumers.get(staged.consumer).map(Consumer::warm));
                }
            }
            if let (Some(Peer { transport, .. }), Some(queue)) =
                (peers.get_mut(destination), queues.get_mut(destination))
            {
                let mut way = transport.departure();
                // Of the last copy: those of one listener are as long but for their payloads.
                let mut header_len = 0;
                while let Some(staged) = self.staging.front(queue) {
                    let (consumer, incoming) =
                        (consumers.get_mut(staged.consumer), self.incoming.get(staged.incoming as usize));
                    if let (Some(consumer), Some(incoming)) = (consumer, incoming) {
                        let Some((address, source, sender, transport_sequence)) = way.as_mut() else {
                            consumer.leave_out();
                            self.staging.pop(queue);
                            continue;
                        };
                        let packet = &self.input.filled()[incoming.slot].bytes;
                        let (payload_len, overhead) = (incoming.content.payload.len(), sender.rtp_overhead());
                        let joined_len = self.output.joined_len_max(*address, *source);
                        let joined_len = joined_len.and_then(|len| len.checked_sub(overhead));
                        let is_joining = joined_len.is_some_and(|len| header_len + payload_len <= len);
                        let behind = self.staging.next_of_another(queue).filter(|_| self.is_segmenting && !is_joining);
                        let behind = behind.and_then(|staged| self.incoming.get(staged.incoming as usize));
                        let padding_max = padding_max(consumer.kind);
                        if behind.is_some_and(|behind| behind.content.payload.len() > payload_len + padding_max) {
                            // Only a message's last datagram may be shorter: both are one message with the longer first.
                            self.staging.swap_front(queue);
                            continue;
                        }
                        let followers = self.staging.copies(queue).skip(1).map_while(|staged| {
                            let follower = self.incoming.get(staged.incoming as usize)?;
                            Some(follower.content.payload.len())
                        });
                        let len_max = COPY_HEADER_LEN_MAX + payload_len + PADDING_MAX + overhead;
                        let is_appended = self.output.append(*address, *source, len_max, |out| {
                            let copied = consumer.copy(incoming, packet, &departure, transport_sequence, out);
                            copied.map_or(0, |mut copied| {
                                self.stats.rtp_out += 1;
                                header_len = copied.header_len;
                                if self.is_segmenting {
                                    let padding =
                                        padding_len(padding_max, copied.len, payload_len, joined_len, followers);
                                    copied.pad(out, padding);
                                }
                                sender.protect_rtp(out, copied.header_len, copied.len, copied.ssrc, copied.index)
                            })
                        });
                        if !is_appended {
                            return;
                        }
                    }
                    self.staging.pop(queue);
                }
            }
            self.staging.finish_destination();
        }
        self.copies += self.staging.len();
        self.staging.clear();
        self.incoming.clear();
    }

    fn departure(&self, now: Instant) -> Departure {
        Departure { now, abs_send_time: self.clock.abs_send_time(now) }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut looked_after = 0;
        while looked_after < TIMEOUTS_PER_TURN {
            // Reports that find no room now are still due in the next turn.
            if !self.control.has_room(PROTECTED_LEN_MAX) {
                return;
            }
            let Some((at, peer_key)) = self.timers.pop_due(now) else { return };
            let Some(peer) = self.objects.peers.get_mut(peer_key) else { continue };
            if peer.timer_at != Some(at) {
                continue;
            }
            looked_after += 1;
            peer.timer_at = None;
            if peer.transport.handle_timeout(now) {
                for address in peer.transport.forget_addresses() {
                    self.routes.remove_address(&address, peer_key);
                }
            }
            self.feed_back_if_due(peer_key, now);
            self.report_if_due(peer_key, now);
            self.after_change(peer_key);
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` while nothing is.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_at()
    }

    /// The next request to the handshakes.
    pub fn poll_dtls(&mut self) -> Option<DtlsRequest> {
        self.handshakes.pop_front()
    }

    /// The next event; only to be asked for when there is room for it. Answers come in the order of their commands; of the
    /// changes of one transport's state, only the newest is told.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        while let Some(peer_key) = self.news.pop_front() {
            // A peer that was closed meanwhile has nothing to tell.
            if let Some(peer) = self.objects.peers.get_mut(peer_key) {
                peer.has_news = false;
                let (ice, dtls) = peer.transport.state();
                return Some(Event::TransportState { transport: peer.transport.id, ice, dtls });
            }
        }
        None
    }

    /// Events that wait to be told. Whoever gives commands stops where they are many: each command adds one.
    pub fn waiting_events(&self) -> usize {
        self.answers.len() + self.news.len()
    }

    /// Whether [`shard_protocol::Command::Shutdown`] was carried out.
    pub fn is_shut_down(&self) -> bool {
        self.is_shut_down
    }

    /// The figures, for the runtime to count its own in.
    pub fn stats_mut(&mut self) -> &mut ShardStats {
        &mut self.stats
    }
}
