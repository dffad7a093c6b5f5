//! A server of the protocol that forwards between participants, and injects faults on purpose.
//!
//! It runs in a runtime of its own, so that a crash can be had by dropping it: every socket closes at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peer::{
    Direction, DtlsIdentity, DtlsRole, IceCredentials, IceMode, Remote, Srtp, SrtpKeys, SrtpProfile, Transport,
    TransportOptions,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// Shares of packets are counted in thousandths.
const WHOLE: u32 = 1000;

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Thousandths of packets that are lost.
    pub(crate) lost: u32,
    /// Thousandths of packets that are sent twice.
    pub(crate) repeated: u32,
    /// Thousandths of packets that change places with the next.
    pub(crate) reordered: u32,
    /// Thousandths of packets one byte of whose content is changed, authenticated all the same.
    pub(crate) altered: u32,
    /// Thousandths of packets that are protected with keys that nobody has.
    pub(crate) foreign_keys: u32,
    /// Every packet is held back for so long.
    pub(crate) delay: Duration,
    /// `resumeConsumer` is unknown, and media flows at once; answers carry no ids.
    pub(crate) is_simple: bool,
    /// Producers that come are not announced to those who are there.
    pub(crate) is_silent: bool,
    /// Tokens are not looked at, but every so-and-so-many-th connection is refused.
    pub(crate) refused_every: usize,
}

/// What was done on purpose, in packets to receivers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Injected {
    pub(crate) forwarded: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    pub(crate) altered: u64,
    pub(crate) foreign_keys: u64,
}

/// A running server; dropping it is a crash.
pub(crate) struct FaultyServer {
    runtime: Option<Runtime>,
    world: Arc<World>,
    address: SocketAddr,
}

struct World {
    faults: Faults,
    identity: DtlsIdentity,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    members: HashMap<u64, Member>,
    /// By name.
    producers: HashMap<String, Producer>,
    consumers: Vec<Consumer>,
    injected: Injected,
}

struct Member {
    channel: String,
    out: UnboundedSender<Value>,
    transports: HashMap<String, Arc<Transport>>,
    receiving: Option<Arc<Transport>>,
}

#[derive(Clone)]
struct Producer {
    owner: u64,
    channel: String,
    kind: String,
    ssrc: u32,
    payload_type: u64,
}

struct Consumer {
    id: String,
    owner: u64,
    producer: String,
    ssrc: u32,
    is_flowing: bool,
    held: Option<Vec<u8>>,
    transport: Arc<Transport>,
    foreign: Option<Srtp>,
    out: UnboundedSender<(Instant, Vec<u8>)>,
}

impl FaultyServer {
    pub(crate) fn start(faults: Faults) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let identity = DtlsIdentity::generate().expect("a certificate");
        let world = Arc::new(World { faults, identity, state: Mutex::default() });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("its address");
        runtime.spawn(run_listener(listener, Arc::clone(&world)));
        Self { runtime: Some(runtime), world, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/signaling", self.address)
    }

    pub(crate) fn injected(&self) -> Injected {
        self.world.state().injected
    }

    /// All sockets close at once, without a word.
    pub(crate) fn crash(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.world.state().members.clear();
        self.world.state().consumers.clear();
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.crash();
    }
}

async fn run_listener(listener: TcpListener, world: Arc<World>) {
    let mut connections = 0;
    while let Ok((stream, _)) = listener.accept().await {
        connections += 1;
        if world.faults.refused_every > 0 && connections % world.faults.refused_every == 0 {
            continue;
        }
        tokio::spawn(run_connection(stream, Arc::clone(&world)));
    }
}

