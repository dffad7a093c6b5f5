//! The handshake thread: DTLS by webrtc-dtls for all shards, on a tokio runtime of its own.
//!
//! A handshake takes about a millisecond of CPU, which no shard has to give, and its library needs tokio. So each shard
//! has a [`DtlsPort`], two bounded queues to this thread; a dispatcher takes the requests of
//! one shard and runs each handshake as a task. When that ends, keys or a failure go back and nothing of it stays.
//!
//! Not here: what a datagram must be to come this far (`security::dtls`), and everything after the handshake.

mod dispatcher;
mod handshake;
mod identity;
mod pipe;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use shard_protocol::limits::TRANSPORTS_MAX;
use shard_protocol::stats::{DropCounts, DropReason};
use shard_protocol::tables::Fingerprint;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use self::dispatcher::Dispatcher;
use self::identity::Identity;
use crate::security::dtls::{DtlsRequest, DtlsResponse};

/// Datagrams of one shard that wait for the thread: the first flights of 1000 participants with two transports each,
/// who join at once.
const REQUEST_DATAGRAMS_MAX: usize = 4096;

/// Requests of one shard that wait for the thread. What is left by datagrams takes a start and a stop of every transport,
/// so that these are refused only by a thread that is gone or stuck.
const REQUESTS_MAX: usize = REQUEST_DATAGRAMS_MAX + 2 * TRANSPORTS_MAX;

/// Datagrams that wait for one shard. It empties the queue every turn, in which the thread makes a handful.
const RESPONSE_DATAGRAMS_MAX: usize = 1024;

/// Responses that wait for one shard. What is left by datagrams is for results, which are never lost: while there is no
/// room, that shard's dispatcher waits.
const RESPONSES_MAX: usize = RESPONSE_DATAGRAMS_MAX + 256;

/// Handshakes that are under way at once, of all shards: 1000 participants with two transports each, twice over. Each
/// holds about 31 KiB, so this is 128 MiB; the CPU needs no such limit, for tasks take turns. One over the limit waits
/// within its time instead of being refused, because a peer that comes in a rush is not at fault.
const HANDSHAKES_MAX: usize = 4096;

/// Wakes the shard that a response waits for. Called from the handshake thread, once for each response.
pub type DtlsWaker = Arc<dyn Fn() + Send + Sync>;

/// Why the handshakes can't be had.
#[derive(Debug, thiserror::Error)]
pub enum DtlsStartError {
    /// The certificate could not be made.
    #[error("the DTLS certificate could not be made: {0}")]
    Certificate(webrtc_dtls::Error),
    /// The thread or its runtime could not be made.
    #[error("the DTLS thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// The handshake thread. It ends when every [`DtlsPort`] is gone.
pub struct DtlsThread {
    fingerprints: [Fingerprint; 3],
    thread: JoinHandle<()>,
}

impl DtlsThread {
    /// Makes the certificate of this process and starts the thread, with one port for each of `wakers`, in their order.
    /// `on_start` runs first on the thread, to pin it.
    ///
    /// # Errors
    ///
    /// The system gives no thread, no event queue or no randomness.
    pub fn start(
        wakers: Vec<DtlsWaker>,
        on_start: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, Vec<DtlsPort>), DtlsStartError> {
        let identity = Arc::new(Identity::generate()?);
        let fingerprints = identity.fingerprints();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let (ports, dispatchers): (Vec<_>, Vec<_>) =
            wakers.into_iter().map(|waker| connect(&identity, &slots, waker)).unzip();
        let serve = async move {
            let mut tasks: JoinSet<()> =
                dispatchers.into_iter().map(|(dispatcher, requests)| dispatcher.run(requests)).collect();
            while let Some(ended) = tasks.join_next().await {
                if ended.is_err() {
                    tracing::error!("the handshakes of a shard have ended: a fault of the service");
                }
            }
        };
        let thread = std::thread::Builder::new().name("dtls".to_owned()).spawn(move || {
            on_start();
            runtime.block_on(serve);
        })?;
        Ok((Self { fingerprints, thread }, ports))
    }

