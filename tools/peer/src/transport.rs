//! One transport: ICE, DTLS and SRTP over one socket, driven by a task of its own.
//!
//! The way in: link → class by first byte (RFC 7983) → ICE agent, DTLS handshake, or SRTP → reception and reports. The
//! way out is direct: whoever sends protects and writes to the socket itself. Raw access sends any bytes from the same
//! socket, which is what an attacker who forges a victim's address can do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rtp_util::marshal::{Marshal, Unmarshal};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::PeerError;
use crate::dtls::{DtlsIdentity, DtlsRole, DtlsSession, Handshake, INCOMING_MAX, LastFlight};
use crate::ice::{IceAgent, IceCredentials, IceMode, IceOutcome};
use crate::link::{Arrival, DATAGRAM_LEN_MAX, Gate, Link};
use crate::reception::Reception;
use crate::reports::{Compound, Reports};
use crate::srtp::{Srtp, SrtpKeys, SrtpProfile};
use crate::stun::BindingRequest;
use crate::voice::now_ns;
use crate::wishes::{Wish, Wishes};

/// Between checks until one is answered: the pacing of RFC 8445 14.2.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Between checks for consent; browsers send one every 2.5 s.
const CONSENT_INTERVAL: Duration = Duration::from_millis(2500);
/// Between RTCP reports. Short beside a browser's, so that tests see round trips soon.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// How long [`Transport::connected`] waits: past every retransmission that recovers from a lost datagram.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(12);
/// A last flight is repeated no more often than this, so that two sides can't answer one another for ever.
const RESEND_INTERVAL: Duration = Duration::from_millis(20);

/// How a transport is made.
pub struct TransportOptions {
    /// The address that the socket is bound to.
    pub local: SocketAddr,
    /// How ICE takes part.
    pub ice_mode: IceMode,
    /// Who begins the DTLS handshake.
    pub dtls_role: DtlsRole,
    /// The SRTP profiles that are offered or taken, in this order.
    pub profiles: Vec<SrtpProfile>,
    /// The certificate; `None` makes one.
    pub identity: Option<DtlsIdentity>,
    /// Told to the other side in place of the certificate's own fingerprint.
    pub announced_fingerprint: Option<String>,
    /// Loses datagrams.
    pub gate: Option<Gate>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            local: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            ice_mode: IceMode::Controlling,
            dtls_role: DtlsRole::Client,
            profiles: SrtpProfile::ALL.to_vec(),
            identity: None,
            announced_fingerprint: None,
            gate: None,
        }
    }
}

/// What the other side says of itself.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its address; a lite agent learns it from the checks.
    pub address: Option<SocketAddr>,
    /// Its ICE credentials.
    pub ice: IceCredentials,
    /// Algorithm and value of each of its fingerprints; none means that any certificate will do.
    pub fingerprints: Vec<(String, String)>,
}

impl Remote {
    /// Reads a `transportCreated` message, taking the first UDP candidate whose address has the family of `local`.
    pub fn from_message(message: &Value, local: SocketAddr) -> Result<Self, PeerError> {
        let missing = |what: &str| PeerError::Protocol(format!("transportCreated has no usable {what}"));
        let text = |value: &Value, what: &str| value.as_str().map(str::to_owned).ok_or_else(|| missing(what));
        let candidates = message["iceCandidates"].as_array().ok_or_else(|| missing("iceCandidates"))?;
        let mut addresses =
            candidates.iter().filter(|candidate| candidate["protocol"] == "udp").filter_map(|candidate| {
                let address = candidate["address"].as_str().or_else(|| candidate["ip"].as_str())?;
                let port = u16::try_from(candidate["port"].as_u64()?).ok()?;
                Some(SocketAddr::new(address.parse().ok()?, port))
            });
        let is_reachable = |address: &SocketAddr| {
            address.is_ipv4() == local.is_ipv4() && address.ip().is_loopback() == local.ip().is_loopback()
        };
        let fingerprints = message["dtlsParameters"]["fingerprints"].as_array().cloned().unwrap_or_default();
        Ok(Self {
            address: Some(addresses.find(is_reachable).ok_or_else(|| missing("iceCandidates"))?),
            ice: IceCredentials {
                ufrag: text(&message["iceParameters"]["usernameFragment"], "usernameFragment")?,
                password: text(&message["iceParameters"]["password"], "password")?,
            },
            fingerprints: fingerprints
                .iter()
                .map(|entry| Ok((text(&entry["algorithm"], "fingerprint")?, text(&entry["value"], "fingerprint")?)))
                .collect::<Result<_, PeerError>>()?,
        })
    }
}

