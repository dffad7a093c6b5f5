//! What clients see, step by step.

use serde_json::json;
use shard_protocol::CommandError;
use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::ShardIndex;

use super::World;
use super::request::{connect_transport, join, produce};
use crate::permissions::Permissions;
use crate::wire::CloseReason;

#[test]
fn a_newcomer_is_greeted_and_told_who_and_what_is_there() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let producer = world.produce(alice);
    assert_eq!(world.heard_types(alice)[..3], ["connected", "routerCapabilities", "joined"]);
    let bob = world.connect("bob");
    let joined = world.join(bob, "lobby");
    assert_eq!(joined["participants"][0]["userId"], "alice");
    assert_eq!(joined["iceServers"], json!([]));
    assert_eq!(joined["settings"]["audio"]["opus"]["stereo"], 1);
    assert_eq!(world.heard_types(bob), ["connected", "routerCapabilities", "joined", "newProducer"]);
    assert_eq!(world.clients[bob].streams[&producer], "alice");
    assert_eq!(world.heard_types(alice), ["userJoined"]);
}

#[test]
fn a_stream_is_made_heard_and_ended_in_order() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let producer = world.produce(alice);
    world.heard_types(bob);
    let consumed = world.consume(bob, &producer);
    assert_eq!((&consumed["userId"], &consumed["source"]), (&json!("alice"), &json!("mic")));
    assert_eq!((&consumed["consumerType"], &consumed["producerPaused"]), (&json!("simple"), &json!(false)));
    assert_eq!(consumed["rtpParameters"]["mid"], "0");
    let consumer = consumed["consumerId"].clone();
    let books = || world.shards[0].books().consumers.values().next().map(|&(.., paused)| paused).unwrap();
    assert_eq!(books(), PauseReasons::NONE.with(PauseReason::Owner));
    let resumed = world.call(bob, json!({"type": "resumeConsumer", "consumerId": consumer}));
    assert_eq!(resumed["type"], "consumerResumed");
    assert!(world.shards[0].books().consumers.values().all(|(.., paused)| paused.is_empty()));
    world.heard_types(bob);
    world.call(alice, json!({"type": "pauseProducer", "producerId": producer}));
    world.call(alice, json!({"type": "pauseProducer", "producerId": producer}));
    assert_eq!(world.heard_types(bob), ["consumerPaused", "producerPaused"]);
    world.call(alice, json!({"type": "closeProducer", "producerId": producer}));
    assert_eq!(world.heard_types(bob), ["consumerClosed", "producerClosed"]);
    assert!(world.shards[0].books().consumers.is_empty());
}

#[test]
fn a_second_consumer_and_ones_own_stream_are_bad_requests() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let producer = world.produce(alice);
    assert_eq!(world.consume(alice, &producer)["code"], "bad_request");
    assert_eq!(world.consume(bob, &producer)["type"], "consumed");
    assert_eq!(world.consume(bob, &producer)["code"], "bad_request");
    assert_eq!(world.consume(bob, "nothing")["code"], "not_found");
    let carol = world.connect("carol");
    world.join(carol, "lobby");
    assert_eq!(world.consume(carol, &producer)["code"], "bad_request");
}

#[test]
fn mids_and_ssrcs_of_one_transport_only_grow() {
    let mut world = World::new(1);
    let (listener, speaker) = (world.enter("listener", "lobby"), world.enter("speaker", "lobby"));
    let producer = world.produce(speaker);
    let mut ssrcs = Vec::new();
    for mid in ["0", "1", "3"] {
        let consumed = world.consume(listener, &producer);
        let parameters = &consumed["rtpParameters"];
        assert_eq!(parameters["mid"], mid);
        ssrcs.push(parameters["encodings"][0]["ssrc"].as_u64().unwrap());
        world.call(listener, json!({"type": "closeConsumer", "consumerId": consumed["consumerId"]}));
        if mid == "1" {
            world.shards[0].books().refuse_next = Some(CommandError::LimitReached);
            assert_eq!(world.consume(listener, &producer)["code"], "limit_reached");
        }
    }
    // Between two is the SSRC of retransmissions.
    assert_eq!([ssrcs[1] - ssrcs[0], ssrcs[2] - ssrcs[1]], [2, 4]);
    assert!((1 << 16..1 << 30).contains(&ssrcs[0]));
}

