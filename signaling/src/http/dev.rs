//! Tokens for whoever asks: with `--dev` several people can open one link under different names.
//!
//! It is served on loopback alone, and to pages of this origin alone: the JSON content type keeps forms and images of other
//! sites out, and the check of `Host` keeps out sites that point their own name at this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Service;
use crate::permissions::Permissions;
use crate::token;

/// How long a development token lives: a day of work.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    user_id: String,
}

/// Answers `{"userId"}` with `{"token"}`.
pub(super) async fn mint_token(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(secret) = &service.dev_secret else { return StatusCode::NOT_FOUND.into_response() };
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_loopback(header(HOST)) {
        return (StatusCode::FORBIDDEN, "Only for loopback.\n").into_response();
    }
    if !header(CONTENT_TYPE).starts_with("application/json") {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send application/json.\n").into_response();
    }
    let Ok(request) = serde_json::from_slice::<TokenRequest>(&body) else {
        return (StatusCode::BAD_REQUEST, "Send {\"userId\": \"…\"}.\n").into_response();
    };
    match token::sign(&request.user_id, Permissions::ADMINISTRATOR, None, LIFETIME, secret) {
        Ok(token) => {
            let body = serde_json::json!({ "token": token }).to_string();
            ([(CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// Whether a `Host` header names this machine's loopback, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || literal.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_loopback() {
        for host in ["localhost", "LOCALHOST:3003", "127.0.0.1:1", "127.8.9.1", "[::1]:3003", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org:80", "127.0.0.1.example.org", "10.0.0.1:3003", ":80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
