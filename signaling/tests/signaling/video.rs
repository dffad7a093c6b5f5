//! Cameras and screens over real shards, without media.

use serde_json::{Value, json};

use crate::harness::{Client, Service, now_s, sign};

/// A client that takes all that the service has, with both transports: itself and its `send` transport.
async fn enter(service: &Service, user: &str, channel: &str) -> (Client, Value) {
    let mut client = service.connect(user).await;
    let capabilities = client.hear_until("routerCapabilities").await["rtpCapabilities"].clone();
    let join = json!({"type": "join", "channelId": channel, "rtpCapabilities": capabilities});
    assert_eq!(client.call(join).await["type"], "joined");
    let created = client.call(json!({"type": "createTransport", "direction": "recv"})).await;
    assert_eq!(created["type"], "transportCreated");
    let created = client.call(json!({"type": "createTransport", "direction": "send"})).await;
    (client, created["transportId"].clone())
}

/// VP8 with retransmissions in these encodings.
fn video(transport: &Value, mid: &str, encodings: &Value) -> Value {
    let codecs = [
        json!({"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": [{"type": "nack"}]}),
        json!({"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}}),
    ];
    let extensions = [
        json!({"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4}),
        json!({"uri": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "id": 10}),
        json!({"uri": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", "id": 11}),
    ];
    let parameters = json!({"mid": mid, "codecs": codecs, "encodings": encodings, "headerExtensions": extensions});
    json!({"type": "produce", "transportId": transport, "kind": "video", "rtpParameters": parameters})
}

fn simulcast(transport: &Value, mid: &str) -> Value {
    video(transport, mid, &json!([{"rid": "r0"}, {"rid": "r1"}, {"rid": "r2"}]))
}

#[tokio::test]
async fn a_camera_and_a_screen_live_on_a_shard_and_are_seen_until_they_close() {
    let service = Service::start(&["--max-incoming-bitrate", "5000000"]);
    let (mut alice, transport) = enter(&service, "alice", "lobby").await;
    let (mut bob, _) = enter(&service, "bob", "lobby").await;
    let camera = alice.call(simulcast(&transport, "0")).await;
    assert_eq!((&camera["type"], &camera["source"]), (&json!("produced"), &json!("camera")));
    let screen = alice.call(video(&transport, "1", &json!([{"ssrc": 11, "rtx": {"ssrc": 12}}]))).await;
    assert_eq!(screen["source"], "screen");
    assert_eq!(bob.hear_until("newProducer").await["producerId"], camera["producerId"]);
    assert_eq!(bob.hear_until("userStateUpdate").await["videoEnabled"], true);
    assert_eq!(bob.hear_until("newProducer").await["producerId"], screen["producerId"]);
    assert_eq!(bob.hear_until("userStateUpdate").await["screenSharing"], true);
    for (produced, consumer_type) in [(&camera, "simulcast"), (&screen, "simple")] {
        let consumed = bob.call(json!({"type": "consume", "producerId": produced["producerId"]})).await;
        assert_eq!(consumed["consumerType"], consumer_type, "{consumed}");
        assert!(consumed["rtpParameters"]["encodings"][0]["rtx"]["ssrc"].is_u64());
        let consumer = json!({"type": "resumeConsumer", "consumerId": consumed["consumerId"]});
        assert_eq!(bob.call(consumer).await["type"], "consumerResumed");
        let request = json!({"type": "requestKeyFrame", "consumerId": consumed["consumerId"]});
        assert_eq!(bob.call(request.clone()).await["type"], "keyFrameRequested");
        assert_eq!(alice.call(request).await["code"], "not_found");
    }
    service.metric_becomes("voice_producer_count", "kind=\"video\"", 1.0).await;
    service.metric_becomes("voice_producer_count", "kind=\"screen\"", 1.0).await;
    service.metric_becomes("voice_shard_consumers", "", 2.0).await;
    let off = alice.call(json!({"type": "updateState", "videoEnabled": false})).await;
    assert_eq!((&off["videoEnabled"], &off["screenSharing"]), (&json!(false), &json!(true)));
    assert_eq!(bob.hear_until("userStateUpdate").await["videoEnabled"], false);
    assert_eq!(
        alice.call(json!({"type": "closeTransport", "transportId": transport})).await["type"],
        "transportClosed"
    );
    service.metric_becomes("voice_shard_producers", "", 0.0).await;
    service.metric_becomes("voice_shard_consumers", "", 0.0).await;
}

#[tokio::test]
async fn streams_that_the_shard_cannot_tell_apart_are_refused() {
    let service = Service::start(&[]);
    let (mut alice, transport) = enter(&service, "alice", "lobby").await;
    assert_eq!(alice.call(simulcast(&transport, "0")).await["type"], "produced");
    assert_eq!(alice.call(simulcast(&transport, "0")).await["code"], "duplicate_ssrc");
    let screen = |media: u32, rtx: u32| video(&transport, "1", &json!([{"ssrc": media, "rtx": {"ssrc": rtx}}]));
    assert_eq!(alice.call(screen(11, 11)).await["code"], "duplicate_ssrc");
    assert_eq!(alice.call(screen(11, 12)).await["source"], "screen");
}

#[tokio::test]
async fn a_token_without_the_right_to_stream_shows_nothing() {
    let service = Service::start(&[]);
    let connect_and_speak = (1 << 20 | 1 << 21).to_string();
    let token = sign(&json!({"userId": "alice", "exp": now_s() + 3600, "permissions": connect_and_speak}));
    let mut alice = service.connect_with(&token).await.unwrap();
    alice.join("lobby").await;
    let created = alice.call(json!({"type": "createTransport", "direction": "send"})).await;
    assert_eq!(alice.call(simulcast(&created["transportId"], "0")).await["code"], "forbidden");
    service.metric_becomes("voice_shard_producers", "", 0.0).await;
}