/// A connected transport without tasks of its own.
pub struct Established {
    /// The socket, non-blocking, whose datagrams carry the kernel's receive stamps.
    pub socket: UdpSocket,
    /// Where datagrams go to.
    pub remote: SocketAddr,
    /// The keys.
    pub keys: SrtpKeys,
    /// A check; each that is sent needs a transaction id of its own.
    pub check: BindingRequest,
}

/// How far a transport has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    is_ice_connected: bool,
    is_dtls_connected: bool,
    failure: Option<String>,
}

/// A transport. Dropping it closes its socket without a word, as a killed tab does.
pub struct Transport {
    shared: Arc<Shared>,
    role: DtlsRole,
    profiles: Vec<SrtpProfile>,
    identity: DtlsIdentity,
    announced_fingerprint: String,
    ice_mode: IceMode,
    tasks: Mutex<Vec<AbortHandle>>,
}

struct Shared {
    link: Arc<Link>,
    credentials: IceCredentials,
    agent: OnceLock<Mutex<IceAgent>>,
    session: OnceLock<DtlsSession>,
    srtp: OnceLock<Srtp>,
    reception: Mutex<Reception>,
    reports: Mutex<Reports>,
    wishes: Mutex<Wishes>,
    progress: watch::Sender<Progress>,
    last_flight: Arc<LastFlight>,
}

