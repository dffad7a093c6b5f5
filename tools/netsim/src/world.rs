//! A shard, its participants and the network between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use engine::security::dtls::{DtlsRequest, DtlsResponse};
use engine::security::srtp::{SrtpKeys, SrtpMaster, SrtpProfile};
use engine::shard::{SendOutcome, Shard, ShardConfig};
use rtp::packet::Packet;
use shard_protocol::command::PauseReasons;
use shard_protocol::event::TransportCloseReason;
use shard_protocol::ids::{ConsumerId, ProducerId, RequestId, RouterId, TransportId};
use shard_protocol::stats::ShardStats;
use shard_protocol::tables::{ConsumerTable, DtlsRole, DtlsTable, Fingerprint, IceCredentials, ProducerTable};
use shard_protocol::{Command, CommandError, Event};

use crate::network::Delivery;
use crate::{Conditions, Network, Participant, Publisher, PublisherSetup, Receiver, ReceiverSetup};

/// A participant's end of a transport, by its number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(pub usize);

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    ToShard(SocketAddr),
    FromShard(SocketAddr),
}

/// What comes of a scripted handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// Both sides get keys.
    Keys,
    /// It fails, and the shard closes the transport.
    Failure,
    /// Nothing, until [`World::end_handshake`].
    Silence,
}

/// Between a browser's consent checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(2500);

/// Turns at one moment after which a scenario would never end; no honest one comes near it.
const TURNS_MAX: usize = 10_000;

/// Where the shard is.
const SHARD_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// The world of one scenario.
pub struct World {
    /// The shard.
    pub shard: Shard,
    /// The network.
    network: Network<Way>,
    /// What the shard has told, answers aside.
    pub events: Vec<Event>,
    seed: u64,
    epoch: Instant,
    now: Instant,
    links: Vec<Link>,
    last_id: u64,
    profile: SrtpProfile,
    handshake_outcome: HandshakeOutcome,
    incoming_bitrate_max_bps: Option<u32>,
    /// From one turn of the shard to the next at the least.
    coalescing: Duration,
    /// When the shard may take its next turn.
    turn_at: Instant,
    /// What has come to the shard since its last turn, and when.
    arrived: Vec<(Instant, Delivery<Way>)>,
}

struct Link {
    transport: TransportId,
    participant: Participant,
    keys: SrtpKeys,
    /// When the next consent check goes out; `None` once it has fallen silent.
    check_at: Option<Instant>,
}

impl World {
    /// Makes a world with one shard and nobody in it.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let now = Instant::now();
        // Any day does; this one is in 2026.
        let now_ntp = 3_990_000_000 << 32;
        Self {
            shard: Shard::new(ShardConfig { seed, now, now_ntp }),
            network: Network::new(seed, conditions),
            events: Vec::new(),
            seed,
            epoch: now,
            now,
            links: Vec::new(),
            last_id: 0,
            profile: SrtpProfile::AeadAes128Gcm,
            handshake_outcome: HandshakeOutcome::Keys,
            incoming_bitrate_max_bps: None,
            coalescing: Duration::ZERO,
            turn_at: now,
            arrived: Vec::new(),
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How long datagrams gather from one turn of the shard to the next; without, it takes each as it comes.
    pub fn set_coalescing(&mut self, interval: Duration) {
        self.coalescing = interval;
    }

    /// The network, to make it better or worse.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.network.set_conditions(conditions);
    }

    /// One participant's line, each way, to make it better or worse than the others.
    pub fn set_line(&mut self, link: LinkId, up: Conditions, down: Conditions) {
        let address = self.links[link.0].participant.address;
        self.network.set_line(Way::ToShard(address), up);
        self.network.set_line(Way::FromShard(address), down);
    }

    /// The profile of transports made from now on.
    pub fn set_profile(&mut self, profile: SrtpProfile) {
        self.profile = profile;
    }

    /// What participants of transports made from now on may send in all.
    pub fn set_incoming_bitrate_max(&mut self, bits_per_second: Option<u32>) {
        self.incoming_bitrate_max_bps = bits_per_second;
    }

