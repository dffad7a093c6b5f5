//! A whole DTLS handshake: what the service's side takes of the CPU with everything that stands around it, the filter, the
//! assembly, the queues between shard and thread, and what the library takes alone.
//!
//! Either side has a thread of its own, and some handshakes are under way at once. The client is the library in both. What
//! is told is CPU time, not time: that of the process without that of the client's thread, per handshake.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::any::Any;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use criterion::{Criterion, criterion_group, criterion_main};
use engine::runtime::dtls::{DtlsPort, DtlsThread, DtlsWaker};
use engine::security::dtls::{DtlsRequest, DtlsResponse, HandshakeFilter};
use nix::time::{ClockId, clock_gettime};
use shard_protocol::ids::TransportId;
use shard_protocol::tables::{DtlsRole, DtlsTable, Fingerprint};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinSet;
use webrtc_dtls::cipher_suite::CipherSuiteId;
use webrtc_dtls::config::{ClientAuthType, Config, ExtendedMasterSecretType};
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::crypto::Certificate;
use webrtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use webrtc_util::{Conn, Error, KeyingMaterialExporter};

/// Handshakes under way at once: so many that a wake of a thread serves several.
const CONCURRENT: usize = 16;

/// Bytes of the keys of AES-128-GCM and their salts, for both sides.
const KEYS_LEN: usize = 2 * (16 + 12);

type Datagrams = UnboundedReceiver<Vec<u8>>;

type Outbound = Box<dyn Fn(Vec<u8>) + Send + Sync>;

/// What the library takes for a socket.
struct Pipe {
    inbound: tokio::sync::Mutex<Datagrams>,
    outbound: Outbound,
}

#[async_trait]
impl Conn for Pipe {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let Some(datagram) = self.inbound.lock().await.recv().await else { return std::future::pending().await };
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }

    async fn recv_from(&self, _: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        Err(Error::Other("a pipe has no addresses".to_owned()))
    }

    async fn send(&self, datagram: &[u8]) -> Result<usize, Error> {
        (self.outbound)(datagram.to_vec());
        Ok(datagram.len())
    }

    async fn send_to(&self, datagram: &[u8], _: SocketAddr) -> Result<usize, Error> {
        self.send(datagram).await
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Err(Error::Other("a pipe has no addresses".to_owned()))
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// Shakes hands in a role; the exported keys.
async fn shake(certificate: Certificate, role: DtlsRole, pipe: Pipe) -> Vec<u8> {
    let config = Config {
        certificates: vec![certificate],
        cipher_suites: vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256],
        srtp_protection_profiles: vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm],
        client_auth: ClientAuthType::RequireAnyClientCert,
        extended_master_secret: ExtendedMasterSecretType::Require,
        // Nothing is lost here, and nothing is to be said twice only because the machine is busy.
        flight_interval: Duration::from_secs(10),
        insecure_skip_verify: true,
        server_name: "peer".to_owned(),
        ..Config::default()
    };
    let is_client = role == DtlsRole::Client;
    let connection = DTLSConn::new(Arc::new(pipe), config, is_client, None).await.expect("a handshake");
    let state = connection.connection_state().await;
    state.export_keying_material("EXTRACTOR-dtls_srtp", &[], KEYS_LEN).await.expect("keys")
}

/// A server for one client after another.
trait Server {
    /// Begins a handshake: the client's end of the network, and the keys of the server to come.
    fn begin(&self) -> (Pipe, oneshot::Receiver<Vec<u8>>);
}

/// What a shard keeps of a handshake.
struct UnderWay {
    to_client: UnboundedSender<Vec<u8>>,
    keys: oneshot::Sender<Vec<u8>>,
}

/// The engine's handshake thread, and in a shard's place this.
struct Engine {
    port: Arc<DtlsPort>,
    under_way: Arc<Mutex<HashMap<TransportId, UnderWay>>>,
    last_id: Mutex<u64>,
    client: Fingerprint,
    wake: Arc<Notify>,
}

impl Engine {
    fn new(client: &Certificate) -> Self {
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        let waker: DtlsWaker = Arc::new(move || waker.notify_one());
        let (_, ports) = DtlsThread::start(vec![waker], || ()).expect("a handshake thread");
        let port = ports.into_iter().next().expect("a port for the waker");
        let mut hash = [0; 32];
        let der = client.certificate.first().expect("a certificate");
        hash.copy_from_slice(digest::digest(&digest::SHA256, der.as_ref()).as_ref());
        Self {
            port: Arc::new(port),
            under_way: Arc::default(),
            last_id: Mutex::default(),
            client: Fingerprint::Sha256(hash),
            wake,
        }
    }

    /// Hands the thread's responses on, for ever.
    async fn serve(port: Arc<DtlsPort>, wake: Arc<Notify>, under_way: Arc<Mutex<HashMap<TransportId, UnderWay>>>) {
        loop {
            wake.notified().await;
            while let Some(response) = port.try_recv() {
                let mut under_way = under_way.lock().expect("no panic before");
                match response {
                    DtlsResponse::Datagram { transport, bytes } => {
                        if let Some(handshake) = under_way.get(&transport) {
                            // A client that is through needs no more.
                            let _ = handshake.to_client.send(bytes.into_vec());
                        }
                    }
                    DtlsResponse::Connected { transport, keys, .. } => {
                        let handshake = under_way.remove(&transport).expect("one end a handshake");
                        let (client, server) = (keys.remote, keys.local);
                        let keys = [client.key, server.key, client.salt, server.salt].concat();
                        handshake.keys.send(keys).expect("somebody who waits");
                    }
                    DtlsResponse::Failed { reason, .. } => panic!("a handshake failed: {reason:?}"),
                }
            }
        }
    }
}

