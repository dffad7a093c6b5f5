//! HTTP: the upgrade to a WebSocket, health, metrics, the web client, and tokens for development.
//!
//! Cheapest refusal first: too many sockets, an unknown path, no good token, too many sessions, no upgrade. Whoever is slow
//! to ask is cut off; only a session lives long.

mod accept;
mod assets;
mod dev;
mod signaling;
mod throttle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

pub use self::accept::{SOCKETS_MAX, accept_all};
use crate::auth::Verifier;
use crate::config::Secret;
use crate::metrics::{Exposition, Metrics};
use crate::session::SharedRooms;

/// Bytes of a request's body: a user's name in JSON.
const BODY_LEN_MAX: usize = 4096;

/// How long a scrape waits for a shard's figures. Shards answer within milliseconds or are in trouble.
const STATS_TIMEOUT: Duration = Duration::from_secs(1);

/// What all requests share.
pub struct Service {
    rooms: SharedRooms,
    verifier: Verifier,
    metrics: Metrics,
    /// Locked for a whole scrape, so that many scrapes at once ask the shards one after another.
    exposition: Mutex<Exposition>,
    sessions: Arc<Semaphore>,
    sessions_max: usize,
    /// Signs tokens for whoever asks; development only.
    dev_secret: Option<Secret>,
    is_ending: AtomicBool,
}

impl Service {
    /// Makes the service; `dev_secret` is for development only.
    pub fn new(
        rooms: SharedRooms,
        verifier: Verifier,
        metrics: Metrics,
        sessions_max: usize,
        dev_secret: Option<Secret>,
    ) -> Self {
        Self {
            rooms,
            verifier,
            exposition: Mutex::new(Exposition::new(&metrics)),
            metrics,
            sessions: Arc::new(Semaphore::new(sessions_max)),
            sessions_max,
            dev_secret,
            is_ending: AtomicBool::new(false),
        }
    }

    /// Ends all sessions with the word that the service goes away, and waits for them until `patience` is over.
    pub async fn end(&self, patience: Duration) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.rooms.lock().handle_shutdown();
        let all = u32::try_from(self.sessions_max).unwrap_or(u32::MAX);
        // Every session gives its permit back; whoever has not by then is cut off with the process.
        let _ = timeout(patience, self.sessions.acquire_many(all)).await;
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }
}

/// Everything that is served on the main port; `/metrics` too where it has no port of its own.
pub fn routes(service: Arc<Service>, has_metrics: bool) -> Router {
    let mut routes = Router::new()
        .route("/signaling", get(signaling::upgrade))
        .route("/healthz", get(async || "The process lives.\n"))
        .route("/readyz", get(tell_ready))
        .fallback(get(serve_client));
    if has_metrics {
        routes = routes.route("/metrics", get(scrape));
    }
    if service.dev_secret.is_some() {
        routes = routes.route("/dev/token", post(dev::mint_token));
    }
    routes.layer(DefaultBodyLimit::max(BODY_LEN_MAX)).with_state(service)
}

/// `/metrics` alone.
pub fn metrics_routes(service: Arc<Service>) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(service)
}

async fn serve_client(uri: Uri, headers: HeaderMap) -> Response {
    assets::serve(&uri, &headers)
}

async fn tell_ready(State(service): State<Arc<Service>>) -> (StatusCode, String) {
    let census = service.rooms.lock().census();
    let (alive, all) = (census.shards_alive.len(), census.shard_refusals.len());
    if service.is_ending() {
        (StatusCode::SERVICE_UNAVAILABLE, "The service ends.\n".to_owned())
    } else if alive == 0 {
        (StatusCode::SERVICE_UNAVAILABLE, "All media shards are lost: restart the service.\n".to_owned())
    } else if alive < all {
        (StatusCode::OK, format!("Takes calls, but {} of {all} media shards are lost: restart soon.\n", all - alive))
    } else {
        (StatusCode::OK, "Takes calls.\n".to_owned())
    }
}

async fn scrape(State(service): State<Arc<Service>>) -> Response {
    let exposition = service.exposition.lock().await;
    let replies = service.rooms.lock().request_stats(Instant::now());
    service.rooms.waker().notify_one();
    let mut stats = Vec::new();
    for (shard, reply) in replies {
        if let Ok(Ok(figures)) = timeout(STATS_TIMEOUT, reply).await {
            stats.push((shard, *figures));
        }
    }
    let census = service.rooms.lock().census();
    match exposition.encode(census, stats) {
        Ok(text) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
