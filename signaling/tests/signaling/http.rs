//! HTTP beside the WebSocket.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{PATIENCE, SECRET, Service, command, token};

#[tokio::test]
async fn health_readiness_metrics_and_the_page_are_there() {
    let service = Service::start(&[]);
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        assert_eq!(service.get(path).await.0, 200, "{path}");
    }
    for path in ["/nothing", "/dev/token", "/signaling/x", "/..%2f..%2fCargo.toml"] {
        assert_eq!(service.get(path).await.0, 404, "{path}");
    }
    let (_, page) = service.get("/").await;
    for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "referrer-policy"]
    {
        assert!(page.contains(header), "{header} is missing");
    }
    let (_, metrics) = service.get("/metrics").await;
    for name in [
        "voice_active_connections 0",
        "voice_producer_count{kind=\"audio\"} 0",
        "voice_rtp_packets_total",
        "voice_latency_ms_bucket",
    ] {
        assert!(metrics.contains(name), "{name} is missing");
    }
    assert_eq!(service.http("POST", "/signaling", "", "").await.0, 405);
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_refused_even_with_a_token() {
    let service = Service::start(&[]);
    let bearer = format!("Authorization: Bearer {}\r\n", token("alice"));
    let (status, _) = service.http("GET", "/signaling", &bearer, "").await;
    assert!((400..500).contains(&status) && status != 401, "{status}");
}

#[tokio::test]
async fn metrics_may_have_a_port_of_their_own() {
    let service = Service::start(&["--metrics-listen", "127.0.0.1:0"]);
    assert_eq!(service.get("/metrics").await.0, 404);
    assert_eq!(service.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_to_wait() {
    let service = Service::start(&["--max-connections", "2"]);
    let first = service.connect("a").await;
    let _second = service.connect("b").await;
    assert!(service.connect_with(&token("c")).await.is_err_and(|error| error.to_string().contains("503")));
    drop(first);
    service.metric_becomes("voice_signaling_connections", "", 1.0).await;
    let again = async {
        while service.connect_with(&token("c")).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn a_slow_or_endless_head_is_cut_off() {
    let service = Service::start(&[]);
    let mut slow = TcpStream::connect(service.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = service.raw_http(endless.as_bytes()).await;
    assert!(answer.is_empty() || answer.contains("431"), "{answer}");
    let mut rest = Vec::new();
    // The service ends it by itself; a reset is an end too.
    let _ = timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("the slow connection is never cut off");
}

#[tokio::test]
async fn development_hands_out_tokens_to_this_machine_alone() {
    let service = Service::spawn(command(&["--dev", "--port", "0", "--shards", "1"]).env_remove("JWT_SECRET"));
    assert!(service.greeting.contains("#room="), "{}", service.greeting);
    assert!(service.address.ip().is_loopback());
    let json = "Content-Type: application/json\r\n";
    let (status, answer) = service.http("POST", "/dev/token", json, "{\"userId\":\"alice\"}").await;
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let mut client = service.connect_with(body["token"].as_str().unwrap()).await.unwrap();
    assert_eq!(client.join("lobby").await["type"], "joined");
    assert_eq!(service.http("POST", "/dev/token", json, "{\"userId\":\"a b\"}").await.0, 400);
    assert_eq!(service.http("POST", "/dev/token", json, "nonsense").await.0, 400);
    assert_eq!(service.http("POST", "/dev/token", "", "{\"userId\":\"alice\"}").await.0, 415);
    assert_eq!(service.http("POST", "/dev/token", json, &"x".repeat(100_000)).await.0, 413);
    let foreign = "POST /dev/token HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nContent-Type: application/json\r\n\
        Content-Length: 18\r\n\r\n{\"userId\":\"alice\"}";
    assert!(service.raw_http(foreign.as_bytes()).await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn a_token_from_the_command_line_lets_in() {
    let service = Service::start(&[]);
    let printed = crate::harness::run(&["token", "--user", "alice"], &[("JWT_SECRET", SECRET)]);
    let token = String::from_utf8(printed.stdout).unwrap();
    let mut client = service.connect_with(token.trim()).await.unwrap();
    assert_eq!(client.join("lobby").await["type"], "joined");
}