#[test]
fn a_transport_that_has_named_all_consumers_gives_no_name_twice() {
    let mut world = World::new(1);
    let (listener, speaker) = (world.enter("listener", "lobby"), world.enter("speaker", "lobby"));
    let producer = world.produce(speaker);
    let participants = world.rooms.rooms.values_mut().flat_map(|room| room.participants.values_mut());
    for transport in participants.filter_map(|participant| participant.recv.as_mut()) {
        transport.consumers_named = u32::MAX / 2;
    }
    assert_eq!(world.consume(listener, &producer)["code"], "limit_reached");
    assert!(world.shards[0].books().consumers.is_empty());
}

#[test]
fn mute_and_deafen_reach_the_shard_and_the_room() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let producer = world.produce(alice);
    world.consume(bob, &producer);
    world.heard_types(bob);
    let updated = world.call(alice, json!({"type": "updateState", "muted": true}));
    assert_eq!(updated["type"], "stateUpdated");
    assert_eq!((&updated["muted"], &updated["deafened"]), (&json!(true), &json!(false)));
    world.call(alice, json!({"type": "updateState", "muted": true}));
    assert_eq!(world.heard_types(bob), ["userStateUpdate"]);
    let paused = world.shards[0].books().producers.values().next().map(|&(_, paused)| paused).unwrap();
    assert_eq!(paused, PauseReasons::NONE.with(PauseReason::State));
    world.call(bob, json!({"type": "updateState", "deafened": true}));
    let paused = world.shards[0].books().consumers.values().next().map(|&(.., paused)| paused).unwrap();
    assert_eq!(paused, PauseReasons::NONE.with(PauseReason::Owner).with(PauseReason::State));
    world.call(alice, json!({"type": "updateState", "muted": false}));
    assert!(world.shards[0].books().producers.values().all(|(_, paused)| paused.is_empty()));
}

#[test]
fn streams_made_while_muted_or_deafened_start_held() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    world.call(alice, json!({"type": "updateState", "muted": true}));
    world.call(bob, json!({"type": "updateState", "deafened": true}));
    let producer = world.produce(alice);
    world.consume(bob, &producer);
    let books = world.shards[0].books();
    assert!(books.producers.values().all(|(_, paused)| paused.contains(PauseReason::State)));
    assert!(books.consumers.values().all(|(.., paused)| paused.contains(PauseReason::State)));
}

#[test]
fn the_sound_of_a_screen_is_not_muted_with_the_microphone() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    world.call(alice, json!({"type": "updateState", "muted": true}));
    let request = produce(&world.clients[alice].transports["send"], 5, Some("screenAudio"));
    assert_eq!(world.call(alice, request)["source"], "screenAudio");
    assert!(world.shards[0].books().producers.values().all(|(_, paused)| paused.is_empty()));
}