impl Server for Engine {
    fn begin(&self) -> (Pipe, oneshot::Receiver<Vec<u8>>) {
        let transport = {
            let mut last_id = self.last_id.lock().expect("no panic before");
            *last_id += 1;
            TransportId(*last_id)
        };
        let (to_client, inbound) = mpsc::unbounded_channel();
        let (keys, keys_of_server) = oneshot::channel();
        self.under_way.lock().expect("no panic before").insert(transport, UnderWay { to_client, keys });
        let table = DtlsTable { role: DtlsRole::Server, fingerprints: vec![self.client.clone()] };
        self.port.try_send(DtlsRequest::Start { transport, table }).expect("room for a start");
        let (port, filter) = (Arc::clone(&self.port), Mutex::new(HandshakeFilter::new()));
        let outbound = move |datagram: Vec<u8>| {
            filter.lock().expect("no panic before").check(&datagram).expect("a good handshake passes the filter");
            let bytes = datagram.into_boxed_slice();
            port.try_send(DtlsRequest::Datagram { transport, bytes }).expect("room for a datagram");
        };
        (Pipe { inbound: inbound.into(), outbound: Box::new(outbound) }, keys_of_server)
    }
}

/// The library alone, on a thread of its own.
struct Alone(UnboundedSender<(Pipe, oneshot::Sender<Vec<u8>>)>);

impl Alone {
    fn new() -> Self {
        let (begin, mut coming) = mpsc::unbounded_channel::<(Pipe, oneshot::Sender<Vec<u8>>)>();
        let certificate = certificate();
        thread::spawn(move || {
            runtime().block_on(async move {
                while let Some((pipe, keys)) = coming.recv().await {
                    let certificate = certificate.clone();
                    tokio::spawn(async move {
                        let _ = keys.send(shake(certificate, DtlsRole::Server, pipe).await);
                    });
                }
            });
        });
        Self(begin)
    }
}

impl Server for Alone {
    fn begin(&self) -> (Pipe, oneshot::Receiver<Vec<u8>>) {
        let (to_client, inbound) = mpsc::unbounded_channel();
        let (to_server, datagrams) = mpsc::unbounded_channel();
        let (keys, keys_of_server) = oneshot::channel();
        let outbound = Box::new(move |datagram| drop(to_client.send(datagram)));
        let pipe = Pipe { inbound: datagrams.into(), outbound };
        assert!(self.0.send((pipe, keys)).is_ok(), "the server's thread has ended");
        let outbound = Box::new(move |datagram| drop(to_server.send(datagram)));
        (Pipe { inbound: inbound.into(), outbound }, keys_of_server)
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn certificate() -> Certificate {
    // An error says that there is a provider already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Certificate::generate_self_signed(["peer".to_owned()]).expect("a certificate")
}

/// CPU time of the whole process but the calling thread.
fn cpu_of_others() -> Duration {
    let read = |clock| Duration::from(clock_gettime(clock).expect("a clock of the kernel"));
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(read(ClockId::CLOCK_THREAD_CPUTIME_ID))
}

/// Shakes hands `count` times; the CPU time that the server took.
fn shake_hands(runtime: &Runtime, certificate: &Certificate, server: &impl Server, count: u64) -> Duration {
    let slots = Arc::new(Semaphore::new(CONCURRENT));
    let before = cpu_of_others();
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("slots that are never closed");
            let (pipe, keys_of_server) = server.begin();
            let certificate = certificate.clone();
            clients.spawn(async move {
                let keys = shake(certificate, DtlsRole::Client, pipe).await;
                assert_eq!(keys_of_server.await.expect("the server's keys"), keys);
                drop(slot);
            });
        }
        while let Some(client) = clients.join_next().await {
            client.expect("a client that is through");
        }
    });
    cpu_of_others().saturating_sub(before)
}

fn handshake(criterion: &mut Criterion) {
    let certificate = certificate();
    let runtime = runtime();
    let engine = Engine::new(&certificate);
    let (port, wake, under_way) = (Arc::clone(&engine.port), Arc::clone(&engine.wake), Arc::clone(&engine.under_way));
    runtime.spawn(Engine::serve(port, wake, under_way));
    let alone = Alone::new();
    let mut group = criterion.benchmark_group("handshake");
    group.sample_size(20);
    group.bench_function("service, CPU time", |bencher| {
        bencher.iter_custom(|count| shake_hands(&runtime, &certificate, &engine, count));
    });
    group.bench_function("webrtc-dtls alone, CPU time", |bencher| {
        bencher.iter_custom(|count| shake_hands(&runtime, &certificate, &alone, count));
    });
}

criterion_group!(benches, handshake);
criterion_main!(benches);