    /// The fingerprints of the service's certificate. SHA-256, which every peer knows, is the last, because
    /// mediasoup-client uses the last one that it is told.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// Waits for the end of the thread; call it when all ports are gone.
    pub fn join(self) {
        // An error is a panic of the thread, which has been reported.
        let _ = self.thread.join();
    }
}

/// Why the thread did not take a request. It is given back.
#[derive(Debug)]
pub enum RequestRefused {
    /// The queue is full: a datagram is to be dropped (`DropReason::DtlsOverload`), a start or a stop to be offered again.
    Full(DtlsRequest),
    /// What serves this shard has ended, which it does only by a fault: no handshake will end any more.
    Gone(DtlsRequest),
}

/// One shard's end of the queues. Dropping it ends the shard's handshakes.
pub struct DtlsPort {
    requests: mpsc::Sender<DtlsRequest>,
    responses: Receiver<DtlsResponse>,
    drops: Arc<Mutex<DropCounts>>,
}

impl DtlsPort {
    /// Gives a request to the thread.
    ///
    /// # Errors
    ///
    /// Gives it back where there is no room, or nobody to take it.
    pub fn try_send(&self, request: DtlsRequest) -> Result<(), RequestRefused> {
        let is_datagram = matches!(request, DtlsRequest::Datagram { .. });
        if self.requests.is_closed() {
            return Err(RequestRefused::Gone(request));
        }
        if is_datagram && self.requests.capacity() <= REQUESTS_MAX - REQUEST_DATAGRAMS_MAX {
            return Err(RequestRefused::Full(request));
        }
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(request) => RequestRefused::Full(request),
            mpsc::error::TrySendError::Closed(request) => RequestRefused::Gone(request),
        })
    }

    /// The next response, if there is one.
    pub fn try_recv(&self) -> Option<DtlsResponse> {
        self.responses.try_recv().ok()
    }

    /// What the thread has dropped of this shard's datagrams, either way, since it began. Takes a lock that the thread
    /// holds for an instant at each drop: for the figures, not for the packet path.
    pub fn drops(&self) -> DropCounts {
        *self.drops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's end of the responses of one shard.
pub(super) struct Outbox {
    responses: Sender<DtlsResponse>,
    waker: DtlsWaker,
    drops: Arc<Mutex<DropCounts>>,
}

impl Outbox {
    /// Sends a datagram if there is room; the network may lose it just so.
    fn send_datagram(&self, response: DtlsResponse) {
        if self.responses.len() >= RESPONSE_DATAGRAMS_MAX || self.offer(response).is_some() {
            self.count_drop(DropReason::DtlsOverload);
        }
    }

    /// Sends a result and gives it back where there is no room. A shard that is gone needs none.
    fn offer(&self, response: DtlsResponse) -> Option<DtlsResponse> {
        match self.responses.try_send(response) {
            Ok(()) => {
                (self.waker)();
                None
            }
            Err(TrySendError::Full(response)) => Some(response),
            Err(TrySendError::Disconnected(_)) => None,
        }
    }

    fn count_drop(&self, reason: DropReason) {
        self.drops.lock().unwrap_or_else(PoisonError::into_inner).add(reason);
    }
}

/// Makes a shard's port, and what serves it.
fn connect(
    identity: &Arc<Identity>,
    slots: &Arc<Semaphore>,
    waker: DtlsWaker,
) -> (DtlsPort, (Dispatcher, mpsc::Receiver<DtlsRequest>)) {
    let (request_tx, request_rx) = mpsc::channel(REQUESTS_MAX);
    let (response_tx, response_rx) = crossbeam_channel::bounded(RESPONSES_MAX);
    let drops = Arc::default();
    let outbox = Outbox { responses: response_tx, waker, drops: Arc::clone(&drops) };
    let dispatcher = Dispatcher::new(Arc::clone(identity), Arc::clone(slots), Arc::new(outbox));
    (DtlsPort { requests: request_tx, responses: response_rx, drops }, (dispatcher, request_rx))
}
