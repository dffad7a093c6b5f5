//! Taking in TCP connections, within limits of number and time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::metrics::{ConnectionRefusal, Metrics};

/// TCP connections that are not upgraded (yet). A thousand clients may come back in the same second.
pub const SOCKETS_MAX: usize = 1024;

/// How long the head of a request may take, the wait for it included. An honest one is there in one round trip.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may live that is not upgraded: enough for the client's files on a slow line.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a request's head: a token of 8 KiB and what browsers add.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// A pause after the kernel refused a connection, as it does where descriptors run out: time for others to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `routes` to all that connect, for ever.
pub async fn accept_all(listener: TcpListener, routes: Router, metrics: Metrics) {
    let sockets = Arc::new(Semaphore::new(SOCKETS_MAX));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LEN_MAX);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&sockets).try_acquire_owned() else {
            metrics.count_connection_refusal(ConnectionRefusal::TooManySockets);
            continue;
        };
        // Small messages must not wait for one another. Where the kernel says no, they only come later.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(routes.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::spawn(async move {
            // It ends at the upgrade, or because the client breaks off, is too slow or is no HTTP: nobody's loss.
            let _ = timeout(CONNECTION_TIMEOUT, connection).await;
            drop(permit);
        });
    }
}
