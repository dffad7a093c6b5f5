//! A service's port, a peer, and between them a network that does to each datagram what a test says.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use shard_protocol::event::TransportCloseReason;
use shard_protocol::ids::TransportId;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{DtlsRole, DtlsTable, Fingerprint};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::peer::{self, Behaviour, Peer};
use crate::runtime::dtls::identity::Identity;
use crate::runtime::dtls::{DtlsPort, connect};
use crate::security::dtls::{DtlsRequest, DtlsResponse, HandshakeFilter, LastFlight};
use crate::security::srtp::SrtpKeys;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToService,
    ToPeer,
}

/// What becomes of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Deliver,
    Lose,
    Repeat,
    /// Delivered behind the next one of its direction.
    Overtaken,
    Change(Vec<u8>),
}

/// A shard's stand-in.
pub(super) struct Service {
    pub(super) port: DtlsPort,
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) dispatcher: JoinHandle<()>,
    wake: Arc<Notify>,
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Panics inside the handshake library since the first service was made; they don't fail a test by themselves.
pub(super) fn library_panics() -> usize {
    PANICS.load(Ordering::SeqCst)
}

fn count_library_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|location| location.file().contains("webrtc-dtls")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            report(panic);
        }));
    });
}

/// The certificates of the service and of the peer, made once.
pub(super) fn identities() -> &'static [Arc<Identity>; 2] {
    static IDENTITIES: OnceLock<[Arc<Identity>; 2]> = OnceLock::new();
    IDENTITIES.get_or_init(|| [(); 2].map(|()| Arc::new(Identity::generate().unwrap())))
}

impl Service {
    /// Serves one port on the runtime of the test, with room for `slots` handshakes at once.
    pub(super) fn new(slots: usize) -> Self {
        count_library_panics();
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        let identity = &identities()[0];
        let slots = Arc::new(Semaphore::new(slots));
        let (port, (dispatcher, requests)) = connect(identity, &slots, Arc::new(move || waker.notify_one()));
        let fingerprints = identity.fingerprints().to_vec();
        Self { port, fingerprints, dispatcher: tokio::spawn(dispatcher.run(requests)), wake }
    }

    /// Around a port whose thread wakes `wake`.
    pub(super) fn around(port: DtlsPort, fingerprints: Vec<Fingerprint>, wake: Arc<Notify>) -> Self {
        Self { port, fingerprints, dispatcher: tokio::spawn(async {}), wake }
    }

    pub(super) async fn recv(&self) -> DtlsResponse {
        loop {
            if let Some(response) = self.port.try_recv() {
                return response;
            }
            self.wake.notified().await;
        }
    }

    pub(super) fn send(&self, request: DtlsRequest) {
        assert!(self.port.try_send(request).is_ok(), "the queue has room");
    }

    /// Ends the port and waits until nothing of it is left.
    pub(super) async fn close(self) {
        drop(self.port);
        self.dispatcher.await.unwrap();
    }
}

/// A transport number that no other call has.
pub(super) fn new_transport() -> TransportId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    TransportId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What the peer announces: the service's role is the opposite of its own.
pub(super) fn table_of(behaviour: &Behaviour) -> DtlsTable {
    let role = match behaviour.role {
        DtlsRole::Client => DtlsRole::Server,
        DtlsRole::Server => DtlsRole::Client,
    };
    DtlsTable { role, fingerprints: identities()[1].fingerprints().to_vec() }
}

pub(super) fn start_peer(service: &Service, behaviour: &Behaviour) -> Peer {
    peer::start(&identities()[1], behaviour, service.fingerprints.clone())
}

/// What a call came to.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) service: Option<Result<SrtpKeys, TransportCloseReason>>,
    /// How long that took.
    pub(super) service_took: Duration,
    pub(super) peer: Option<Result<SrtpKeys, String>>,
    /// Every datagram that was sent, in its order, and before its fate.
    pub(super) sent: Vec<(Direction, Vec<u8>)>,
    pub(super) drops: Vec<DropReason>,
}

impl Outcome {
    /// The keys of the service, which the peer has too, the other way round.
    pub(super) fn keys(&self) -> &SrtpKeys {
        let service = self.service.as_ref().expect("the service came to an end").as_ref();
        let service = service.unwrap_or_else(|reason| panic!("the service has no keys: {reason:?}"));
        let peer = self.peer.as_ref().expect("the peer came to an end").as_ref().expect("the peer has keys");
        assert_eq!(service.profile, peer.profile);
        assert!(service.local == peer.remote && service.remote == peer.local, "both have the same keys");
        assert!(service.local != service.remote);
        service
    }

    pub(super) fn sent(&self, direction: Direction) -> usize {
        self.sent.iter().filter(|(sent, _)| *sent == direction).count()
    }
}

/// The two ends of one handshake, as the shard and the network see them.
struct Call<'a, F> {
    service: &'a Service,
    transport: TransportId,
    filter: HandshakeFilter,
    last_flight: Option<LastFlight>,
    peer: Peer,
    peer_last_flight: Option<LastFlight>,
    fate: F,
    overtaken: [Option<Vec<u8>>; 2],
    began: Instant,
    outcome: Outcome,
}

