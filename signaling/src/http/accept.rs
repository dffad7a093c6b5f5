//! Taking in TCP connections, within limits of number and time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::throttle::Throttled;
use crate::metrics::{ConnectionRefusal, Metrics};

/// TCP connections that are not upgraded (yet).
pub const SOCKETS_MAX: usize = 2 * STAGE_MAX;

/// Connections in one of the two stages before an upgrade. A thousand clients may come back in the same second.
const STAGE_MAX: usize = 1024;

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
    accept_within(STAGE_MAX, listener, routes, metrics).await;
}

async fn accept_within(stage_max: usize, listener: TcpListener, routes: Router, metrics: Metrics) {
    let sockets = Arc::new(Mutex::new(Sockets::new(stage_max, metrics)));
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
        let (place, is_evicted) = Place::take(&sockets);
        // Small messages must not wait for one another. Where the kernel says no, they only come later.
        let _ = stream.set_nodelay(true);
        let routes = TowerToHyperService::new(routes.clone());
        let service = service_fn(move |request| {
            place.on_head();
            routes.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(Throttled::new(stream)), service).with_upgrades();
        tokio::spawn(async move {
            // It ends at the upgrade, or because the client breaks off, is too slow or is no HTTP: nobody's loss.
            tokio::select! {
                _ = timeout(CONNECTION_TIMEOUT, connection) => {}
                _ = is_evicted => {}
            }
        });
    }
}

/// The connections that are not upgraded. Where a stage is full, its oldest one gives way to a newer: who is silent, which
/// costs nothing, keeps nobody from coming, and takes no place from those who ask.
struct Sockets {
    /// Those that have not sent the whole head of a request.
    silent: Stage,
    /// Those that have.
    asking: Stage,
    stage_max: usize,
    next_number: u64,
    metrics: Metrics,
}

/// Connections by the order of their coming. One ends when its sender is dropped, as soon as its task has run.
type Stage = BTreeMap<u64, oneshot::Sender<Infallible>>;

impl Sockets {
    fn new(stage_max: usize, metrics: Metrics) -> Self {
        Self { silent: Stage::new(), asking: Stage::new(), stage_max, next_number: 0, metrics }
    }

    fn keep_within_limits(&mut self) {
        for stage in [&mut self.silent, &mut self.asking] {
            if stage.len() > self.stage_max && stage.pop_first().is_some() {
                self.metrics.count_connection_refusal(ConnectionRefusal::TooManySockets);
            }
        }
    }
}

/// The place of one connection among the sockets; dropping it frees it.
struct Place {
    sockets: Arc<Mutex<Sockets>>,
    number: u64,
}

impl Place {
    /// Takes a place behind all others; the receiver ends when the place is lost.
    fn take(sockets: &Arc<Mutex<Sockets>>) -> (Self, oneshot::Receiver<Infallible>) {
        let (sender, is_evicted) = oneshot::channel();
        let mut all = lock(sockets);
        let number = all.next_number;
        all.next_number += 1;
        all.silent.insert(number, sender);
        all.keep_within_limits();
        (Self { sockets: Arc::clone(sockets), number }, is_evicted)
    }

    /// The connection has sent the whole head of a request.
    fn on_head(&self) {
        let mut all = lock(&self.sockets);
        if let Some(sender) = all.silent.remove(&self.number) {
            all.asking.insert(self.number, sender);
            all.keep_within_limits();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.sockets);
        all.silent.remove(&self.number);
        all.asking.remove(&self.number);
    }
}

fn lock(sockets: &Mutex<Sockets>) -> MutexGuard<'_, Sockets> {
    sockets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const STAGE: usize = 4;

    async fn start() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/healthz", get(async || "alive"));
        tokio::spawn(accept_within(STAGE, listener, routes, Metrics::default()));
        address
    }

    async fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(TcpStream::connect(address).await.unwrap());
        }
        streams
    }

    /// Asks for health; what is answered to the last byte, nothing where the connection has ended.
    async fn health(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        while !answer.ends_with(b"alive") && matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn silent_sockets_give_way_to_who_asks_the_oldest_first() {
        let address = start().await;
        let mut silent = connect(address, 3 * STAGE).await;
        let mut newcomer = TcpStream::connect(address).await.unwrap();
        assert!(health(&mut newcomer).await.starts_with("HTTP/1.1 200"));
        let (oldest, youngest) = (0, silent.len() - 1);
        assert_eq!(silent[oldest].read(&mut [0; 8]).await.unwrap_or(0), 0);
        assert!(health(&mut silent[youngest]).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn who_has_asked_outlives_the_silent_but_not_for_ever() {
        let address = start().await;
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(health(&mut first).await.starts_with("HTTP/1.1 200"));
        let _silent = connect(address, 3 * STAGE).await;
        assert!(health(&mut first).await.starts_with("HTTP/1.1 200"));
        let mut others = connect(address, STAGE).await;
        for other in &mut others {
            assert!(health(other).await.starts_with("HTTP/1.1 200"));
        }
        assert_eq!(health(&mut first).await, "");
    }

    #[test]
    fn connections_that_end_free_their_places() {
        let sockets = Arc::new(Mutex::new(Sockets::new(STAGE, Metrics::default())));
        let (silent, _) = Place::take(&sockets);
        let (asking, _) = Place::take(&sockets);
        asking.on_head();
        let lens = || {
            let all = lock(&sockets);
            (all.silent.len(), all.asking.len())
        };
        assert_eq!(lens(), (1, 1));
        drop((silent, asking));
        assert_eq!(lens(), (0, 0));
    }
}
