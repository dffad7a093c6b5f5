//! Who gets in.

use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, http};

use crate::harness::{Client, MEMBER, SECRET, Service, join, now_s, sign, token};

async fn status(service: &Service, token: &str) -> u16 {
    match service.connect_with(token).await {
        Ok(_) => 101,
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn bad_tokens_are_refused_before_the_upgrade() {
    let service = Service::start(&[]);
    let exp = now_s() + 600;
    let good = token("alice");
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIn0";
    let claims = good.split('.').nth(1).unwrap();
    let other_key = jsonwebtoken::EncodingKey::from_secret(b"another secret");
    let foreign = json!({"userId": "alice", "exp": exp});
    let foreign = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &foreign, &other_key).unwrap();
    let hs512 = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512);
    let own_key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let hs512 = jsonwebtoken::encode(&hs512, &json!({"userId": "alice", "exp": exp}), &own_key).unwrap();
    let bad = [
        sign(&json!({"userId": "alice", "exp": now_s() - 1})),
        sign(&json!({"userId": "alice"})),
        sign(&json!({"userId": "alice", "exp": "never"})),
        sign(&json!({"userId": "alice", "exp": exp.to_string()})),
        sign(&json!({"userId": ["alice"], "exp": exp})),
        sign(&json!({"userId": "a:b", "exp": exp})),
        sign(&json!({"exp": exp})),
        sign(&json!({"userId": "alice", "exp": exp, "permissions": {}})),
        foreign,
        hs512,
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{unsigned}."),
        unsigned.to_owned(),
        "nonsense".to_owned(),
    ];
    for bad in bad {
        assert_eq!(status(&service, &bad).await, 401, "{bad}");
    }
    assert_eq!(service.get("/signaling").await.0, 401);
    assert_eq!(status(&service, &good).await, 101);
    assert_eq!(service.metric("voice_auth_refusals_total", "").await, 16.0);
}

#[tokio::test]
async fn the_token_is_taken_from_three_places() {
    let service = Service::start(&[]);
    let url = format!("ws://{}/signaling", service.address);
    let mut in_query = Client::connect(format!("{url}?token={}", token("query"))).await.unwrap();
    assert_eq!(in_query.hear().await["userId"], "query");
    let mut in_header = service.connect("header").await;
    assert_eq!(in_header.hear().await["userId"], "header");
    let mut request = url.into_client_request().unwrap();
    let offer = format!("voice.v1, bearer.{}", token("subprotocol"));
    request.headers_mut().insert("sec-websocket-protocol", offer.parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "voice.v1");
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn a_client_that_offers_only_other_subprotocols_is_a_bad_request() {
    let service = Service::start(&[]);
    let url = format!("ws://{}/signaling?token={}", service.address, token("alice"));
    for offer in ["voice.v2", "bearer.x"] {
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", offer.parse().unwrap());
        match tokio_tungstenite::connect_async(request).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), http::StatusCode::BAD_REQUEST),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn rights_come_from_the_token() {
    let service = Service::start(&[]);
    let exp = now_s() + 600;
    let cases = [
        (json!({"userId": "a", "exp": exp}), "lobby", Some("permissions")),
        (json!({"userId": "b", "exp": exp, "permissions": "0"}), "lobby", Some("CONNECT")),
        (json!({"userId": "c", "exp": exp, "permissions": MEMBER, "channels": ["x"]}), "lobby", Some("channels")),
        (json!({"userId": "d", "exp": exp, "permissions": MEMBER, "channels": ["x"]}), "x", None),
        (json!({"sub": 5, "exp": exp, "permissions": (1_u64 << 60) + (1 << 20)}), "lobby", None),
        (json!({"sub": 6, "exp": exp, "permissions": 8}), "lobby", None),
    ];
    for (claims, channel, missing) in cases {
        let mut client = service.connect_with(&sign(&claims)).await.unwrap();
        let answer = client.join(channel).await;
        match missing {
            Some(missing) => {
                assert_eq!(answer["code"], "forbidden", "{claims}");
                assert!(answer["message"].as_str().unwrap().contains(missing), "{answer}");
            }
            None => assert_eq!(answer["type"], "joined", "{claims}"),
        }
    }
}

#[tokio::test]
async fn open_permissions_ask_for_a_token_all_the_same() {
    let service = Service::start(&["--permissions", "open"]);
    let mut client = service.connect_with(&sign(&json!({"userId": "a", "exp": now_s() + 600}))).await.unwrap();
    assert_eq!(client.call(join("lobby")).await["type"], "joined");
    assert_eq!(service.get("/signaling").await.0, 401);
}