    /// What comes of handshakes that begin from now on.
    pub fn set_handshake_outcome(&mut self, outcome: HandshakeOutcome) {
        self.handshake_outcome = outcome;
    }

    /// Ends a handshake that was silent; the shard takes it for what it is if the transport is gone.
    pub fn end_handshake(&mut self, link: LinkId, outcome: HandshakeOutcome) {
        self.answer_handshake(link, outcome);
        self.turn();
    }

    /// A number that was not used before.
    pub fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Carries out a command that has no answer.
    pub fn command(&mut self, command: Command) {
        self.shard.handle_command(self.now, command);
        self.turn();
    }

    /// Carries out a command that has one.
    pub fn request(&mut self, command: impl FnOnce(RequestId) -> Command) -> Result<(), CommandError> {
        let id = RequestId(self.fresh_id());
        self.command(command(id));
        let place =
            self.events.iter().position(|event| matches!(event, Event::Answered { request, .. } if *request == id));
        match self.events.remove(place.expect("an answer to every request")) {
            Event::Answered { result, .. } => result,
            other => unreachable!("{other:?}"),
        }
    }

    /// Makes a router.
    pub fn add_router(&mut self) -> RouterId {
        let router = RouterId(self.fresh_id());
        self.request(|request| Command::CreateRouter { request, router }).expect("a router");
        router
    }

    /// Makes a transport whose peer is there and sends its first check.
    pub fn add_link(&mut self, router: RouterId) -> LinkId {
        let id = self.fresh_id();
        let transport = TransportId(id);
        let ice = IceCredentials {
            ufrag: format!("ufrag{id}"),
            password: format!("password-of-22-chars+{id}").replace('-', "/"),
        };
        let incoming_bitrate_max_bps = self.incoming_bitrate_max_bps;
        self.request(|request| Command::CreateTransport {
            request,
            router,
            transport,
            ice: ice.clone(),
            incoming_bitrate_max_bps,
        })
        .expect("a transport");
        let dtls = DtlsTable { role: DtlsRole::Server, fingerprints: vec![Fingerprint::Sha256([7; 32])] };
        self.request(|request| Command::ConnectTransport { request, transport, dtls }).expect("parameters");
        let keys = keys(self.profile, id);
        let address = SocketAddr::from(([198, 51, (id >> 8) as u8, id as u8], 40_000));
        let participant = Participant::new(address, ice, &keys, self.seed ^ id << 32);
        self.links.push(Link { transport, participant, keys, check_at: Some(self.now) });
        LinkId(self.links.len() - 1)
    }

    /// Makes a link and waits until media can flow.
    pub fn add_connected_link(&mut self, router: RouterId) -> LinkId {
        let link = self.add_link(router);
        // A burst of losses goes on for many of the few datagrams that are sent before media.
        for _ in 0..1000 {
            self.run_for(Duration::from_millis(100));
            if self.links[link.0].participant.check_answers > 0 {
                return link;
            }
            self.links[link.0].check_at = Some(self.now);
        }
        panic!("no check was answered in 100 s");
    }

    /// The participant's end.
    pub fn participant(&mut self, link: LinkId) -> &mut Participant {
        &mut self.links[link.0].participant
    }

    /// The transport's name.
    pub fn transport(&self, link: LinkId) -> TransportId {
        self.links[link.0].transport
    }

    /// Makes a link fall silent: no more checks.
    pub fn silence(&mut self, link: LinkId) {
        self.links[link.0].check_at = None;
    }

    /// Makes a producer.
    pub fn publish(&mut self, link: LinkId, table: ProducerTable) -> Result<ProducerId, CommandError> {
        let producer = ProducerId(self.fresh_id());
        let transport = self.transport(link);
        let (table, paused) = (Box::new(table), PauseReasons::NONE);
        self.request(|request| Command::CreateProducer { request, transport, producer, table, paused })
            .map(|()| producer)
    }

