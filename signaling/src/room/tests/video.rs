//! Cameras and screens: what follows from having one, and what a state does to it.

use serde_json::{Value, json};
use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::tables::{MediaKind, Ssrc};

use super::World;
use super::request::{join, produce, screen, simulcast};
use crate::permissions::Permissions;

const FLOWING: PauseReasons = PauseReasons::NONE;

fn held() -> PauseReasons {
    PauseReasons::NONE.with(PauseReason::State)
}

fn rights(rights: &[Permissions]) -> Permissions {
    Permissions::from_bits(rights.iter().fold(0, |bits, right| bits | right.bits()))
}

impl World {
    fn send_transport(&self, client: usize) -> String {
        self.clients[client].transports["send"].clone()
    }

    /// Produces a stream of each source with its default, and gives its id.
    fn show(&mut self, client: usize, source: &str) -> String {
        let transport = self.send_transport(client);
        let request = match source {
            "camera" => simulcast(&transport, 20, Some(source)),
            "screen" => screen(&transport, 30, Some(source)),
            _ => produce(&transport, if source == "mic" { 40 } else { 50 }, Some(source)),
        };
        let produced = self.call(client, request);
        assert_eq!(produced["source"], source, "{produced}");
        produced["producerId"].as_str().unwrap().to_owned()
    }

    fn update(&mut self, client: usize, field: &str, value: bool) -> Value {
        self.call(client, json!({"type": "updateState", field: value}))
    }

    /// Why each producer does not flow, in the order of their making.
    fn producers_paused(&self) -> Vec<PauseReasons> {
        self.shards[0].books().producers.values().map(|&(_, paused)| paused).collect()
    }

    /// Whether each consumer is held back by its owner's state, in the order of their making.
    fn consumers_held(&self) -> Vec<bool> {
        let books = self.shards[0].books();
        books.consumers.values().map(|(.., paused)| paused.contains(PauseReason::State)).collect()
    }

    /// What `listener` believes of `user`.
    fn believed(&self, listener: usize, user: &str, field: &str) -> Value {
        self.clients[listener].others[user][field].clone()
    }
}

#[test]
fn the_first_camera_and_screen_are_told_to_the_room_as_state() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    world.heard_types(bob);
    world.show(alice, "camera");
    assert_eq!(world.heard_types(bob), ["newProducer", "userStateUpdate"]);
    assert_eq!(world.believed(bob, "alice", "videoEnabled"), true);
    assert_eq!(world.believed(bob, "alice", "screenSharing"), false);
    world.show(alice, "screenAudio");
    assert_eq!(world.heard_types(bob), ["newProducer"]);
    world.show(alice, "screen");
    assert_eq!(world.heard_types(bob), ["newProducer", "userStateUpdate"]);
    assert_eq!(world.believed(bob, "alice", "screenSharing"), true);
    assert_eq!(world.producers_paused(), [FLOWING; 3]);
    let carol = world.connect("carol");
    let joined = world.join(carol, "lobby");
    let state = &joined["participants"][0]["state"];
    assert_eq!((&state["videoEnabled"], &state["screenSharing"]), (&json!(true), &json!(true)));
}

#[test]
fn a_state_that_was_set_before_is_not_told_again() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    world.update(alice, "videoEnabled", true);
    world.heard_types(bob);
    world.show(alice, "camera");
    assert_eq!(world.heard_types(bob), ["newProducer"]);
    assert_eq!(world.producers_paused(), [FLOWING]);
}

#[test]
fn a_camera_that_is_refused_changes_no_state() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    world.heard_types(bob);
    world.shards[0].books().refuse_next = Some(shard_protocol::CommandError::LimitReached);
    let request = simulcast(&world.send_transport(alice), 20, None);
    assert_eq!(world.call(alice, request)["code"], "limit_reached");
    assert_eq!(world.heard_types(bob), [] as [String; 0]);
    assert_eq!(world.update(alice, "muted", false)["videoEnabled"], false);
}