/// Lets the service and a peer shake hands over a network in which `fate` decides on each datagram, by its direction, its
/// number in that direction and its bytes. Ends when both have, or after a minute.
pub(super) async fn call(
    service: &Service,
    table: DtlsTable,
    behaviour: &Behaviour,
    fate: impl FnMut(Direction, usize, &[u8]) -> Fate,
) -> Outcome {
    let transport = new_transport();
    service.send(DtlsRequest::Start { transport, table });
    let mut call = Call {
        service,
        transport,
        filter: HandshakeFilter::new(),
        last_flight: None,
        peer: start_peer(service, behaviour),
        peer_last_flight: None,
        fate,
        overtaken: [None, None],
        began: now(),
        outcome: Outcome::default(),
    };
    let _ = tokio::time::timeout(Duration::from_secs(60), call.run()).await;
    let Call { outcome, peer, .. } = call;
    peer.task.abort();
    outcome
}

impl<F: FnMut(Direction, usize, &[u8]) -> Fate> Call<'_, F> {
    async fn run(&mut self) {
        while self.outcome.service.is_none() || self.outcome.peer.is_none() {
            tokio::select! {
                response = self.service.recv() => self.handle_response(response),
                Some(datagram) = self.peer.from_peer.recv() => self.transmit(Direction::ToService, datagram),
                ended = &mut self.peer.task, if self.outcome.peer.is_none() => {
                    let connected = ended.unwrap().map_err(|error| error.to_string());
                    self.outcome.peer = Some(connected.map(|connected| {
                        // The library never repeats its last flight: on the peer's side the test does it.
                        let bytes = connected.last_flight.map(Vec::into_boxed_slice);
                        self.peer_last_flight = bytes.map(|bytes| LastFlight::new(bytes, now()));
                        connected.keys
                    }));
                }
            }
        }
    }

    fn handle_response(&mut self, response: DtlsResponse) {
        match response {
            DtlsResponse::Datagram { transport, bytes } => {
                assert_eq!(transport, self.transport);
                self.transmit(Direction::ToPeer, bytes.into_vec());
            }
            DtlsResponse::Connected { transport, keys, last_flight } => {
                assert_eq!(transport, self.transport);
                assert_eq!(last_flight.is_some(), self.peer.role == DtlsRole::Client);
                self.last_flight = last_flight.map(|bytes| LastFlight::new(bytes, now()));
                self.end(Ok(keys));
            }
            DtlsResponse::Failed { transport, reason } => {
                assert_eq!(transport, self.transport);
                self.end(Err(reason));
            }
        }
    }

    fn end(&mut self, result: Result<SrtpKeys, TransportCloseReason>) {
        assert!(self.outcome.service.replace(result).is_none(), "one result a handshake");
        self.outcome.service_took = now() - self.began;
    }

    fn transmit(&mut self, direction: Direction, datagram: Vec<u8>) {
        let number = self.outcome.sent(direction);
        self.outcome.sent.push((direction, datagram.clone()));
        let overtaken = self.overtaken[direction as usize].take();
        match (self.fate)(direction, number, &datagram) {
            Fate::Deliver => self.deliver(direction, datagram),
            Fate::Lose => {}
            Fate::Repeat => {
                self.deliver(direction, datagram.clone());
                self.deliver(direction, datagram);
            }
            Fate::Overtaken => self.overtaken[direction as usize] = Some(datagram),
            Fate::Change(datagram) => self.deliver(direction, datagram),
        }
        if let Some(datagram) = overtaken {
            self.deliver(direction, datagram);
        }
    }

    fn deliver(&mut self, direction: Direction, datagram: Vec<u8>) {
        match direction {
            Direction::ToService => self.deliver_to_service(datagram),
            Direction::ToPeer => match &mut self.peer_last_flight {
                None => drop(self.peer.to_peer.send(datagram)),
                Some(flight) => {
                    let again = flight.handle_datagram(now(), &datagram).map(<[u8]>::to_vec);
                    again.into_iter().for_each(|flight| self.transmit(Direction::ToService, flight));
                }
            },
        }
    }

    /// As the shard does it: after the end only the last flight, before it the filter.
    fn deliver_to_service(&mut self, datagram: Vec<u8>) {
        if self.outcome.service.is_some() {
            let again = self.last_flight.as_mut().and_then(|flight| flight.handle_datagram(now(), &datagram));
            let again = again.map(<[u8]>::to_vec);
            return again.into_iter().for_each(|flight| self.transmit(Direction::ToPeer, flight));
        }
        match self.filter.check(&datagram) {
            Ok(()) => {
                let bytes = datagram.into_boxed_slice();
                let _ = self.service.port.try_send(DtlsRequest::Datagram { transport: self.transport, bytes });
            }
            Err(reason) => self.outcome.drops.push(reason),
        }
    }
}

/// The time of the test's clock, which stands still while anything is left to do.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
