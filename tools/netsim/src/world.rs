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
use shard_protocol::tables::{
    CodecMapping, CodecTable, ConsumerTable, DtlsRole, DtlsTable, EncodingTable, Fingerprint, HeaderExtension,
    HeaderExtensionIds, IceCredentials, MediaKind, PayloadFormat, PayloadType, ProducerTable, Ssrc, StreamName,
};
use shard_protocol::{Command, CommandError, Event};

use crate::{Conditions, Network, Participant};

/// A participant's end of a transport, by its number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(pub usize);

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug)]
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
    now: Instant,
    links: Vec<Link>,
    last_id: u64,
    profile: SrtpProfile,
    handshake_outcome: HandshakeOutcome,
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
            now,
            links: Vec::new(),
            last_id: 0,
            profile: SrtpProfile::AeadAes128Gcm,
            handshake_outcome: HandshakeOutcome::Keys,
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The network, to make it better or worse.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.network.set_conditions(conditions);
    }

    /// The profile of transports made from now on.
    pub fn set_profile(&mut self, profile: SrtpProfile) {
        self.profile = profile;
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
        self.request(|request| Command::CreateTransport {
            request,
            router,
            transport,
            ice: ice.clone(),
            incoming_bitrate_max_bps: None,
        })
        .expect("a transport");
        let dtls = DtlsTable { role: DtlsRole::Server, fingerprints: vec![Fingerprint::Sha256([7; 32])] };
        self.request(|request| Command::ConnectTransport { request, transport, dtls }).expect("parameters");
        let keys = keys(self.profile, id);
        let address = SocketAddr::from(([198, 51, (id >> 8) as u8, id as u8], 40_000));
        let participant = Participant::new(address, ice, &keys);
        self.links.push(Link { transport, participant, keys, check_at: Some(self.now) });
        LinkId(self.links.len() - 1)
    }

    /// Makes a link and waits until media can flow.
    pub fn add_connected_link(&mut self, router: RouterId) -> LinkId {
        let link = self.add_link(router);
        for _ in 0..100 {
            self.run_for(Duration::from_millis(100));
            if self.links[link.0].participant.check_answers > 0 {
                return link;
            }
            self.links[link.0].check_at = Some(self.now);
        }
        panic!("no check was answered in 10 s");
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
        self.network.send(self.now, Way::ToShard(source), datagram);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.send_checks();
            let wakes = [self.shard.poll_timeout(), self.network.next_at(), self.next_check_at()];
            let Some(next) = wakes.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some((way, datagram)) = self.network.receive(self.now) {
                self.deliver(way, &datagram);
            }
            self.turn();
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

    fn next_check_at(&self) -> Option<Instant> {
        self.links.iter().filter_map(|link| link.check_at).min()
    }

    fn send_checks(&mut self) {
        for link in &mut self.links {
            if link.check_at.is_some_and(|at| at <= self.now) {
                let check = link.participant.check();
                self.network.send(self.now, Way::ToShard(link.participant.address), &check);
                link.check_at = Some(self.now + CHECK_INTERVAL);
            }
        }
    }

    fn deliver(&mut self, way: Way, datagram: &[u8]) {
        match way {
            Way::ToShard(source) => {
                if !self.shard.input_mut().push(datagram, source, SHARD_ADDRESS, self.now) {
                    self.turn();
                    self.shard.input_mut().push(datagram, source, SHARD_ADDRESS, self.now);
                }
            }
            Way::FromShard(destination) => {
                if let Some(link) = self.links.iter_mut().find(|link| link.participant.address == destination) {
                    link.participant.handle_datagram(self.now, datagram);
                }
            }
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
                assert_eq!(message.source, SHARD_ADDRESS, "an answer goes from the address that was spoken to");
                for datagram in message.datagrams() {
                    self.network.send(now, Way::FromShard(message.destination), datagram);
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

fn opus(payload_type: u8) -> CodecTable {
    CodecTable {
        payload_type: PayloadType(payload_type),
        rtx_payload_type: None,
        format: PayloadFormat::Opus,
        clock_rate_hz: 48_000,
    }
}

/// A browser's microphone: Opus with payload type 111, MID extension 4, audio level 1.
pub fn audio_producer(mid: &str, ssrc: Option<u32>) -> ProducerTable {
    let mut header_extensions = HeaderExtensionIds::default();
    header_extensions.set(HeaderExtension::Mid, 4);
    header_extensions.set(HeaderExtension::AudioLevel, 1);
    ProducerTable {
        kind: MediaKind::Audio,
        mid: StreamName::new(mid.as_bytes()),
        codecs: vec![opus(111)],
        encodings: vec![EncodingTable { ssrc: ssrc.map(Ssrc), rtx_ssrc: None, rid: None }],
        header_extensions,
        bitrate_max_bps: 128_000,
    }
}

/// How a browser hears one: Opus with payload type 100, MID extension 1, audio level 10.
pub fn audio_consumer(mid: &str, ssrc: u32) -> ConsumerTable {
    let mut header_extensions = HeaderExtensionIds::default();
    header_extensions.set(HeaderExtension::Mid, 1);
    header_extensions.set(HeaderExtension::AudioLevel, 10);
    ConsumerTable {
        kind: MediaKind::Audio,
        mid: StreamName::new(mid.as_bytes()).expect("a MID of 1 to 16 bytes"),
        ssrc: Ssrc(ssrc),
        rtx_ssrc: None,
        codecs: vec![CodecMapping { producer_payload_type: PayloadType(111), codec: opus(100) }],
        header_extensions,
        cname: "cname".into(),
    }
}