#[test]
fn a_camera_switched_off_stays_open_and_its_stream_stops() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let camera = world.show(alice, "camera");
    world.show(alice, "screen");
    world.consume(bob, &camera);
    world.heard_types(bob);
    let updated = world.update(alice, "videoEnabled", false);
    assert_eq!((&updated["videoEnabled"], &updated["screenSharing"]), (&json!(false), &json!(true)));
    assert_eq!(world.producers_paused(), [held(), FLOWING]);
    assert_eq!(world.heard_types(bob), ["userStateUpdate"]);
    world.update(alice, "screenSharing", false);
    assert_eq!(world.producers_paused(), [held(), held()]);
    world.update(alice, "videoEnabled", true);
    assert_eq!(world.producers_paused(), [FLOWING, held()]);
    assert_eq!(world.heard_types(bob), ["userStateUpdate", "userStateUpdate"]);
    assert_eq!(world.shards[0].books().consumers.len(), 1);
}

#[test]
fn a_pause_by_request_and_one_by_state_hold_beside_each_other() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let camera = world.show(alice, "camera");
    world.call(alice, json!({"type": "pauseProducer", "producerId": camera}));
    world.update(alice, "videoEnabled", false);
    assert_eq!(world.producers_paused(), [held().with(PauseReason::Owner)]);
    world.call(alice, json!({"type": "resumeProducer", "producerId": camera}));
    assert_eq!(world.producers_paused(), [held()]);
    world.update(alice, "videoEnabled", true);
    assert_eq!(world.producers_paused(), [FLOWING]);
}

#[test]
fn closing_the_last_sets_the_state_back() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let camera = world.show(alice, "camera");
    world.show(alice, "screen");
    world.heard_types(bob);
    world.call(alice, json!({"type": "closeProducer", "producerId": camera}));
    assert_eq!(world.heard_types(bob), ["producerClosed", "userStateUpdate"]);
    assert_eq!(world.believed(bob, "alice", "videoEnabled"), false);
    assert_eq!(world.believed(bob, "alice", "screenSharing"), true);
    let camera = world.show(alice, "camera");
    assert_eq!(world.believed(bob, "alice", "videoEnabled"), true);
    world.update(alice, "videoEnabled", false);
    world.heard_types(bob);
    world.call(alice, json!({"type": "closeProducer", "producerId": camera}));
    assert_eq!(world.heard_types(bob), ["producerClosed"]);
    world.show(alice, "camera");
    assert_eq!(world.believed(bob, "alice", "videoEnabled"), true);
}

#[test]
fn a_closed_transport_sets_back_the_state_of_all_that_it_sent() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    world.show(alice, "camera");
    world.show(alice, "screen");
    let transport = world.send_transport(alice);
    world.call(alice, json!({"type": "closeTransport", "transportId": transport}));
    world.listen();
    for field in ["videoEnabled", "screenSharing"] {
        assert_eq!(world.believed(bob, "alice", field), false, "{field}");
        assert_eq!(world.update(alice, "muted", false)[field], false, "{field}");
    }
}

#[test]
fn what_is_left_out_is_guessed_by_kind_and_by_what_is_there() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let transport = world.send_transport(alice);
    assert_eq!(world.call(alice, produce(&transport, 1, None))["source"], "mic");
    assert_eq!(world.call(alice, simulcast(&transport, 2, None))["source"], "camera");
    assert_eq!(world.call(alice, screen(&transport, 3, None))["source"], "screen");
    assert_eq!(world.call(alice, screen(&transport, 5, None))["code"], "limit_reached");
    assert_eq!(world.call(alice, screen(&transport, 5, Some("camera")))["code"], "limit_reached");
    assert_eq!(world.call(alice, produce(&transport, 7, Some("screenAudio")))["source"], "screenAudio");
    assert_eq!(world.call(alice, produce(&transport, 9, Some("screenAudio")))["code"], "limit_reached");
    for request in [screen(&transport, 9, Some("mic")), produce(&transport, 9, Some("screen"))] {
        assert_eq!(world.call(alice, request)["code"], "bad_request");
    }
    assert_eq!(world.shards[0].books().producers.len(), 4);
}