impl Transport {
    /// Binds the socket; nothing is sent before [`connect`](Self::connect). Must be called in a tokio runtime.
    pub fn open(options: TransportOptions) -> Result<Self, PeerError> {
        let identity = options.identity.map_or_else(DtlsIdentity::generate, Ok)?;
        let shared = Shared {
            link: Arc::new(Link::bind(options.local, options.gate)?),
            credentials: IceCredentials::random(),
            agent: OnceLock::new(),
            session: OnceLock::new(),
            srtp: OnceLock::new(),
            reception: Mutex::default(),
            reports: Mutex::new(Reports::new("peer")),
            wishes: Mutex::default(),
            progress: watch::Sender::new(Progress::default()),
            last_flight: Arc::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            role: options.dtls_role,
            profiles: options.profiles,
            announced_fingerprint: options.announced_fingerprint.unwrap_or_else(|| identity.fingerprint().to_owned()),
            identity,
            ice_mode: options.ice_mode,
            tasks: Mutex::default(),
        })
    }

    /// What `connectTransport` tells the service.
    pub fn dtls_parameters(&self) -> Value {
        json!({
            "role": self.role.label(),
            "fingerprints": [{ "algorithm": "sha-256", "value": self.announced_fingerprint }],
        })
    }

    /// What a counterpart of the same kind needs to know of this transport.
    pub fn as_remote(&self) -> Result<Remote, PeerError> {
        Ok(Remote {
            address: Some(self.local_address()?),
            ice: self.shared.credentials.clone(),
            fingerprints: vec![("sha-256".to_owned(), self.announced_fingerprint.clone())],
        })
    }

    /// Starts ICE and then DTLS with `remote`. A second call changes nothing.
    pub fn connect(&self, remote: Remote) {
        let agent = IceAgent::new(self.shared.credentials.clone(), remote.ice);
        if self.shared.agent.set(Mutex::new(agent)).is_err() {
            return;
        }
        if let Some(address) = remote.address {
            self.shared.link.set_remote(address);
        }
        let (handshake_tx, incoming) = mpsc::channel(INCOMING_MAX);
        let handshake = Handshake {
            link: Arc::clone(&self.shared.link),
            incoming,
            last_flight: Arc::clone(&self.shared.last_flight),
            role: self.role,
            profiles: self.profiles.clone(),
            identity: self.identity.clone(),
            fingerprints: remote.fingerprints,
        };
        let receive = tokio::spawn(run_receive(Arc::clone(&self.shared), handshake_tx, self.role));
        let handshake = tokio::spawn(run_handshake(Arc::clone(&self.shared), handshake));
        let timers = tokio::spawn(run_timers(Arc::clone(&self.shared), self.ice_mode));
        lock(&self.tasks).extend([receive, handshake, timers].map(|task| task.abort_handle()));
    }

    /// Waits until media can flow.
    pub async fn connected(&self) -> Result<(), PeerError> {
        let progress = self.wait_for(|progress| progress.is_dtls_connected || progress.failure.is_some()).await?;
        progress.failure.map_or(Ok(()), |failure| Err(PeerError::Dtls(failure)))
    }

    /// Waits until a check was answered.
    pub async fn ice_connected(&self) -> Result<(), PeerError> {
        self.wait_for(|progress| progress.is_ice_connected).await.map(drop)
    }

    async fn wait_for(&self, is_reached: impl FnMut(&Progress) -> bool) -> Result<Progress, PeerError> {
        let mut progress = self.shared.progress.subscribe();
        let waited = timeout(CONNECT_TIMEOUT, progress.wait_for(is_reached)).await;
        match waited {
            Ok(Ok(reached)) => Ok(reached.clone()),
            _ => Err(PeerError::TimedOut(format!("the transport, which is at {:?}", self.shared.progress.borrow()))),
        }
    }

    /// The profile that was negotiated, once media can flow.
    pub fn profile(&self) -> Option<SrtpProfile> {
        self.shared.srtp.get().map(Srtp::profile)
    }

    /// The keys that were negotiated, once media can flow.
    pub fn keys(&self) -> Option<SrtpKeys> {
        self.shared.session.get().map(|session| session.keys.clone())
    }

    /// Protects and sends an RTP packet, and counts it in the sender reports.
    pub fn send_rtp(&self, packet: &rtp::packet::Packet) -> Result<(), PeerError> {
        let bytes = packet.marshal().map_err(|error| PeerError::Packet(error.to_string()))?;
        self.send_raw(&self.protect_rtp(&bytes)?)?;
        lock(&self.shared.reports).on_sent(&packet.header, packet.payload.len(), now_ns());
        Ok(())
    }

    /// Protects an RTP packet's bytes with the transport's own keys and state.
    pub fn protect_rtp(&self, packet: &[u8]) -> Result<Bytes, PeerError> {
        self.srtp()?.protect_rtp(packet)
    }

    /// Protects a compound RTCP packet's bytes with the transport's own keys and state.
    pub fn protect_rtcp(&self, packet: &[u8]) -> Result<Bytes, PeerError> {
        self.srtp()?.protect_rtcp(packet)
    }

    /// Sends any bytes from the transport's own socket.
    pub fn send_raw(&self, datagram: &[u8]) -> Result<(), PeerError> {
        Ok(self.shared.link.send(datagram)?)
    }

    /// A check as the transport itself would send it, to be spoilt or sent from elsewhere.
    pub fn binding_request(&self) -> Option<BindingRequest> {
        self.shared.agent.get().map(|agent| lock(agent).request())
    }

    /// Another descriptor of the transport's socket, non-blocking, past the gate.
    pub fn socket(&self) -> Result<UdpSocket, PeerError> {
        Ok(self.shared.link.duplicate()?)
    }

    /// The socket's address.
    pub fn local_address(&self) -> Result<SocketAddr, PeerError> {
        Ok(self.shared.link.local_address()?)
    }

    /// Where the transport sends to, once it is told.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.shared.link.remote_address()
    }

    /// Puts a gate in place of the one before.
    pub fn set_gate(&self, gate: Option<Gate>) {
        self.shared.link.set_gate(gate);
    }

    /// What has arrived so far.
    pub fn reception(&self) -> Reception {
        lock(&self.shared.reception).clone()
    }

    /// Counts packets of `ssrc` as retransmissions (RFC 4588) from now on.
    pub fn expect_retransmissions(&self, ssrc: u32) {
        lock(&self.shared.reception).retransmissions.entry(ssrc).or_default();
    }

    /// What the service has asked of the streams that are sent, after the first `count` things.
    pub fn wishes_since(&self, count: usize) -> Vec<Wish> {
        lock(&self.shared.wishes).since(count).to_vec()
    }

    /// Lets go of a connected transport: its tasks end, and who holds the outcome reads, sends and checks in their
    /// place.
    ///
    /// # Errors
    /// Where the transport is not connected yet.
    pub fn into_established(self) -> Result<Established, PeerError> {
        let missing = || PeerError::Packet("the transport is not connected".into());
        Ok(Established {
            socket: self.socket()?,
            remote: self.remote_address().ok_or_else(missing)?,
            keys: self.keys().ok_or_else(missing)?,
            check: self.binding_request().ok_or_else(missing)?,
        })
    }

    /// Tells the other side by DTLS that the transport ends.
    pub async fn close(self) {
        if let Some(session) = self.shared.session.get() {
            session.close().await;
        }
    }

    fn srtp(&self) -> Result<&Srtp, PeerError> {
        self.shared.srtp.get().ok_or_else(|| PeerError::Packet("there are no keys yet".into()))
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }
}

