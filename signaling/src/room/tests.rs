//! The rooms against shards that keep books and clients that believe only what they are told.

mod client;
mod request;
mod scenario;
mod shard;
mod video;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shard_protocol::CommandError;
use shard_protocol::command::PauseReason;

use self::client::Client;
use self::request::{connect_transport, join, produce, screen, simulcast};
use self::shard::FakeShard;
use super::{Rooms, RoomsConfig, ShardAddresses};
use crate::auth::Identity;
use crate::metrics::Metrics;
use crate::permissions::{Grant, Permissions};
use crate::session::outgoing;
use crate::shards::ANSWER_TIMEOUT;
use crate::wire::request::{Kind, Source};
use crate::wire::{Envelope, UserId};

/// A service with shards and clients, on a time of its own.
struct World {
    rooms: Rooms,
    shards: Vec<FakeShard>,
    clients: Vec<Client>,
    now: Instant,
}

impl World {
    fn new(shards: usize) -> Self {
        Self::with_cap(shards, None)
    }

    fn with_cap(shards: usize, incoming_bitrate_max_bps: Option<u32>) -> Self {
        let shards: Vec<FakeShard> = (0..shards).map(|_| FakeShard::new()).collect();
        let now = Instant::now();
        let config = RoomsConfig {
            ports: shards.iter().map(|shard| Box::new(shard.clone()) as _).collect(),
            addresses: vec![ShardAddresses::default(); shards.len()],
            fingerprints: Vec::new(),
            heartbeat_ms: 15_000,
            incoming_bitrate_max_bps,
            now,
        };
        Self { rooms: Rooms::new(config, Metrics::default()), shards, clients: Vec::new(), now }
    }

    fn connect(&mut self, user: &str) -> usize {
        self.connect_with(user, Permissions::MEMBER)
    }

    fn connect_with(&mut self, user: &str, permissions: Permissions) -> usize {
        let grant = Grant { permissions: Some(permissions), channels: None };
        let identity = Identity { user: UserId::new(user).unwrap(), grant, expires_at_s: u64::MAX };
        let (outgoing, outlet) = outgoing::queue();
        let key = self.rooms.handle_connected(&identity, outgoing);
        self.clients.push(Client::new(key, user, outlet));
        self.clients.len() - 1
    }

    /// Sends a request; its answer may be open yet.
    fn ask(&mut self, client: usize, request: Value) {
        let client = &mut self.clients[client];
        let text = client.ask(request);
        self.rooms.handle_request(client.key, Envelope::read(&text).unwrap(), self.now);
    }

    /// Sends a request, lets the shards answer, and gives the answer.
    fn call(&mut self, client: usize, request: Value) -> Value {
        self.ask(client, request);
        self.settle();
        let id = json!(self.clients[client].heard.iter().filter_map(|message| message["id"].as_u64()).max());
        let mut heard = self.clients[client].heard.iter();
        heard.rfind(|message| message["id"] == id).cloned().unwrap_or_default()
    }

    /// Lets the shards do all that waits, and everybody hear of it.
    fn settle(&mut self) {
        for _ in 0..100 {
            for shard in &self.shards {
                shard.work(usize::MAX);
            }
            self.rooms.handle_shards(self.now);
        }
        self.listen();
    }

    fn listen(&mut self) {
        for client in &mut self.clients {
            client.listen();
        }
    }

    fn disconnect(&mut self, client: usize) -> Client {
        let client = self.clients.swap_remove(client);
        self.rooms.handle_disconnected(client.key);
        client
    }

    fn join(&mut self, client: usize, channel: &str) -> Value {
        self.call(client, join(channel))
    }

    /// Joins, and makes both transports.
    fn enter(&mut self, user: &str, channel: &str) -> usize {
        let client = self.connect(user);
        assert_eq!(self.join(client, channel)["type"], "joined");
        for direction in ["send", "recv"] {
            let created = self.call(client, json!({"type": "createTransport", "direction": direction}));
            assert_eq!(created["type"], "transportCreated");
        }
        client
    }

    fn produce(&mut self, client: usize) -> String {
        let request = produce(&self.clients[client].transports["send"], 1, None);
        self.call(client, request)["producerId"].as_str().unwrap().to_owned()
    }

    fn consume(&mut self, client: usize, producer: &str) -> Value {
        self.call(client, json!({"type": "consume", "producerId": producer}))
    }

    /// The types of the messages that a client has heard since it last asked.
    fn heard_types(&mut self, client: usize) -> Vec<String> {
        self.listen();
        let heard = std::mem::take(&mut self.clients[client].heard);
        heard.iter().map(|message| message["type"].as_str().unwrap().to_owned()).collect()
    }

