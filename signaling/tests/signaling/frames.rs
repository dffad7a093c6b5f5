//! What clients may write, and what comes back.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::harness::{Client, Service, join};
use futures_util::SinkExt;

/// The limit of one frame.
const FRAME_LEN_MAX: usize = 256 * 1024;

async fn answer_to(client: &mut Client, text: &str) -> Value {
    client.send(text).await;
    client.hear_until("error").await
}

#[tokio::test]
async fn a_connection_is_greeted_with_capabilities() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    let connected = client.hear().await;
    assert_eq!(connected["type"], "connected");
    assert_eq!((&connected["userId"], &connected["protocol"]), (&json!("alice"), &json!("voice.v1")));
    assert_eq!((&connected["heartbeatMs"], &connected["resumeWindowMs"]), (&json!(15_000), &json!(0)));
    assert_eq!(connected["resumeToken"], Value::Null);
    let capabilities = client.hear().await;
    assert_eq!(capabilities["type"], "routerCapabilities");
    assert_eq!(capabilities["rtpCapabilities"]["codecs"][0]["mimeType"], "audio/opus");
}

#[tokio::test]
async fn malformed_deep_and_ambiguous_json_is_answered_and_the_connection_lives_on() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    let deep = format!("{{\"type\":\"ping\",\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("{{\"type\":\"ping\",\"a\":[{}0]}}", "0,".repeat(100_000));
    for text in ["", "{", "[1]", "null", "{\"type\":\"ping\",\"type\":\"leave\"}", "{\"a\":{\"b\":1,\"b\":2}}", &deep] {
        assert_eq!(answer_to(&mut client, text).await["code"], "bad_json");
        assert_eq!(client.call(json!({"type": "ping"})).await["type"], "pong");
    }
    client.send(wide).await;
    client.hear_until("pong").await;
    for (text, code) in [
        ("{}", "bad_request"),
        ("{\"type\":1}", "bad_request"),
        ("{\"type\":\"join\"}", "bad_request"),
        ("{\"type\":\"join\",\"id\":[]}", "bad_request"),
        ("{\"type\":\"resume\",\"resumeToken\":\"x\"}", "unknown_type"),
        ("{\"type\":\"moderate\"}", "unknown_type"),
        ("{\"type\":\"\\u0000\"}", "unknown_type"),
    ] {
        assert_eq!(answer_to(&mut client, text).await["code"], code, "{text}");
    }
}

#[tokio::test]
async fn requests_are_answered_in_the_order_of_their_coming() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    let requests = [
        join("lobby"),
        json!({"type": "createTransport", "direction": "send"}),
        json!({"type": "nothing"}),
        json!({"type": "createTransport", "direction": "recv"}),
        json!({"type": "ping"}),
        json!({"type": "leave", "channelId": "lobby"}),
        json!({"type": "leave", "channelId": "lobby"}),
    ];
    for (place, request) in requests.iter().enumerate() {
        let mut request = request.clone();
        request["id"] = json!(format!("request {place}"));
        client.send(request.to_string()).await;
    }
    let expected = ["joined", "transportCreated", "error", "transportCreated", "pong", "left", "error"];
    for (place, kind) in expected.iter().enumerate() {
        let answer = loop {
            let message = client.hear().await;
            if message.get("id").is_some() {
                break message;
            }
        };
        assert_eq!((&answer["id"], &answer["type"]), (&json!(format!("request {place}")), &json!(kind)));
    }
}

#[tokio::test]
async fn a_frame_at_the_limit_is_read_and_one_beyond_closes() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    let padded = |len: usize| {
        let frame = json!({"type": "ping", "pad": ""}).to_string();
        frame.replace("\"pad\":\"\"", &format!("\"pad\":\"{}\"", "x".repeat(len - frame.len())))
    };
    client.send(padded(FRAME_LEN_MAX)).await;
    client.hear_until("pong").await;
    client.send(padded(FRAME_LEN_MAX + 1)).await;
    assert_eq!(client.closing().await.0, 1009);
    let mut huge = service.connect("bob").await;
    // The service does not take all of it; whether writing fails does not matter, what it says does.
    let _ = huge.socket.send(Message::text("x".repeat(8 << 20))).await;
    service.metric_becomes("voice_connections_closed_total", "frame_too_large", 2.0).await;
}

#[tokio::test]
async fn frames_that_are_no_object_again_and_again_close() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    client.socket.send(Message::Binary(Bytes::from_static(b"{}"))).await.unwrap();
    assert_eq!(client.hear_until("error").await["code"], "bad_json");
    for _ in 0..4 {
        client.send("nonsense").await;
    }
    let (code, reason) = client.closing().await;
    assert_eq!(code, 4002);
    assert!(reason["reason"].is_string());
}

#[tokio::test]
async fn too_many_requests_are_refused_with_a_time_to_wait() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    for id in 0..400 {
        client.send(json!({"type": "ping", "id": id}).to_string()).await;
    }
    let mut refused = 0;
    for id in 0..400 {
        let answer = loop {
            let message = client.hear().await;
            if message.get("id").is_some() {
                break message;
            }
        };
        assert_eq!(answer["id"], id);
        if answer["type"] == "error" {
            assert_eq!((&answer["code"], &answer["request"]), (&json!("rate_limited"), &json!("ping")));
            assert!(answer["retryAfterMs"].as_u64().unwrap() > 0);
            refused += 1;
        } else {
            assert!(id >= 200 || answer["type"] == "pong");
        }
    }
    assert!(refused > 0);
    assert_eq!(service.metric("voice_request_refusals_total", "rate_limited").await, f64::from(refused));
}