/// Takes datagrams from the link and hands each to what its first byte names.
async fn run_receive(shared: Arc<Shared>, handshake: mpsc::Sender<Vec<u8>>, role: DtlsRole) {
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    let mut resent_at = None;
    while let Ok(arrival) = shared.link.receive(&mut buffer).await {
        let datagram = &buffer[..arrival.len];
        match datagram.first() {
            Some(0..=3) => shared.handle_stun(datagram, arrival),
            Some(20..=63) => {
                if role == DtlsRole::Server && shared.session.get().is_some() {
                    shared.resend_last_flight(datagram, &mut resent_at);
                }
                // A full queue is a flood; a handshake survives the loss.
                let _ = handshake.try_send(datagram.to_vec());
            }
            Some(128..=191) => shared.handle_media(datagram, arrival),
            _ => {}
        }
    }
}

/// Waits for ICE, then carries out the handshake.
async fn run_handshake(shared: Arc<Shared>, handshake: Handshake) {
    let mut progress = shared.progress.subscribe();
    if progress.wait_for(|progress| progress.is_ice_connected).await.is_err() {
        return;
    }
    let outcome = match handshake.run().await {
        Ok(session) => Srtp::new(&session.keys).map(|srtp| {
            // Each is set here alone and once.
            let _ = shared.srtp.set(srtp);
            let _ = shared.session.set(session);
        }),
        Err(error) => Err(error),
    };
    shared.progress.send_modify(|progress| match outcome {
        Ok(()) => progress.is_dtls_connected = true,
        Err(error) => progress.failure = Some(error.to_string()),
    });
}

