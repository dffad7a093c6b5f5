//! Rooms over real shards, without media.

use serde_json::{Value, json};

use crate::harness::Service;

#[tokio::test]
async fn a_transport_is_created_with_what_a_browser_needs() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    client.join("lobby").await;
    let created = client.call(json!({"type": "createTransport", "direction": "recv"})).await;
    assert_eq!((&created["type"], &created["direction"]), (&json!("transportCreated"), &json!("recv")));
    assert_eq!(created["iceParameters"]["iceLite"], true);
    assert!(created["iceParameters"]["usernameFragment"].as_str().unwrap().len() >= 4);
    assert!(created["iceParameters"]["password"].as_str().unwrap().len() >= 22);
    let candidates = created["iceCandidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 1);
    assert_eq!((&candidates[0]["ip"], &candidates[0]["protocol"]), (&json!("127.0.0.1"), &json!("udp")));
    assert_eq!((&candidates[0]["type"], candidates[0]["port"].is_u64()), (&json!("host"), true));
    assert_eq!(created["dtlsParameters"]["role"], "auto");
    let fingerprints = created["dtlsParameters"]["fingerprints"].as_array().unwrap();
    assert!(fingerprints.iter().any(|fingerprint| fingerprint["algorithm"] == "sha-256"));
    assert_eq!(created["iceServers"], json!([]));
    let id = created["transportId"].clone();
    let bad = json!({"type": "connectTransport", "transportId": id, "dtlsParameters": {"fingerprints": []}});
    assert_eq!(client.call(bad).await["code"], "bad_request");
    let value = vec!["AB"; 32].join(":");
    let dtls = json!({"role": "client", "fingerprints": [{"algorithm": "sha-256", "value": value}]});
    let connect = json!({"type": "connectTransport", "transportId": id, "dtlsParameters": dtls});
    assert_eq!(client.call(connect.clone()).await["type"], "transportConnected");
    assert_eq!(client.call(connect).await["code"], "bad_request");
    assert_eq!(client.call(json!({"type": "closeTransport", "transportId": id})).await["type"], "transportClosed");
    assert_eq!(client.call(json!({"type": "closeTransport", "transportId": id})).await["code"], "not_found");
}

#[tokio::test]
async fn rooms_spread_over_two_shards_and_their_ends_leave_nothing() {
    let service = Service::start(&["--shards", "2", "--cpuset", "0,1"]);
    let mut clients = Vec::new();
    for place in 0..8 {
        let mut client = service.connect(&format!("user-{place}")).await;
        assert_eq!(client.join(&format!("room-{place}")).await["type"], "joined");
        for direction in ["send", "recv"] {
            let created = client.call(json!({"type": "createTransport", "direction": direction})).await;
            assert_eq!(created["type"], "transportCreated");
        }
        clients.push(client);
    }
    let first = service.metric("voice_shard_routers", "shard=\"0\"").await;
    let second = service.metric("voice_shard_routers", "shard=\"1\"").await;
    assert_eq!(first + second, 8.0);
    assert!(first >= 3.0 && second >= 3.0, "{first} and {second}");
    for (place, client) in clients.iter_mut().enumerate() {
        let left = client.call(json!({"type": "leave", "channelId": format!("room-{place}")})).await;
        assert_eq!(left["type"], "left");
    }
    service.metric_becomes("voice_shard_routers", "", 0.0).await;
    service.metric_becomes("voice_shard_transports", "", 0.0).await;
}

#[tokio::test]
async fn fifty_joins_and_leaves_bring_every_count_back() {
    let service = Service::start(&[]);
    for round in 0..50 {
        let mut client = service.connect("alice").await;
        client.join("lobby").await;
        client.call(json!({"type": "createTransport", "direction": "send"})).await;
        if round % 2 == 0 {
            let left: Value = client.call(json!({"type": "leave", "channelId": "lobby"})).await;
            assert_eq!(left["type"], "left");
        }
    }
    for name in [
        "voice_shard_routers",
        "voice_shard_transports",
        "voice_rooms",
        "voice_participants",
        "voice_transports",
        "voice_signaling_connections",
    ] {
        service.metric_becomes(name, "", 0.0).await;
    }
}