#[test]
fn a_second_session_takes_the_first_ones_place() {
    let mut world = World::new(1);
    let (first, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    world.produce(first);
    world.heard_types(bob);
    let second = world.connect("alice");
    assert_eq!(world.join(second, "lobby")["type"], "joined");
    assert_eq!(world.clients[first].closed, Some(CloseReason::TakenOver));
    assert_eq!(world.heard_types(bob), ["producerClosed", "userLeft", "userJoined"]);
    world.disconnect(first);
    world.settle();
    assert_eq!(world.rooms.census().participants, 2);
    assert_eq!(world.shards[0].books().producers.len(), 0);
}

#[test]
fn a_session_taken_over_alone_in_its_room_keeps_the_room_or_frees_it() {
    let mut world = World::new(1);
    world.enter("alice", "lobby");
    let second = world.connect("alice");
    assert_eq!(world.join(second, "lobby")["type"], "joined");
    assert_eq!(world.shards[0].books().routers.len(), 1);
    let third = world.connect("alice");
    assert_eq!(world.join(third, "elsewhere")["type"], "joined");
    assert_eq!(world.shards[0].books().routers.len(), 1);
    assert_eq!(world.shards[0].books().faults, [] as [String; 0]);
}

#[test]
fn a_failed_takeover_leaves_the_first_session_alone() {
    let mut world = World::new(1);
    let first = world.enter("alice", "lobby");
    let second = world.connect("alice");
    world.shards[0].books().room = 0;
    assert_eq!(world.join(second, "elsewhere")["code"], "shard_unavailable");
    assert_eq!(world.clients[first].closed, None);
    assert_eq!(world.rooms.census().participants, 1);
}

#[test]
fn rights_are_asked_for_at_join_and_produce() {
    let mut world = World::new(1);
    let stranger = world.connect_with("stranger", Permissions::SPEAK);
    assert_eq!(world.join(stranger, "lobby")["code"], "forbidden");
    let listener = world.connect_with("listener", Permissions::CONNECT);
    assert_eq!(world.join(listener, "lobby")["type"], "joined");
    world.call(listener, json!({"type": "createTransport", "direction": "send"}));
    let transport = world.clients[listener].transports["send"].clone();
    assert_eq!(world.call(listener, produce(&transport, 1, None))["code"], "forbidden");
    assert_eq!(world.call(listener, produce(&transport, 1, Some("screenAudio")))["code"], "forbidden");
}

#[test]
fn limits_of_a_connection_are_kept() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    assert_eq!(world.call(alice, json!({"type": "createTransport", "direction": "send"}))["code"], "limit_reached");
    world.produce(alice);
    let transport = world.clients[alice].transports["send"].clone();
    assert_eq!(world.call(alice, produce(&transport, 2, None))["code"], "limit_reached");
    assert_eq!(world.join(alice, "lobby")["code"], "already_joined");
    assert_eq!(world.call(alice, json!({"type": "leave", "channelId": "other"}))["code"], "not_joined");
    let recv = world.clients[alice].transports["recv"].clone();
    assert_eq!(world.call(alice, produce(&recv, 3, Some("screenAudio")))["code"], "bad_request");
}

#[test]
fn a_transport_connects_once() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let transport = world.clients[alice].transports["send"].clone();
    assert_eq!(world.call(alice, connect_transport(&transport))["type"], "transportConnected");
    assert_eq!(world.call(alice, connect_transport(&transport))["code"], "bad_request");
    world.shards[0].complete_transport(0);
    world.settle();
    assert_eq!(world.rooms.census().participants_connected, 1);
}

#[test]
fn what_belongs_to_another_does_not_exist() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let producer = world.produce(alice);
    let consumer = world.consume(bob, &producer)["consumerId"].clone();
    let transport = world.clients[alice].transports["send"].clone();
    let foreign = [
        (bob, json!({"type": "closeProducer", "producerId": producer})),
        (bob, json!({"type": "pauseProducer", "producerId": producer})),
        (alice, json!({"type": "resumeConsumer", "consumerId": consumer})),
        (alice, json!({"type": "closeConsumer", "consumerId": consumer})),
        (bob, json!({"type": "closeTransport", "transportId": transport})),
        (bob, connect_transport(&transport)),
        (bob, produce(&transport, 9, None)),
    ];
    for (client, request) in foreign {
        assert_eq!(world.call(client, request)["code"], "not_found");
    }
    let outside = world.enter("carol", "elsewhere");
    assert_eq!(world.consume(outside, &producer)["code"], "not_found");
}

#[test]
fn outside_a_room_requests_are_not_joined() {
    let mut world = World::new(1);
    let alice = world.connect("alice");
    for request in [
        json!({"type": "leave", "channelId": "lobby"}),
        json!({"type": "createTransport", "direction": "send"}),
        json!({"type": "consume", "producerId": "x"}),
        json!({"type": "updateState", "muted": true}),
    ] {
        assert_eq!(world.call(alice, request)["code"], "not_joined");
    }
    assert_eq!(world.call(alice, json!({"type": "ping"}))["type"], "pong");
    assert_eq!(
        world.call(alice, json!({"type": "join", "channelId": "a:b", "rtpCapabilities": {}}))["code"],
        "bad_request"
    );
}

