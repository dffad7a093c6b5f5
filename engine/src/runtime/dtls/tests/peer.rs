//! The other side of a handshake: webrtc-dtls as a browser uses it, on a pipe of its own.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shard_protocol::tables::{DtlsRole, Fingerprint};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use webrtc_dtls::cipher_suite::CipherSuiteId;
use webrtc_dtls::config::{ClientAuthType, Config};
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use webrtc_util::{Conn, Error, KeyingMaterialExporter};

use crate::runtime::dtls::handshake::protection_profile;
use crate::runtime::dtls::identity::{Identity, is_announced};
use crate::security::srtp::{SrtpKeys, SrtpMaster, SrtpProfile};

type Result<T> = std::result::Result<T, Error>;

/// How a peer behaves.
#[derive(Clone)]
pub(super) struct Behaviour {
    /// The peer's own role.
    pub(super) role: DtlsRole,
    /// What it offers or takes, in its order.
    pub(super) profiles: Vec<SrtpProfile>,
    /// Bytes after which it cuts its messages and datagrams.
    pub(super) mtu: usize,
    /// Whether it shows a certificate although it is client.
    pub(super) has_certificate: bool,
    /// The cipher suites; all of the library's where there is none.
    pub(super) cipher_suites: Vec<CipherSuiteId>,
}

impl Behaviour {
    /// Chromium: SHA1-80 first.
    pub(super) fn browser(role: DtlsRole) -> Self {
        let profiles = vec![SrtpProfile::Aes128CmHmacSha1_80, SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm];
        Self { role, profiles, mtu: 1200, has_certificate: true, cipher_suites: vec![] }
    }

    pub(super) fn with_profiles(self, profiles: &[SrtpProfile]) -> Self {
        Self { profiles: profiles.to_vec(), ..self }
    }

    pub(super) fn with_mtu(self, mtu: usize) -> Self {
        Self { mtu, ..self }
    }
}

/// A peer at work.
pub(super) struct Peer {
    pub(super) role: DtlsRole,
    pub(super) to_peer: UnboundedSender<Vec<u8>>,
    pub(super) from_peer: UnboundedReceiver<Vec<u8>>,
    /// Its keys, and as server its last flight.
    pub(super) task: JoinHandle<std::result::Result<Connected, webrtc_dtls::Error>>,
}

/// A peer that is through.
pub(super) struct Connected {
    pub(super) keys: SrtpKeys,
    pub(super) last_flight: Option<Vec<u8>>,
}

/// Starts a peer that knows the service by `fingerprints`.
pub(super) fn start(identity: &Identity, behaviour: &Behaviour, fingerprints: Vec<Fingerprint>) -> Peer {
    let (to_peer, inbound) = mpsc::unbounded_channel();
    let (outbound, from_peer) = mpsc::unbounded_channel();
    let is_client = behaviour.role == DtlsRole::Client;
    let has_certificate = behaviour.has_certificate;
    let config = Config {
        certificates: if has_certificate { vec![identity.certificate.clone()] } else { vec![] },
        cipher_suites: behaviour.cipher_suites.clone(),
        srtp_protection_profiles: behaviour.profiles.iter().copied().map(protection_profile).collect(),
        client_auth: ClientAuthType::RequireAnyClientCert,
        insecure_skip_verify: true,
        verify_peer_certificate: Some(Arc::new(move |chain, _| {
            assert!(is_announced(&chain[0], &fingerprints), "the service shows the certificate that it announced");
            Ok(())
        })),
        flight_interval: Duration::from_millis(50),
        mtu: behaviour.mtu,
        server_name: "service".to_owned(),
        ..Config::default()
    };
    let task = tokio::spawn(async move {
        let pipe =
            Arc::new(PeerPipe { inbound: tokio::sync::Mutex::new(inbound), outbound, last_flight: Mutex::default() });
        let connection = DTLSConn::new(Arc::<PeerPipe>::clone(&pipe), config, is_client, None).await?;
        let keys = keys(&connection, is_client).await;
        let last_flight = if is_client { None } else { pipe.last_flight.lock().unwrap().take() };
        Ok(Connected { keys, last_flight })
    });
    Peer { role: behaviour.role, to_peer, from_peer, task }
}

/// The keys of RFC 5764 section 4.2, written apart from the service's own way to them.
async fn keys(connection: &DTLSConn, is_client: bool) -> SrtpKeys {
    let (profile, key, salt) = match connection.selected_srtpprotection_profile() {
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => (SrtpProfile::AeadAes128Gcm, 16, 12),
        SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => (SrtpProfile::AeadAes256Gcm, 32, 12),
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => (SrtpProfile::Aes128CmHmacSha1_80, 16, 14),
        other => panic!("no profile for {other:?}"),
    };
    let state = connection.connection_state().await;
    let all = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], 2 * key + 2 * salt).await.unwrap();
    let master = |side: usize| SrtpMaster {
        key: all[side * key..][..key].to_vec(),
        salt: all[2 * key + side * salt..][..salt].to_vec(),
    };
    let (own, other) = if is_client { (0, 1) } else { (1, 0) };
    SrtpKeys { profile, local: master(own), remote: master(other) }
}

struct PeerPipe {
    inbound: tokio::sync::Mutex<UnboundedReceiver<Vec<u8>>>,
    outbound: UnboundedSender<Vec<u8>>,
    last_flight: Mutex<Option<Vec<u8>>>,
}

#[async_trait]
impl Conn for PeerPipe {
    async fn connect(&self, _addr: SocketAddr) -> Result<()> {
        unreachable!()
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        let Some(datagram) = self.inbound.lock().await.recv().await else { return std::future::pending().await };
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }

    async fn recv_from(&self, _buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        unreachable!()
    }

    async fn send(&self, datagram: &[u8]) -> Result<usize> {
        if datagram[0] == 20 {
            *self.last_flight.lock().unwrap() = Some(datagram.to_vec());
        }
        let _ = self.outbound.send(datagram.to_vec());
        Ok(datagram.len())
    }

    async fn send_to(&self, _datagram: &[u8], _target: SocketAddr) -> Result<usize> {
        unreachable!()
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        unreachable!()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
