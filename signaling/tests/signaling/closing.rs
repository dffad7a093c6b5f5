//! How connections end, and what is left of them.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{Client, MEMBER, PATIENCE, Service, join, now_s, sign, token};

#[tokio::test]
async fn an_expired_token_ends_its_connection() {
    let service = Service::start(&[]);
    let claims = json!({"userId": "alice", "exp": now_s() + 2, "permissions": MEMBER});
    let mut client = service.connect_with(&sign(&claims)).await.unwrap();
    client.join("lobby").await;
    assert_eq!(client.closing().await.0, 4004);
    service.metric_becomes("voice_participants", "", 0.0).await;
}

#[tokio::test]
async fn a_second_session_closes_the_first() {
    let service = Service::start(&[]);
    let (mut first, mut second) = (service.connect("alice").await, service.connect("alice").await);
    first.join("lobby").await;
    assert_eq!(second.join("elsewhere").await["type"], "joined");
    let (code, reason) = first.closing().await;
    assert_eq!(code, 4014);
    assert!(reason["reason"].as_str().unwrap().contains("taken over"));
    service.metric_becomes("voice_participants", "", 1.0).await;
}

#[tokio::test]
async fn a_client_that_is_cut_off_is_missed_by_the_others_and_leaves_nothing() {
    let service = Service::start(&[]);
    let (mut alice, mut bob) = (service.connect("alice").await, service.connect("bob").await);
    alice.join("lobby").await;
    bob.join("lobby").await;
    for direction in ["send", "recv"] {
        bob.call(json!({"type": "createTransport", "direction": direction})).await;
    }
    assert_eq!(alice.hear_until("userJoined").await["userId"], "bob");
    assert_eq!(service.metric("voice_shard_transports", "").await, 2.0);
    drop(bob);
    assert_eq!(alice.hear_until("userLeft").await["userId"], "bob");
    alice.socket.close(None).await.unwrap();
    service.metric_becomes("voice_shard_transports", "", 0.0).await;
    service.metric_becomes("voice_shard_routers", "", 0.0).await;
    service.metric_becomes("voice_signaling_connections", "", 0.0).await;
}

#[tokio::test]
async fn asking_too_much_for_ten_seconds_closes() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    let flood = async {
        loop {
            // Twenty times the rate, in bundles; the answers are read only at the end.
            for _ in 0..10 {
                if client.socket.feed(Message::text("{\"type\":\"ping\"}")).await.is_err() {
                    return;
                }
            }
            if client.socket.flush().await.is_err() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(Duration::from_secs(11), flood).await;
    assert_eq!(client.closing().await.0, 4021);
}

#[tokio::test]
async fn a_silent_connection_misses_its_heartbeat() {
    let service = Service::start(&[]);
    let mut client = service.connect("alice").await;
    client.join("lobby").await;
    // Not reading means not answering pings.
    service.metric_becomes("voice_connections_closed_total", "heartbeat_missed", 1.0).await;
    assert_eq!(client.closing().await.0, 4009);
    service.metric_becomes("voice_participants", "", 0.0).await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_closed_as_too_slow() {
    let service = Service::start(&[]);
    let mut others = Vec::new();
    for place in 0..300 {
        let mut other = service.connect(&format!("{place:0>64}")).await;
        other.send(join("lobby").to_string()).await;
        others.push(other);
    }
    service.metric_becomes("voice_participants", "", 300.0).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(service.address).await.unwrap();
    let request = format!("ws://{}/signaling?token={}", service.address, token("slow")).into_client_request().unwrap();
    let (mut slow, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    for _ in 0..90 {
        slow.feed(Message::text(join("lobby").to_string())).await.unwrap();
        slow.feed(Message::text("{\"type\":\"leave\",\"channelId\":\"lobby\"}")).await.unwrap();
    }
    slow.flush().await.unwrap();
    service.metric_becomes("voice_connections_closed_total", "slow_reader", 1.0).await;
    service.metric_becomes("voice_signaling_connections", "", 300.0).await;
    drop(slow);
}

#[tokio::test]
async fn a_signal_ends_the_service_and_says_so_to_its_clients() {
    for signal in ["-INT", "-TERM"] {
        let mut service = Service::start(&[]);
        let mut client: Client = service.connect("alice").await;
        client.join("lobby").await;
        let process = service.child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &process]).status().unwrap().success());
        let (code, reason) = client.closing().await;
        assert_eq!(code, 1001);
        assert!(reason["retryAfterMs"].as_u64().unwrap() >= 1000);
        let ended = tokio::task::spawn_blocking(move || service.child.wait().unwrap());
        assert!(timeout(PATIENCE, ended).await.unwrap().unwrap().success());
    }
}
