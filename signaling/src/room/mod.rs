//! The rooms: who is in which, what each sends and receives, and what each is told.
//!
//! [`Rooms`] is the one state machine of signaling. Connections, their requests, what shards say and the time go in; what
//! goes out is put into each connection's bounded queue and each shard's port. It has no socket, no task and no clock, so
//! a test can drive it step by step.
//!
//! A connection has at most one request under way. The answer is put into its queue before any message that follows from
//! it, and an object can be named by others only once its maker has been answered: so nobody hears of what is not there
//! yet, nor of what is gone.
//!
//! Not here: parsing and pacing (`session`), negotiation, and what a shard does.

mod capabilities;
mod connections;
mod consume;
mod join;
mod news;
mod produce;
mod roster;
mod state;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use shard_protocol::ids::{ShardIndex, TransportId};
use shard_protocol::stats::ShardStats;
use shard_protocol::tables::{CandidateAddress, Fingerprint};
use tokio::sync::oneshot;

use self::capabilities::SharedCapabilities;
pub use self::connections::ConnectionKey;
use self::connections::{Connection, Connections, Waiting};
use self::news::Then;
use self::roster::{Participant, Room};
use crate::auth::Identity;
use crate::metrics::Metrics;
use crate::negotiation::{self, DtlsParameters, IceCandidate};
use crate::session::outgoing::{Item, Outgoing};
use crate::shards::{ShardPort, Shards};
use crate::wire::request::{Direction, Source};
use crate::wire::{Answer, ChannelId, CloseReason, Envelope, ErrorCode, PROTOCOL, Push, Refusal, Request, UserId};
use crate::wire::{PublicId, RequestKey};

/// A shard as clients see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardAddresses {
    /// Where it can be reached, the preferred first.
    pub addresses: Vec<CandidateAddress>,
}

/// What the rooms are told when they are made.
pub struct RoomsConfig {
    /// The shards' ports, by index.
    pub ports: Vec<Box<dyn ShardPort>>,
    /// The shards' addresses, by index.
    pub addresses: Vec<ShardAddresses>,
    /// The hashes of the service's certificate.
    pub fingerprints: Vec<Fingerprint>,
    /// How often connections are pinged, told to clients.
    pub heartbeat_ms: u64,
    /// The most that one transport's peer may send in bit/s; `None` for what its streams may together.
    pub incoming_bitrate_max_bps: Option<u32>,
    /// The time now.
    pub now: Instant,
}

/// A request under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    connection: ConnectionKey,
    key: Option<RequestKey>,
    name: Option<String>,
}

/// Who asks, from where: a joined user in its channel.
#[derive(Clone, Debug)]
struct Caller {
    channel: ChannelId,
    user: UserId,
}

/// What lives, for the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Open connections.
    pub connections: usize,
    /// Rooms.
    pub rooms: usize,
    /// Users in rooms.
    pub participants: usize,
    /// Participants that media can flow to or from.
    pub participants_connected: usize,
    /// Producers by source.
    pub producers: BTreeMap<Source, usize>,
    /// Consumers.
    pub consumers: usize,
    /// Transports.
    pub transports: usize,
    /// Requests refused by each shard's queue.
    pub shard_refusals: Vec<u64>,
    /// Which shards live.
    pub shards_alive: Vec<ShardIndex>,
}

/// All rooms and connections of the service.
pub struct Rooms {
    shards: Shards<Then>,
    candidates: Vec<Vec<IceCandidate>>,
    dtls_parameters: DtlsParameters,
    heartbeat_ms: u64,
    incoming_bitrate_max_bps: Option<u32>,
    connections: Connections,
    rooms: HashMap<ChannelId, Room>,
    /// The connection that each joined user is in by.
    users: HashMap<UserId, ConnectionKey>,
    transports: HashMap<TransportId, (Caller, Direction)>,
    capabilities: SharedCapabilities,
    next_id: u64,
    metrics: Metrics,
    /// A moment on both clocks, to tell wall time from `now`.
    epoch: (Instant, u64),
}