    fn assert_empty(&self) {
        assert!(self.rooms.rooms.is_empty() && self.rooms.users.is_empty() && self.rooms.transports.is_empty());
        assert_eq!(self.rooms.connections.len(), 0);
        for (index, shard) in self.shards.iter().enumerate() {
            let books = shard.books();
            assert!(books.is_empty(), "shard {index} still holds something");
            assert_eq!(books.faults, [] as [String; 0], "shard {index}");
            assert_eq!(self.rooms.shards.backlog_len(shard_protocol::ids::ShardIndex(index as u16)), 0);
        }
        assert_eq!(self.rooms.shards.pending_len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_nothing_leaks_and_nobody_is_told_nonsense(seed in any::<u64>(), steps in 1_usize..600) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::new(2);
        let may_lose = random.random_bool(0.1);
        for _ in 0..steps {
            step(&mut world, &mut random, may_lose);
            world.listen();
            for client in &world.clients {
                prop_assert_eq!(&client.faults, &[] as &[String; 0]);
            }
        }
        for shard in &world.shards {
            shard.books().room = usize::MAX;
        }
        world.settle();
        drop_closed(&mut world);
        world.settle();
        prop_assert_eq!(agreement_faults(&world), Vec::<String>::new());
        while !world.clients.is_empty() {
            let client = world.disconnect(0);
            prop_assert_eq!(client.faults, Vec::<String>::new());
        }
        world.settle();
        world.assert_empty();
    }
}

/// One thing that may happen in the world. Mostly people come, talk and answer; now and then something breaks.
fn step(world: &mut World, random: &mut StdRng, may_lose: bool) {
    let count = world.clients.len();
    let shard = random.random_range(0..world.shards.len());
    match random.random_range(0..200) {
        0..10 if count < 9 => {
            let user = format!("user-{}", random.random_range(0..12));
            world.connect(&user);
        }
        10..12 if count > 0 => {
            world.disconnect(random.random_range(0..count));
        }
        12..120 if count > 0 => {
            let client = random.random_range(0..count);
            if world.clients[client].asked.is_none() && world.clients[client].closed.is_none() {
                let request = random_request(world, client, random);
                world.ask(client, request);
            }
        }
        120..185 => {
            world.shards[shard].work(random.random_range(1..6));
            world.rooms.handle_shards(world.now);
        }
        185 => world.shards[shard].fail_transport(random.random_range(0..8)),
        186..188 => world.shards[shard].complete_transport(random.random_range(0..8)),
        188 => world.shards[shard].books().room = random.random_range(0..4),
        189..192 => world.shards[shard].books().room = 1000,
        192 => world.shards[shard].books().refuse_next = Some(CommandError::LimitReached),
        193 => world.now += ANSWER_TIMEOUT,
        194 if may_lose && random.random_bool(0.3) => world.shards[0].lose(),
        _ => drop_closed(world),
    }
}

/// Ends the connections that the service has closed, as their tasks do.
fn drop_closed(world: &mut World) {
    world.listen();
    while let Some(client) = world.clients.iter().position(|client| client.closed.is_some()) {
        world.disconnect(client);
    }
}

/// What a client asks: mostly the next step of a call, else anything.
fn random_request(world: &World, client: usize, random: &mut StdRng) -> Value {
    let client = &world.clients[client];
    let channel = format!("channel-{}", random.random_range(0..3));
    let Some(current) = client.channel.clone() else { return join(&channel) };
    if random.random_bool(0.6) {
        let unheard = client.streams.keys().find(|stream| !client.consumers.values().any(|heard| heard == *stream));
        match (client.transports.get("send"), client.transports.get("recv"), unheard) {
            (None, ..) => return json!({"type": "createTransport", "direction": "send"}),
            (_, None, _) => return json!({"type": "createTransport", "direction": "recv"}),
            (Some(transport), ..) if client.producers.is_empty() => return produce(transport, random.random(), None),
            (.., Some(stream)) => return json!({"type": "consume", "producerId": stream}),
            _ => {}
        }
    }
    let mut pick = |ids: Vec<&String>| match ids.len() {
        0 => "none".to_owned(),
        count => ids[random.random_range(0..count)].clone(),
    };
    let transport = pick(client.transports.values().collect());
    let producer = pick(client.producers.keys().collect());
    let consumer = pick(client.consumers.keys().collect());
    let stream = pick(client.streams.keys().collect());
    match random.random_range(0..40) {
        0 => join(&channel),
        1 => json!({"type": "leave", "channelId": current}),
        2 => json!({"type": "closeTransport", "transportId": transport}),
        3..6 => connect_transport(&transport),
        6..10 => {
            let source = ["mic", "screenAudio", "camera", "screen"][random.random_range(0..4)];
            let produce = match source {
                "camera" => simulcast,
                "screen" => screen,
                _ => produce,
            };
            let mut request = produce(&transport, random.random(), Some(source));
            request["paused"] = json!(random.random_bool(0.3));
            request
        }
        10..12 => json!({"type": "closeProducer", "producerId": producer}),
        12..15 => json!({"type": "pauseProducer", "producerId": producer}),
        15..18 => json!({"type": "resumeProducer", "producerId": producer}),
        18..21 => json!({"type": "consume", "producerId": stream}),
        21..23 => json!({"type": "closeConsumer", "consumerId": consumer}),
        23..26 => json!({"type": "pauseConsumer", "consumerId": consumer}),
        26..31 => json!({"type": "resumeConsumer", "consumerId": consumer}),
        31..35 => json!({"type": "requestKeyFrame", "consumerId": consumer}),
        35 => json!({"type": "createTransport", "direction": "recv"}),
        36..38 => json!({"type": "updateState", "muted": random.random::<bool>(), "deafened": random.random::<bool>()}),
        _ => json!({
            "type": "updateState", "videoEnabled": random.random::<bool>(), "screenSharing": random.random::<bool>(),
        }),
    }
}

/// Where clients, rooms and shards do not agree on what there is, once everything has come to rest.
fn agreement_faults(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for client in world.clients.iter().filter(|client| client.channel.is_some()) {
        let others = world.clients.iter().filter(|other| other.channel == client.channel && other.user != client.user);
        let streams =
            others.clone().flat_map(|other| other.producers.keys().map(|id| (id.clone(), other.user.clone())));
        if client.streams != streams.collect()
            || !client.others.keys().eq(others.map(|other| &other.user).collect::<BTreeSet<_>>())
        {
            faults.push(format!("{} does not know who and what is there", client.user));
        }
    }
    let count = |of: fn(&Client) -> usize| world.clients.iter().map(of).sum::<usize>();
    let shards = |of: fn(&shard::Books) -> usize| world.shards.iter().map(|shard| of(&shard.books())).sum::<usize>();
    let counts = [
        ("transports", count(|client| client.transports.len()), shards(|books| books.transports.len())),
        ("producers", count(|client| client.producers.len()), shards(|books| books.producers.len())),
        ("consumers", count(|client| client.consumers.len()), shards(|books| books.consumers.len())),
        ("rooms", world.rooms.rooms.len(), shards(|books| books.routers.len())),
    ];
    faults.extend(counts.iter().filter(|(_, ours, theirs)| ours != theirs).map(|fault| format!("{fault:?}")));
    faults.extend(state_faults(world));
    for room in world.rooms.rooms.values() {
        let books = world.shards[usize::from(room.shard.0)].books();
        for producer in room.producers.values() {
            let (_, paused) = books.producers[&producer.id];
            let state = room.participants[&producer.owner].state;
            let is_held = match producer.source {
                Source::Mic => state.muted,
                Source::Camera => !state.video_enabled,
                Source::Screen => !state.screen_sharing,
                Source::ScreenAudio => false,
            };
            if (paused.contains(PauseReason::Owner), paused.contains(PauseReason::State))
                != (producer.is_paused, is_held)
            {
                faults.push(format!("producer {} is paused otherwise", producer.id));
            }
        }
        for participant in room.participants.values() {
            for consumer in participant.consumers.values() {
                let (.., paused) = books.consumers[&consumer.id];
                let is_held = consumer.kind == Kind::Audio && participant.state.deafened;
                let is_right = paused.contains(PauseReason::State) == is_held
                    && paused.contains(PauseReason::Owner) == consumer.is_paused;
                if !is_right {
                    faults.push(format!("consumer {} is paused otherwise", consumer.id));
                }
            }
        }
    }
    faults
}

/// Where a client believes another state of somebody than holds.
fn state_faults(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for client in world.clients.iter().filter(|client| client.channel.is_some()) {
        for (user, believed) in &client.others {
            let rooms =
                world.rooms.rooms.iter().filter(|(channel, _)| client.channel.as_deref() == Some(channel.as_str()));
            let mut participants = rooms.flat_map(|(_, room)| &room.participants);
            let state = participants.find(|(its_user, _)| its_user.as_str() == user).map(|(_, its)| json!(its.state));
            if state.as_ref() != Some(believed) {
                faults.push(format!("{} believes of {user}: {believed}, but it is {state:?}", client.user));
            }
        }
    }
    faults
}

#[test]
fn a_shard_that_does_not_answer_is_given_up_on() {
    let mut world = World::new(1);
    let client = world.connect("alice");
    world.ask(client, join("lobby"));
    world.now += ANSWER_TIMEOUT + Duration::from_millis(1);
    world.rooms.handle_shards(world.now);
    world.listen();
    assert_eq!(world.clients[client].errors, ["shard_unavailable"]);
    assert_eq!(world.join(client, "lobby")["type"], "joined");
    world.disconnect(client);
    world.settle();
    world.assert_empty();
}

#[test]
fn random_lives_are_lives_with_calls_in_them() {
    let mut heard = std::collections::BTreeMap::<String, usize>::new();
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::new(2);
        for _ in 0..300 {
            step(&mut world, &mut random, false);
            world.listen();
            for message in world.clients.iter_mut().flat_map(|client| std::mem::take(&mut client.heard)) {
                let word = message.get("code").unwrap_or(&message["type"]);
                *heard.entry(word.as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    for word in [
        "consumed",
        "consumerClosed",
        "consumerPaused",
        "consumerResumed",
        "keyFrameRequested",
        "left",
        "limit_reached",
        "newProducer",
        "producerClosed",
        "producerPaused",
        "shard_unavailable",
        "transportClosed",
        "transportState",
        "userLeft",
        "userStateUpdate",
    ] {
        assert!(heard.get(word).is_some_and(|&count| count >= 10), "{word} is hardly ever said: {heard:?}");
    }
}