async fn run_connection(stream: TcpStream, world: Arc<World>) {
    let Ok(socket) = accept_async(stream).await else { return };
    let (mut writer, mut reader) = socket.split();
    let (out, mut outgoing) = unbounded_channel::<Value>();
    let id = world.state().new_id();
    tokio::spawn(async move {
        while let Some(message) = outgoing.recv().await {
            if writer.send(Message::text(message.to_string())).await.is_err() {
                break;
            }
        }
    });
    let member = Member { channel: String::new(), out: out.clone(), transports: HashMap::new(), receiving: None };
    world.state().members.insert(id, member);
    let _ = out.send(json!({ "type": "connected", "connectionId": id.to_string() }));
    let _ = out.send(json!({ "type": "routerCapabilities", "rtpCapabilities": capabilities() }));
    while let Some(Ok(message)) = reader.next().await {
        if let Message::Text(text) = message {
            let request: Value = serde_json::from_str(text.as_str()).expect("the tool sends JSON");
            let (answer, pushes) = world.handle_request(id, &request);
            let mut answer = answer;
            if !world.faults.is_simple {
                answer["id"] = request["id"].clone();
            }
            let _ = out.send(answer);
            pushes.into_iter().for_each(|push| drop(out.send(push)));
        }
    }
    world.forget(id);
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, and what follows it.
    fn handle_request(self: &Arc<Self>, id: u64, request: &Value) -> (Value, Vec<Value>) {
        let word = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        match word("type").as_str() {
            "join" => {
                let mut state = self.state();
                let channel = word("channelId");
                let there = state.producers.iter().filter(|(_, producer)| producer.channel == channel);
                let pushes = there.map(|(name, producer)| announcement(name, producer)).collect();
                if let Some(member) = state.members.get_mut(&id) {
                    member.channel = channel.clone();
                }
                (json!({ "type": "joined", "channelId": channel, "participants": [] }), pushes)
            }
            "createTransport" => (self.create_transport(id, &word("direction")), Vec::new()),
            "connectTransport" => {
                let mut remote = remote_of(&request["dtlsParameters"]);
                remote.address = None;
                let transport = self.state().members[&id].transports[&word("transportId")].clone();
                transport.connect(remote);
                (json!({ "type": "transportConnected", "transportId": word("transportId") }), Vec::new())
            }
            "produce" => (self.produce(id, request), Vec::new()),
            "consume" => (self.consume(id, &word("producerId")), Vec::new()),
            "resumeConsumer" if !self.faults.is_simple => {
                let mut state = self.state();
                let consumer = state.consumers.iter_mut().find(|consumer| consumer.id == word("consumerId"));
                consumer.expect("a consumer that was made").is_flowing = true;
                (json!({ "type": "consumerResumed", "consumerId": word("consumerId") }), Vec::new())
            }
            other => {
                (json!({ "type": "error", "code": "unknown_type", "request": other, "message": "no" }), Vec::new())
            }
        }
    }

    fn create_transport(self: &Arc<Self>, id: u64, direction: &str) -> Value {
        let (tap, tapped) = unbounded_channel::<Vec<u8>>();
        let gate = Box::new(move |direction: Direction, datagram: &[u8]| {
            let is_rtp = matches!(datagram, [128..=191, kind, ..] if !(192..=223).contains(kind));
            if direction == Direction::Inbound && is_rtp {
                let _ = tap.send(datagram.to_vec());
                return false;
            }
            true
        });
        let options = TransportOptions {
            ice_mode: IceMode::Lite,
            dtls_role: DtlsRole::Server,
            identity: Some(self.identity.clone()),
            gate: Some(gate),
            ..TransportOptions::default()
        };
        let transport = Arc::new(Transport::open(options).expect("a socket"));
        let about = transport.as_remote().expect("its address");
        let mut state = self.state();
        let name = format!("t{}", state.new_id());
        let member = state.members.get_mut(&id).expect("a member");
        member.transports.insert(name.clone(), Arc::clone(&transport));
        if direction == "recv" {
            member.receiving = Some(transport);
        } else {
            tokio::spawn(run_forward(Arc::clone(self), id, transport, tapped));
        }
        let address = about.address.expect("a bound socket has one");
        json!({
            "type": "transportCreated", "transportId": name, "direction": direction,
            "iceParameters": { "usernameFragment": about.ice.ufrag, "password": about.ice.password, "iceLite": true },
            "iceCandidates": [{ "protocol": "udp", "address": address.ip().to_string(), "port": address.port() }],
            "dtlsParameters": {
                "role": "auto",
                "fingerprints": [{ "algorithm": about.fingerprints[0].0, "value": about.fingerprints[0].1 }],
            },
        })
    }

    fn produce(&self, id: u64, request: &Value) -> Value {
        let mut state = self.state();
        let name = format!("p{}", state.new_id());
        let parameters = &request["rtpParameters"];
        let producer = Producer {
            owner: id,
            channel: state.members[&id].channel.clone(),
            kind: request["kind"].as_str().unwrap_or_default().to_owned(),
            ssrc: parameters["encodings"][0]["ssrc"].as_u64().expect("an SSRC") as u32,
            payload_type: parameters["codecs"][0]["payloadType"].as_u64().expect("a payload type"),
        };
        let push = announcement(&name, &producer);
        let is_told = |(other, member): &(&u64, &Member)| {
            !self.faults.is_silent && **other != id && member.channel == producer.channel
        };
        for (_, member) in state.members.iter().filter(is_told) {
            let _ = member.out.send(push.clone());
        }
        state.producers.insert(name.clone(), producer);
        json!({ "type": "produced", "producerId": name })
    }

    fn consume(&self, id: u64, producer_id: &str) -> Value {
        let mut state = self.state();
        let name = format!("c{}", state.new_id());
        let Some(producer) = state.producers.get(producer_id).cloned() else {
            return json!({ "type": "error", "code": "not_found", "request": "consume", "message": "no producer" });
        };
        let transport = state.members[&id].receiving.clone().expect("a receiving transport comes first");
        let (out, outgoing) = unbounded_channel();
        tokio::spawn(run_consumer(Arc::clone(&transport), outgoing));
        let ssrc = rand::random();
        let consumer = Consumer {
            id: name.clone(),
            owner: id,
            producer: producer_id.to_owned(),
            ssrc,
            is_flowing: self.faults.is_simple,
            held: None,
            foreign: Srtp::new(&SrtpKeys::random(transport.profile().unwrap_or(SrtpProfile::Aes128Gcm))).ok(),
            transport,
            out,
        };
        state.consumers.push(consumer);
        json!({
            "type": "consumed", "consumerId": name, "producerId": producer_id, "kind": producer.kind,
            "rtpParameters": { "codecs": [{ "payloadType": producer.payload_type }], "encodings": [{ "ssrc": ssrc }] },
        })
    }

    /// A member is gone, with all that it sent and was sent.
    fn forget(&self, id: u64) {
        let mut state = self.state();
        let Some(gone) = state.members.remove(&id) else { return };
        let names: Vec<String> =
            state.producers.iter().filter(|(_, producer)| producer.owner == id).map(|(name, _)| name.clone()).collect();
        for name in &names {
            state.producers.remove(name);
            let push = json!({ "type": "producerClosed", "producerId": name });
            for member in state.members.values().filter(|member| member.channel == gone.channel) {
                let _ = member.out.send(push.clone());
            }
        }
        state.consumers.retain(|consumer| consumer.owner != id && !names.contains(&consumer.producer));
    }

    /// Sends a packet to all who take its stream, each with faults of its own.
    fn forward(&self, owner: u64, packet: &[u8], rng: &mut StdRng) {
        let state = &mut *self.state();
        let ssrc = packet.get(8..12).and_then(|ssrc| ssrc.try_into().ok()).map(u32::from_be_bytes);
        let of_owner = |(_, producer): &(&String, &Producer)| producer.owner == owner && Some(producer.ssrc) == ssrc;
        let Some(name) = state.producers.iter().find(of_owner).map(|(name, _)| name.clone()) else { return };
        for consumer in state.consumers.iter_mut().filter(|it| it.producer == name && it.is_flowing) {
            let mut copy = packet.to_vec();
            copy[8..12].copy_from_slice(&consumer.ssrc.to_be_bytes());
            consumer.send(copy, &self.faults, rng, &mut state.injected);
        }
    }
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl Consumer {
    fn send(&mut self, mut packet: Vec<u8>, faults: &Faults, rng: &mut StdRng, injected: &mut Injected) {
        let mut is_hit = |thousandths: u32| rng.random_range(0..WHOLE) < thousandths;
        injected.forwarded += 1;
        if is_hit(faults.lost) {
            injected.lost += 1;
            return;
        }
        if self.held.is_none() && is_hit(faults.reordered) {
            self.held = Some(packet);
            return;
        }
        let is_foreign = is_hit(faults.foreign_keys);
        if !is_foreign && is_hit(faults.altered) {
            injected.altered += 1;
            if let Some(last) = packet.last_mut() {
                *last ^= 1;
            }
        }
        let copies = if is_hit(faults.repeated) { 2 } else { 1 };
        injected.repeated += copies - 1;
        for _ in 0..copies {
            let foreign = self.foreign.as_ref().filter(|_| is_foreign);
            injected.foreign_keys += u64::from(foreign.is_some());
            self.protect_and_send(&packet, foreign, faults);
        }
        if let Some(held) = self.held.take() {
            injected.reordered += 1;
            self.protect_and_send(&held, None, faults);
        }
    }

    fn protect_and_send(&self, packet: &[u8], foreign: Option<&Srtp>, faults: &Faults) {
        let protected = match foreign {
            Some(srtp) => srtp.protect_rtp(packet),
            None => self.transport.protect_rtp(packet),
        };
        let Ok(protected) = protected else { return };
        let _ = self.out.send((Instant::now() + faults.delay, protected.to_vec()));
    }
}

async fn run_consumer(transport: Arc<Transport>, mut outgoing: UnboundedReceiver<(Instant, Vec<u8>)>) {
    while let Some((due, packet)) = outgoing.recv().await {
        sleep_until(due).await;
        let _ = transport.send_raw(&packet);
    }
}

/// Takes what one member sends, and forwards it.
async fn run_forward(world: Arc<World>, owner: u64, transport: Arc<Transport>, mut tapped: UnboundedReceiver<Vec<u8>>) {
    let mut rng = StdRng::seed_from_u64(owner);
    let mut inbound: Option<Srtp> = None;
    while let Some(datagram) = tapped.recv().await {
        if inbound.is_none() {
            if transport.connected().await.is_err() {
                return;
            }
            inbound = transport.keys().and_then(|keys| Srtp::new(&keys).ok());
        }
        if let Some(Ok(packet)) = inbound.as_ref().map(|srtp| srtp.unprotect_rtp(&datagram)) {
            world.forward(owner, &packet, &mut rng);
        }
    }
}

fn announcement(name: &str, producer: &Producer) -> Value {
    json!({ "type": "newProducer", "producerId": name, "userId": producer.owner.to_string(), "kind": producer.kind })
}

fn remote_of(dtls: &Value) -> Remote {
    let fingerprints = dtls["fingerprints"].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Remote {
        address: None,
        // A lite agent checks nothing of its own, so the other side's credentials are never needed.
        ice: IceCredentials::random(),
        fingerprints: fingerprints.iter().map(|print| (word(&print["algorithm"]), word(&print["value"]))).collect(),
    }
}

fn capabilities() -> Value {
    json!({
        "codecs": [
            {
                "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2,
                "preferredPayloadType": 100,
            },
            { "kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 101 },
        ],
        "headerExtensions": [],
    })
}
