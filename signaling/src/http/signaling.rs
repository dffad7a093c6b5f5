//! The upgrade: who asks, is there room, then a WebSocket with bounds on everything.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::Service;
use crate::auth::{AuthError, find_token};
use crate::metrics::ConnectionRefusal;
use crate::session;
use crate::token::unix_s;
use crate::wire::{FRAME_LEN_MAX, PROTOCOL};

/// Bytes read from a socket at once. Each connection keeps such a buffer, which grows to twice that or to its largest request:
/// that of a join has some six thousand.
const READ_BUFFER_LEN: usize = 2048;

/// Bytes gathered before they are written.
const WRITE_BUFFER_LEN: usize = 4096;

/// Bytes that a write may wait with: the largest message of a room, `joined` with a thousand others, several times over.
const WRITE_BUFFER_LEN_MAX: usize = 2 * 1024 * 1024;

/// The longest that a session is timed for; a token that lives longer is checked again by its next connection.
const SESSION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Answers `GET /signaling`.
pub(super) async fn upgrade(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let now_s = unix_s();
    let verified = find_token(&headers, &uri).and_then(|token| service.verifier.verify(token, now_s));
    let identity = match verified {
        Ok(identity) => identity,
        Err(error) => {
            service.metrics.count_auth_refusal(error);
            return refuse(error);
        }
    };
    if service.is_ending() {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], "The service ends.\n").into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(permit) = Arc::clone(&service.sessions).try_acquire_owned() else {
        service.metrics.count_connection_refusal(ConnectionRefusal::TooManySessions);
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], "Too many connections.\n").into_response();
    };
    let (rooms, metrics) = (service.rooms.clone(), service.metrics.clone());
    let expires_in = Duration::from_secs(identity.expires_at_s.saturating_sub(now_s)).min(SESSION_MAX);
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(FRAME_LEN_MAX)
        .max_frame_size(FRAME_LEN_MAX)
        .read_buffer_size(READ_BUFFER_LEN)
        .write_buffer_size(WRITE_BUFFER_LEN)
        .max_write_buffer_size(WRITE_BUFFER_LEN_MAX)
        .on_upgrade(move |socket| session::serve(socket, &identity, expires_in, rooms, metrics, permit))
}

fn refuse(error: AuthError) -> Response {
    let text = format!("{error}\n");
    match error {
        AuthError::UnknownSubprotocol => (StatusCode::BAD_REQUEST, text).into_response(),
        _ => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], text).into_response(),
    }
}