#[test]
fn a_receiver_without_the_codec_cannot_consume() {
    let mut world = World::new(1);
    let alice = world.enter("alice", "lobby");
    let producer = world.produce(alice);
    let bob = world.connect("bob");
    let mut request = join("lobby");
    request["rtpCapabilities"] = json!({"codecs": [], "headerExtensions": []});
    world.call(bob, request);
    world.call(bob, json!({"type": "createTransport", "direction": "recv"}));
    assert_eq!(world.consume(bob, &producer)["code"], "cannot_consume");
}

#[test]
fn a_transport_that_fails_takes_its_streams_along() {
    let mut world = World::new(1);
    let (alice, bob) = (world.enter("alice", "lobby"), world.enter("bob", "lobby"));
    let producer = world.produce(alice);
    world.consume(bob, &producer);
    world.heard_types(alice);
    world.heard_types(bob);
    world.shards[0].fail_transport(0);
    world.settle();
    assert_eq!(world.heard_types(alice), ["transportState", "transportClosed"]);
    assert_eq!(world.heard_types(bob), ["consumerClosed", "producerClosed"]);
    let again = world.call(alice, json!({"type": "createTransport", "direction": "send"}));
    assert_eq!(again["type"], "transportCreated");
}

#[test]
fn a_lost_shard_closes_its_connections_and_no_others() {
    let mut world = World::new(2);
    let clients: Vec<usize> = (0..8).map(|place| world.enter(&format!("u{place}"), &format!("room-{place}"))).collect();
    let shard_of = |world: &World, client: usize| {
        let channel = world.clients[client].channel.clone().unwrap();
        world.rooms.rooms.iter().find(|(name, _)| name.as_str() == channel).map(|(_, room)| room.shard).unwrap()
    };
    let before: Vec<ShardIndex> = clients.iter().map(|&client| shard_of(&world, client)).collect();
    assert!(before.contains(&ShardIndex(0)) && before.contains(&ShardIndex(1)));
    world.shards[0].lose();
    world.settle();
    for (&client, &shard) in clients.iter().zip(&before) {
        let expected = (shard == ShardIndex(0)).then_some(CloseReason::ShardLost);
        assert_eq!(world.clients[client].closed, expected);
    }
    assert_eq!(world.rooms.census().shards_alive, [ShardIndex(1)]);
    let newcomer = world.connect("newcomer");
    for place in 0..8 {
        assert_eq!(world.join(newcomer, &format!("new-{place}"))["type"], "joined");
        world.call(newcomer, json!({"type": "leave", "channelId": format!("new-{place}")}));
    }
}

#[test]
fn joins_that_come_while_the_room_is_made_are_answered_in_order() {
    let mut world = World::new(1);
    let (alice, bob) = (world.connect("alice"), world.connect("bob"));
    world.ask(alice, join("lobby"));
    world.ask(bob, join("lobby"));
    assert_eq!(world.shards[0].books().queue.len(), 1);
    world.settle();
    assert_eq!(world.heard_types(alice)[2..], ["joined", "userJoined"]);
    assert_eq!(world.heard_types(bob)[2..], ["joined"]);
}

#[test]
fn a_client_that_goes_while_its_request_is_under_way_leaves_nothing() {
    let mut world = World::new(1);
    for pending in ["join", "createTransport", "produce"] {
        let client = world.connect("alice");
        if pending != "join" {
            world.join(client, "lobby");
        }
        match pending {
            "join" => world.ask(client, join("lobby")),
            "createTransport" => world.ask(client, json!({"type": "createTransport", "direction": "send"})),
            _ => {
                world.call(client, json!({"type": "createTransport", "direction": "send"}));
                let transport = world.clients[client].transports["send"].clone();
                world.ask(client, produce(&transport, 1, None));
            }
        }
        world.disconnect(client);
        world.settle();
        world.assert_empty();
    }
}