#[test]
fn each_source_may_send_as_much_as_it_needs() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let sources = [("mic", 128_000), ("screenAudio", 128_000), ("camera", 2_150_000), ("screen", 4_000_000)];
    for (source, bitrate_max_bps) in sources {
        world.show(alice, source);
        let table = world.shards[0].books().last_producer.clone().unwrap();
        assert_eq!(table.bitrate_max_bps, bitrate_max_bps, "{source}");
    }
}

#[test]
fn the_operator_s_cap_is_every_transport_s() {
    for cap in [None, Some(3_000_000)] {
        let mut world = World::with_cap(1, cap);
        world.enter("alice", "lobby");
        assert_eq!(world.shards[0].books().incoming_bitrates_max_bps, [cap; 2]);
    }
}

#[test]
fn mute_holds_the_microphone_back_and_deafness_all_sound_and_neither_a_picture() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    for source in ["mic", "screenAudio", "camera", "screen"] {
        let producer = world.show(alice, source);
        assert_eq!(world.consume(bob, &producer)["source"], source);
    }
    world.update(alice, "muted", true);
    assert_eq!(world.producers_paused(), [held(), FLOWING, FLOWING, FLOWING]);
    world.update(bob, "deafened", true);
    assert_eq!(world.consumers_held(), [true, true, false, false]);
    world.update(bob, "deafened", false);
    assert_eq!(world.consumers_held(), [false; 4]);
    world.update(alice, "muted", false);
    assert_eq!(world.producers_paused(), [FLOWING; 4]);
}

#[test]
fn pictures_consumed_by_deaf_ears_flow_and_sound_does_not() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    world.update(bob, "deafened", true);
    for source in ["screenAudio", "screen"] {
        let producer = world.show(alice, source);
        world.consume(bob, &producer);
    }
    assert_eq!(world.consumers_held(), [true, false]);
}

#[test]
fn without_the_right_to_stream_there_is_a_voice_and_no_picture() {
    let mut world = World::new(1);
    let speaker = world.connect_with("speaker", rights(&[Permissions::CONNECT, Permissions::SPEAK]));
    world.join(speaker, "lobby");
    world.call(speaker, json!({"type": "createTransport", "direction": "send"}));
    let transport = world.send_transport(speaker);
    assert_eq!(world.call(speaker, produce(&transport, 1, None))["source"], "mic");
    let refused = [
        simulcast(&transport, 2, None),
        screen(&transport, 4, Some("screen")),
        produce(&transport, 6, Some("screenAudio")),
        // What is wrong with it beyond that is nobody's business.
        json!({"type": "produce", "transportId": transport, "kind": "video", "rtpParameters": {}}),
    ];
    for request in refused {
        assert_eq!(world.call(speaker, request)["code"], "forbidden");
    }
    assert_eq!(world.update(speaker, "muted", false)["videoEnabled"], false);
    let painter = world.connect_with("painter", rights(&[Permissions::CONNECT, Permissions::STREAM]));
    world.join(painter, "lobby");
    world.call(painter, json!({"type": "createTransport", "direction": "send"}));
    let transport = world.send_transport(painter);
    assert_eq!(world.call(painter, simulcast(&transport, 1, None))["source"], "camera");
    assert_eq!(world.call(painter, produce(&transport, 2, None))["code"], "forbidden");
}

#[test]
fn a_codec_that_the_router_lacks_is_unsupported() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let mut request = screen(&world.send_transport(alice), 1, None);
    request["rtpParameters"]["codecs"][0]["mimeType"] = json!("video/H265");
    assert_eq!(world.call(alice, request)["code"], "unsupported_codec");
    assert!(world.shards[0].books().producers.is_empty());
}