    /// Makes a consumer that flows at once.
    pub fn consume(
        &mut self,
        link: LinkId,
        producer: ProducerId,
        table: ConsumerTable,
    ) -> Result<ConsumerId, CommandError> {
        let consumer = ConsumerId(self.fresh_id());
        let transport = self.transport(link);
        let (table, paused) = (Box::new(table), PauseReasons::NONE);
        self.request(|request| Command::CreateConsumer { request, transport, producer, consumer, table, paused })
            .map(|()| consumer)
    }

    /// Makes a producer, and the publisher that its packets come from; it begins at once.
    pub fn add_publisher(&mut self, link: LinkId, setup: PublisherSetup) -> ProducerId {
        let seed = self.seed ^ self.fresh_id() << 16;
        let publisher = Publisher::new(setup, seed, self.epoch, self.now);
        let producer = self.publish(link, publisher.table()).expect("a producer");
        self.participant(link).publishers.push(publisher);
        producer
    }

    /// Makes a consumer that flows at once, and the receiver that its packets go to.
    pub fn add_receiver(
        &mut self,
        link: LinkId,
        producer: ProducerId,
        table: ConsumerTable,
        setup: ReceiverSetup,
    ) -> ConsumerId {
        self.participant(link).receivers.push(Receiver::new(setup, &table));
        self.consume(link, producer, table).expect("a consumer")
    }

    /// Sends an RTP packet of a participant.
    pub fn send_rtp(&mut self, link: LinkId, packet: &Packet) {
        let datagram = self.links[link.0].participant.protect(packet);
        self.send(link, &datagram);
    }

    /// Sends any datagram of a participant.
    pub fn send(&mut self, link: LinkId, datagram: &[u8]) {
        self.send_from(self.links[link.0].participant.address, datagram);
    }

    /// Sends a datagram from any address.
    pub fn send_from(&mut self, source: SocketAddr, datagram: &[u8]) {
        self.network.send(self.now, Way::ToShard(source), datagram, None);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut turns = 0;
        loop {
            self.send_checks();
            self.send_due();
            let wakes = [self.next_turn_at(), self.network.next_at(), self.next_wake_at()];
            let Some(next) = wakes.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            turns = if next > self.now { 0 } else { turns + 1 };
            assert!(turns < TURNS_MAX, "something is due again and again, and time does not pass");
            self.now = self.now.max(next);
            while let Some(delivery) = self.network.receive(self.now) {
                match delivery.way {
                    Way::ToShard(_) => self.arrived.push((self.now, delivery)),
                    Way::FromShard(_) => self.deliver(self.now, &delivery),
                }
            }
            if self.turn_at <= self.now {
                for (arrived_at, delivery) in std::mem::take(&mut self.arrived) {
                    self.deliver(arrived_at, &delivery);
                }
                self.take_turns();
                self.turn_at = self.now + self.coalescing;
            }
        }
    }

    /// The shard's figures.
    pub fn stats(&mut self) -> ShardStats {
        let id = RequestId(self.fresh_id());
        self.command(Command::ReportStats { request: id });
        let stats =
            self.events.iter().position(|event| matches!(event, Event::Stats { request, .. } if *request == id));
        match self.events.remove(stats.expect("figures")) {
            Event::Stats { stats, .. } => *stats,
            other => unreachable!("{other:?}"),
        }
    }

    /// When the shard has something to do and may.
    fn next_turn_at(&self) -> Option<Instant> {
        let arrived_at = (!self.arrived.is_empty()).then_some(self.now);
        let due = arrived_at.into_iter().chain(self.shard.poll_timeout()).min()?;
        Some(due.max(self.turn_at))
    }

    /// When a participant has something to do by itself.
    fn next_wake_at(&self) -> Option<Instant> {
        let wakes = self.links.iter().flat_map(|link| [link.check_at, link.participant.poll_timeout()]);
        wakes.flatten().min()
    }