/// Sends checks and reports when they are due.
async fn run_timers(shared: Arc<Shared>, ice_mode: IceMode) {
    let mut checks = interval(CHECK_INTERVAL);
    let mut reports = interval(REPORT_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut checked_at = None;
    loop {
        tokio::select! {
            now = checks.tick(), if ice_mode == IceMode::Controlling => {
                let is_connected = shared.progress.borrow().is_ice_connected;
                let is_fresh = checked_at.is_some_and(|checked_at| now - checked_at < CONSENT_INTERVAL);
                if !is_connected || !is_fresh {
                    shared.send_check();
                    checked_at = Some(now);
                }
            }
            _ = reports.tick() => shared.send_reports(),
        }
    }
}

impl Shared {
    fn handle_stun(&self, datagram: &[u8], arrival: Arrival) {
        let Some(agent) = self.agent.get() else { return };
        let outcome = lock(agent).handle_datagram(datagram, arrival.source);
        match outcome {
            IceOutcome::Ignored => return,
            IceOutcome::Checked { answer, is_nominating } => {
                if is_nominating {
                    self.link.set_remote(arrival.source);
                }
                // A lost answer is a lost datagram: the other side checks again.
                let _ = self.link.send_to(&answer, arrival.source);
            }
            IceOutcome::Confirmed => {}
        }
        self.progress.send_if_modified(|progress| !std::mem::replace(&mut progress.is_ice_connected, true));
    }

    fn handle_media(&self, datagram: &[u8], arrival: Arrival) {
        let Some(srtp) = self.srtp.get() else { return };
        // Payload types 64–95 with the marker bit are RTCP (RFC 5761 4).
        let is_rtcp = datagram.get(1).is_some_and(|byte| (192..=223).contains(byte));
        if is_rtcp {
            let compound = srtp.unprotect_rtcp(datagram).and_then(|mut bytes| {
                rtcp::packet::unmarshal(&mut bytes).map_err(|error| PeerError::Packet(error.to_string()))
            });
            match compound {
                Ok(compound) => {
                    lock(&self.reception).rtcp_packets += compound.len() as u64;
                    lock(&self.reports).handle_compound(&compound, arrival.arrived_at_ns);
                    lock(&self.wishes).handle_compound(&compound, arrival.arrived_at_ns);
                }
                Err(_) => lock(&self.reception).unreadable += 1,
            }
        } else {
            let packet = srtp.unprotect_rtp(datagram).and_then(|mut bytes| {
                rtp::packet::Packet::unmarshal(&mut bytes).map_err(|error| PeerError::Packet(error.to_string()))
            });
            match packet {
                Ok(packet) => lock(&self.reception).handle_rtp(&packet, arrival.arrived_at_ns),
                Err(_) => lock(&self.reception).unreadable += 1,
            }
        }
    }

    /// A handshake record of epoch 0 after completion means that the client has not seen our last flight (RFC 6347
    /// 4.2.4).
    fn resend_last_flight(&self, datagram: &[u8], resent_at: &mut Option<Instant>) {
        let is_handshake = datagram.first() == Some(&22) && datagram.get(3..5) == Some(&[0, 0]);
        let now = Instant::now();
        if is_handshake && resent_at.is_none_or(|before| now - before >= RESEND_INTERVAL) {
            *resent_at = Some(now);
            // Lost again, the client asks again.
            let _ = self.link.send(&self.last_flight.datagram());
        }
    }

    fn send_check(&self) {
        let check = self.agent.get().map(|agent| lock(agent).poll_check());
        if let Some(Ok(check)) = check {
            // A lost check is followed by the next.
            let _ = self.link.send(&check);
        }
    }

    fn send_reports(&self) {
        let Some(srtp) = self.srtp.get() else { return };
        let now_ns = now_ns();
        let compound: Compound = {
            let mut reception = lock(&self.reception);
            let streams = reception.streams.iter_mut();
            let losses = streams.filter_map(|(&ssrc, stream)| Some((ssrc, stream.poll_report()?)));
            lock(&self.reports).poll_compound(losses, now_ns)
        };
        let protected = rtcp::packet::marshal(&compound)
            .map_err(|error| PeerError::Packet(error.to_string()))
            .and_then(|bytes| srtp.protect_rtcp(&bytes));
        if let Ok(protected) = protected {
            // A lost report is followed by the next.
            let _ = self.link.send(&protected);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