#[test]
fn a_consumer_of_simulcast_gets_one_stream_with_retransmissions() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let camera = world.show(alice, "camera");
    let rids = world.shards[0].books().last_producer.as_ref().unwrap().encodings.len();
    assert_eq!(rids, 3);
    let consumed = world.consume(bob, &camera);
    assert_eq!((&consumed["consumerType"], &consumed["kind"]), (&json!("simulcast"), &json!("video")));
    let encodings = consumed["rtpParameters"]["encodings"].as_array().unwrap();
    assert_eq!(encodings.len(), 1);
    let table = world.shards[0].books().last_consumer.clone().unwrap();
    assert_eq!(table.kind, MediaKind::Video);
    assert_eq!(encodings[0]["ssrc"], table.ssrc.0);
    assert_eq!(encodings[0]["rtx"]["ssrc"], table.rtx_ssrc.unwrap().0);
    assert_eq!(table.rtx_ssrc, Some(Ssrc(table.ssrc.0 + 1)));
    assert!(table.codecs.iter().all(|mapping| mapping.codec.rtx_payload_type.is_some()));
}

#[test]
fn the_type_of_a_consumer_is_how_its_producer_sends() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let transport = world.send_transport(alice);
    let mut layered = screen(&transport, 30, Some("screen"));
    layered["rtpParameters"]["encodings"][0]["scalabilityMode"] = json!("L1T3");
    let simple = screen(&transport, 20, Some("camera"));
    for (request, consumer_type) in [(simple, "simple"), (layered, "svc")] {
        let producer = world.call(alice, request)["producerId"].clone();
        assert_eq!(world.consume(bob, producer.as_str().unwrap())["consumerType"], consumer_type);
    }
}

#[test]
fn a_receiver_without_retransmissions_is_sent_none() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let camera = world.show(alice, "camera");
    let bob = world.connect("bob");
    let mut request = join("lobby");
    let codecs = request["rtpCapabilities"]["codecs"].as_array_mut().unwrap();
    codecs.retain(|codec| codec["mimeType"] != "video/rtx");
    world.call(bob, request);
    world.call(bob, json!({"type": "createTransport", "direction": "recv"}));
    let consumed = world.consume(bob, &camera);
    assert_eq!(consumed["rtpParameters"]["encodings"][0]["rtx"], Value::Null);
    let [codec] = consumed["rtpParameters"]["codecs"].as_array().unwrap().as_slice() else { panic!("one codec") };
    let feedback = codec["rtcpFeedback"].as_array().unwrap();
    assert!(feedback.contains(&json!({"type": "nack", "parameter": "pli"})));
    assert!(
        !feedback.contains(&json!({"type": "nack", "parameter": ""})) && !feedback.contains(&json!({"type": "nack"}))
    );
    let table = world.shards[0].books().last_consumer.clone().unwrap();
    assert_eq!(table.rtx_ssrc, None);
    assert!(table.codecs.iter().all(|mapping| mapping.codec.rtx_payload_type.is_none()));
}

#[test]
fn a_key_frame_is_asked_for_by_the_one_who_sees() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let camera = world.show(alice, "camera");
    let consumer = world.consume(bob, &camera)["consumerId"].clone();
    let request = json!({"type": "requestKeyFrame", "consumerId": consumer});
    let requested = world.call(bob, request.clone());
    assert_eq!((&requested["type"], &requested["consumerId"]), (&json!("keyFrameRequested"), &consumer));
    let books = |world: &World| world.shards[0].books().key_frames.len();
    assert_eq!(books(&world), 1);
    assert_eq!(world.call(alice, request.clone())["code"], "not_found");
    world.call(bob, json!({"type": "closeConsumer", "consumerId": consumer}));
    assert_eq!(world.call(bob, request)["code"], "not_found");
    assert_eq!(world.call(bob, json!({"type": "requestKeyFrame"}))["code"], "bad_request");
    assert_eq!(books(&world), 1);
    assert_eq!(world.shards[0].books().faults, [] as [String; 0]);
}