    fn send_due(&mut self) {
        for link in &mut self.links {
            link.participant.handle_timeout(self.now);
            while let Some((datagram, mark)) = link.participant.poll_output() {
                self.network.send(self.now, Way::ToShard(link.participant.address), &datagram, mark);
            }
        }
    }

    fn send_checks(&mut self) {
        for link in &mut self.links {
            if link.check_at.is_some_and(|at| at <= self.now) {
                let check = link.participant.check();
                self.network.send(self.now, Way::ToShard(link.participant.address), &check, None);
                link.check_at = Some(self.now + CHECK_INTERVAL);
            }
        }
    }

    fn deliver(&mut self, arrived_at: Instant, delivery: &Delivery<Way>) {
        let Delivery { way, datagram, mark, is_lost } = delivery;
        let (Way::ToShard(address) | Way::FromShard(address)) = *way;
        let participant = self.links.iter_mut().map(|link| &mut link.participant).find(|end| end.address == address);
        match way {
            Way::ToShard(_) if *is_lost => {}
            Way::ToShard(source) => {
                if let Some((participant, mark)) = participant.zip(*mark) {
                    participant.handle_reached(arrived_at, mark);
                }
                if !self.shard.input_mut().push(datagram, *source, SHARD_ADDRESS, arrived_at) {
                    self.take_turns();
                    self.shard.input_mut().push(datagram, *source, SHARD_ADDRESS, arrived_at);
                }
            }
            Way::FromShard(_) => {
                if let Some(participant) = participant {
                    participant.handle_datagram(arrived_at, datagram, *is_lost);
                }
            }
        }
    }

    /// Turns of the shard, until its input is taken.
    fn take_turns(&mut self) {
        self.turn();
        while self.shard.has_input() {
            self.turn();
        }
    }

    /// One turn of the shard, in the order that its documentation gives.
    fn turn(&mut self) {
        let now = self.now;
        self.shard.handle_input(now);
        self.shard.handle_timeout(now);
        while let Some(output) = self.shard.poll_output(now) {
            let mut outcome = SendOutcome { calls: 1, ..SendOutcome::default() };
            for message in output.messages() {
                outcome.messages_sent += 1;
                assert_eq!(message.source, SHARD_ADDRESS, "an answer goes from the address that was spoken to");
                for datagram in message.datagrams() {
                    self.network.send(now, Way::FromShard(message.destination), datagram, None);
                    outcome.datagrams_sent += 1;
                }
            }
            self.shard.handle_sent(now, outcome);
        }
        while let Some(request) = self.shard.poll_dtls() {
            if let DtlsRequest::Start { transport, .. } = request
                && let Some(link) = self.links.iter().position(|link| link.transport == transport)
            {
                self.answer_handshake(LinkId(link), self.handshake_outcome);
            }
        }
        while let Some(event) = self.shard.poll_event() {
            self.events.push(event);
        }
    }

    fn answer_handshake(&mut self, link: LinkId, outcome: HandshakeOutcome) {
        let Link { transport, keys, .. } = &self.links[link.0];
        let transport = *transport;
        let response = match outcome {
            HandshakeOutcome::Keys => DtlsResponse::Connected { transport, keys: keys.clone(), last_flight: None },
            HandshakeOutcome::Failure => DtlsResponse::Failed { transport, reason: TransportCloseReason::DtlsFailed },
            HandshakeOutcome::Silence => return,
        };
        self.shard.handle_dtls(self.now, response);
    }
}

/// A scenario that fails says which one it was.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test harness shows it beside the failure")]
            {
                eprintln!("the world's seed was {}", self.seed);
            }
        }
    }
}

fn keys(profile: SrtpProfile, id: u64) -> SrtpKeys {
    let master = |side: u8| {
        let fill = |len: usize, what: u8| (0..len).map(|n| n as u8 ^ side ^ what ^ id as u8).collect();
        SrtpMaster { key: fill(profile.key_len(), 0x40), salt: fill(profile.salt_len(), 0x80) }
    };
    SrtpKeys { profile, local: master(1), remote: master(2) }
}