impl Rooms {
    /// Makes the state of a service without rooms or connections.
    pub fn new(config: RoomsConfig, metrics: Metrics) -> Self {
        let candidates = |shard: ShardAddresses| {
            let numbered = shard.addresses.into_iter().enumerate();
            numbered.map(|(place, address)| negotiation::ice_candidate(address, place)).collect()
        };
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            shards: Shards::new(config.ports),
            candidates: config.addresses.into_iter().map(candidates).collect(),
            dtls_parameters: negotiation::dtls_parameters(&config.fingerprints),
            heartbeat_ms: config.heartbeat_ms,
            incoming_bitrate_max_bps: config.incoming_bitrate_max_bps,
            connections: Connections::default(),
            rooms: HashMap::new(),
            users: HashMap::new(),
            transports: HashMap::new(),
            capabilities: SharedCapabilities::default(),
            next_id: 0,
            metrics,
            epoch: (config.now, since_epoch.as_millis() as u64),
        }
    }

    /// Takes a connection in and greets it. Every one ends with [`Self::handle_disconnected`].
    pub fn handle_connected(&mut self, identity: &Identity, outgoing: Outgoing) -> ConnectionKey {
        let key = ConnectionKey(self.next_id());
        let connected = Push::Connected {
            connection_id: &PublicId::random(),
            user_id: &identity.user,
            protocol: PROTOCOL,
            heartbeat_ms: self.heartbeat_ms,
            resume_token: None,
            resume_window_ms: 0,
        };
        outgoing.push(Item::Push(connected.to_frame()));
        let capabilities = Push::RouterCapabilities { rtp_capabilities: negotiation::router_capabilities() };
        outgoing.push(Item::Push(capabilities.to_frame()));
        let (user, grant) = (identity.user.clone(), identity.grant.clone());
        self.connections.insert(key, Connection { user, grant, outgoing, joined: None, waiting: None });
        key
    }

    /// Carries out a request, or refuses it. The answer is in the connection's queue now, or will be: every request has
    /// exactly one, unless the connection is closed first.
    pub fn handle_request(&mut self, connection: ConnectionKey, envelope: Envelope, now: Instant) {
        if self.connections.find(connection).is_none_or(|connection| connection.outgoing.is_closed()) {
            return;
        }
        let call = Call { connection, key: envelope.key, name: envelope.name };
        let carried_out = envelope.request.and_then(|request| self.on_request(&call, request, now));
        if let Err(refusal) = carried_out {
            self.refuse(&call, &refusal);
        }
    }

    /// Lets a connection go that has ended, with all that was its own.
    pub fn handle_disconnected(&mut self, key: ConnectionKey) {
        self.depart(key);
        self.connections.remove(key);
    }

    /// Takes what the shards said and does what is due.
    pub fn handle_shards(&mut self, now: Instant) {
        while let Some(news) = self.shards.poll(now) {
            self.on_news(news, now);
        }
    }

    /// When [`Self::handle_shards`] is due without a word from a shard.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.shards.poll_timeout(now)
    }

    /// Closes all connections because the service ends.
    pub fn handle_shutdown(&mut self) {
        self.connections.close_all(CloseReason::GoingAway);
    }

    /// Asks every living shard for its figures; a reply that never comes is a closed channel.
    pub fn request_stats(&mut self, now: Instant) -> Vec<(ShardIndex, oneshot::Receiver<Box<ShardStats>>)> {
        let mut replies = Vec::new();
        for shard in self.shards.alive().collect::<Vec<_>>() {
            let (reply, receiver) = oneshot::channel();
            let command = |request| shard_protocol::Command::ReportStats { request };
            if self.shards.try_create(shard, now, Then::Stats { reply }, command).is_ok() {
                replies.push((shard, receiver));
            }
        }
        replies
    }

    /// Counts what lives.
    pub fn census(&self) -> Census {
        let participants = || self.rooms.values().flat_map(|room| room.participants.values());
        let mut producers = BTreeMap::new();
        for producer in self.rooms.values().flat_map(|room| room.producers.values()) {
            *producers.entry(producer.source).or_insert(0) += 1;
        }
        Census {
            connections: self.connections.len(),
            rooms: self.rooms.len(),
            participants: participants().count(),
            participants_connected: participants().filter(|participant| participant.is_media_connected()).count(),
            producers,
            consumers: participants().map(|participant| participant.consumers.len()).sum(),
            transports: self.transports.len(),
            shard_refusals: (0..self.shards.len()).map(|index| self.shards.refused(ShardIndex(index as u16))).collect(),
            shards_alive: self.shards.alive().collect(),
        }
    }

    fn on_request(&mut self, call: &Call, request: Request, now: Instant) -> Result<(), Refusal> {
        match request {
            Request::Join(join) => self.on_join(call, join, now),
            Request::Leave(leave) => self.on_leave(call, &leave),
            Request::CreateTransport(create) => self.on_create_transport(call, create, now),
            Request::ConnectTransport(connect) => self.on_connect_transport(call, &connect, now),
            Request::CloseTransport(close) => self.on_close_transport(call, &close),
            Request::Produce(produce) => self.on_produce(call, &produce, now),
            Request::CloseProducer(close) => self.on_close_producer(call, &close),
            Request::PauseProducer(pause) => self.on_pause_producer(call, &pause, true),
            Request::ResumeProducer(resume) => self.on_pause_producer(call, &resume, false),
            Request::Consume(consume) => self.on_consume(call, &consume, now),
            Request::CloseConsumer(close) => self.on_close_consumer(call, &close),
            Request::PauseConsumer(pause) => self.on_pause_consumer(call, &pause, true),
            Request::ResumeConsumer(resume) => self.on_pause_consumer(call, &resume, false),
            Request::RequestKeyFrame(request) => self.on_request_key_frame(call, &request),
            Request::UpdateState(update) => self.on_update_state(call, update),
            Request::Ping => {
                self.answer(call, &Answer::Pong);
                Ok(())
            }
        }
    }

    fn answer(&mut self, call: &Call, answer: &Answer<'_>) {
        self.connections.answer(call.connection, answer.to_frame(call.key.as_ref()));
    }

    fn refuse(&mut self, call: &Call, refusal: &Refusal) {
        self.metrics.count_refusal(refusal.code);
        self.connections.answer(call.connection, refusal.to_frame(call.name.as_deref(), call.key.as_ref()));
    }

    /// Tells everybody in the room but one.
    fn tell_others(&self, caller: &Caller, push: &Push<'_>) {
        let Some(room) = self.rooms.get(&caller.channel) else { return };
        let others = room.participants.iter().filter(|(user, _)| **user != caller.user);
        self.connections.tell_all(others.map(|(_, participant)| participant.connection), push);
    }

    fn caller(&self, call: &Call) -> Result<Caller, Refusal> {
        let joined = self
            .connections
            .find(call.connection)
            .and_then(|connection| Some(Caller { channel: connection.joined.clone()?, user: connection.user.clone() }));
        joined.ok_or_else(|| Refusal::new(ErrorCode::NotJoined, "The connection is in no channel: `join` first."))
    }

    /// The caller's room and seat in it.
    fn seat(&self, caller: &Caller) -> Result<(&Room, &Participant), Refusal> {
        let room = self.rooms.get(&caller.channel);
        let seat = room.and_then(|room| Some((room, room.participants.get(&caller.user)?)));
        // A joined connection has a seat; this is the bookkeeping's own fault.
        seat.ok_or_else(|| Refusal::new(ErrorCode::Internal, "The room is gone."))
    }

    fn participant_mut(&mut self, caller: &Caller) -> Option<&mut Participant> {
        self.rooms.get_mut(&caller.channel)?.participants.get_mut(&caller.user)
    }

    fn await_shard(&mut self, call: &Call, request: shard_protocol::ids::RequestId) {
        if let Some(connection) = self.connections.find_mut(call.connection) {
            connection.waiting = Some(Waiting::Shard(request));
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        let (instant, unix_ms) = self.epoch;
        unix_ms + now.saturating_duration_since(instant).as_millis() as u64
    }
}

/// The refusal for a shard that takes nothing new.
fn shard_unavailable() -> Refusal {
    let mut refusal =
        Refusal::new(ErrorCode::ShardUnavailable, "The room's media shard takes nothing new at the moment.");
    // A full queue empties within milliseconds.
    refusal.retry_after_ms = Some(1000);
    refusal
}
