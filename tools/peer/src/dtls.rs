//! The DTLS handshake, in either role, by `webrtc-dtls` over a link.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use tokio::sync::mpsc;
use webrtc_dtls::config::{ClientAuthType, Config, ExtendedMasterSecretType};
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::crypto::Certificate;
use webrtc_util::{Conn, KeyingMaterialExporter};

use crate::PeerError;
use crate::link::Link;
use crate::srtp::{SrtpKeys, SrtpProfile};

/// The label of the exported keys (RFC 5764 4.2).
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// How long a flight waits for its answer before it is sent again: a browser's first interval.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(50);
/// How long a handshake may take: many flight intervals, so that single losses never end it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Datagrams of a handshake that wait to be read: far more than a whole handshake has.
pub(crate) const INCOMING_MAX: usize = 64;

/// Who begins the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// The participant begins, as browsers do.
    Client,
    /// The service begins.
    Server,
}

impl DtlsRole {
    /// The role as the protocol names it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// A self-signed certificate and its fingerprint.
#[derive(Clone)]
pub struct DtlsIdentity {
    certificate: Certificate,
    fingerprint: String,
}

impl DtlsIdentity {
    /// A new ECDSA P-256 certificate.
    pub fn generate() -> Result<Self, PeerError> {
        install_crypto_provider();
        let certificate = Certificate::generate_self_signed(vec!["peer".to_owned()]).map_err(failed)?;
        let encoded = certificate.certificate.first().ok_or_else(|| PeerError::Dtls("an empty chain".into()))?;
        let fingerprint = fingerprint(&digest::SHA256, encoded.as_ref());
        Ok(Self { certificate, fingerprint })
    }

    /// The sha-256 fingerprint: upper-case hexadecimal, parted by colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What a handshake needs.
pub(crate) struct Handshake {
    pub(crate) link: Arc<Link>,
    pub(crate) incoming: mpsc::Receiver<Vec<u8>>,
    pub(crate) last_flight: Arc<LastFlight>,
    pub(crate) role: DtlsRole,
    pub(crate) profiles: Vec<SrtpProfile>,
    pub(crate) identity: DtlsIdentity,
    /// Algorithm and value of each fingerprint that the other side may have; none means any.
    pub(crate) fingerprints: Vec<(String, String)>,
}

/// A finished handshake. Dropping it ends the tasks of the connection without a word to the other side.
pub(crate) struct DtlsSession {
    pub(crate) keys: SrtpKeys,
    connection: DTLSConn,
}

impl DtlsSession {
    /// Tells the other side that the connection ends.
    pub(crate) async fn close(&self) {
        // The other side may be gone; there is nobody to tell then.
        let _ = self.connection.close().await;
    }
}

impl Handshake {
    /// Carries the handshake out.
    pub(crate) async fn run(self) -> Result<DtlsSession, PeerError> {
        install_crypto_provider();
        let (role, fingerprints) = (self.role, self.fingerprints);
        let config = Config {
            certificates: vec![self.identity.certificate],
            srtp_protection_profiles: self.profiles.iter().map(|profile| profile.negotiable()).collect(),
            client_auth: ClientAuthType::RequireAnyClientCert,
            extended_master_secret: ExtendedMasterSecretType::Require,
            flight_interval: FLIGHT_INTERVAL,
            // Trust comes from the fingerprint, which is compared below.
            insecure_skip_verify: true,
            ..Config::default()
        };
        let carrier = Arc::new(Carrier {
            link: self.link,
            incoming: tokio::sync::Mutex::new(self.incoming),
            last_flight: self.last_flight,
        });
        let handshake = DTLSConn::new(carrier, config, role == DtlsRole::Client, None);
        let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| PeerError::TimedOut("the DTLS handshake".into()))?
            .map_err(failed)?;
        let state = connection.connection_state().await;
        check_fingerprint(&state.peer_certificates, &fingerprints)?;
        let profile = SrtpProfile::negotiated(connection.selected_srtpprotection_profile())
            .ok_or_else(|| PeerError::Dtls("no SRTP profile was negotiated".into()))?;
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        let material = state
            .export_keying_material(EXPORTER_LABEL, &[], 2 * (key_len + salt_len))
            .await
            .map_err(|error| PeerError::Dtls(error.to_string()))?;
        Ok(DtlsSession { keys: slice_keys(profile, role, &material)?, connection })
    }
}

/// Cuts the exported bytes: client key, server key, client salt, server salt (RFC 5764 4.2).
fn slice_keys(profile: SrtpProfile, role: DtlsRole, material: &[u8]) -> Result<SrtpKeys, PeerError> {
    let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
    let (Some((keys, salts)), true) =
        (material.split_at_checked(2 * key_len), material.len() == 2 * (key_len + salt_len))
    else {
        return Err(PeerError::Dtls("the exported keys have the wrong length".into()));
    };
    let (client_key, server_key) = keys.split_at(key_len);
    let (client_salt, server_salt) = salts.split_at(salt_len);
    let client = (client_key.to_vec(), client_salt.to_vec());
    let server = (server_key.to_vec(), server_salt.to_vec());
    Ok(match role {
        DtlsRole::Client => SrtpKeys { profile, local: client, remote: server },
        DtlsRole::Server => SrtpKeys { profile, local: server, remote: client },
    })
}

fn check_fingerprint(certificates: &[Vec<u8>], fingerprints: &[(String, String)]) -> Result<(), PeerError> {
    let certificate = certificates.first().ok_or_else(|| PeerError::Dtls("no certificate was shown".into()))?;
    let is_matching = fingerprints.is_empty()
        || fingerprints.iter().any(|(name, value)| {
            let algorithm = match name.as_str() {
                "sha-256" => &digest::SHA256,
                "sha-384" => &digest::SHA384,
                "sha-512" => &digest::SHA512,
                _ => return false,
            };
            fingerprint(algorithm, certificate).eq_ignore_ascii_case(value)
        });
    if is_matching { Ok(()) } else { Err(PeerError::Dtls("the certificate has another fingerprint".into())) }
}

fn fingerprint(algorithm: &'static digest::Algorithm, certificate: &[u8]) -> String {
    let octets: Vec<String> =
        digest::digest(algorithm, certificate).as_ref().iter().map(|octet| format!("{octet:02X}")).collect();
    octets.join(":")
}

fn failed(error: webrtc_dtls::Error) -> PeerError {
    PeerError::Dtls(error.to_string())
}

/// `webrtc-dtls` and encrypted WebSockets ask rustls for its default provider, and panic without one.
pub(crate) fn install_crypto_provider() {
    static INSTALLED: Once = Once::new();
    // A second installation is refused, and the first serves as well.
    INSTALLED.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
}

/// The last datagram that a handshake sent. `webrtc-dtls` as a server never repeats its last flight, so a loss of it would
/// hang the client; a browser repeats it, and so does the transport, from here.
#[derive(Default)]
pub(crate) struct LastFlight(Mutex<Vec<u8>>);

impl LastFlight {
    pub(crate) fn datagram(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, datagram: &[u8]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = datagram.to_vec();
    }
}

/// The link as `webrtc-dtls` wants it: what arrives comes through a queue that the transport fills.
struct Carrier {
    link: Arc<Link>,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Vec<u8>>>,
    last_flight: Arc<LastFlight>,
}

type ConnResult<T> = Result<T, webrtc_util::Error>;

#[async_trait]
impl Conn for Carrier {
    async fn connect(&self, _: SocketAddr) -> ConnResult<()> {
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> ConnResult<usize> {
        match self.incoming.lock().await.recv().await {
            Some(datagram) => {
                let len = datagram.len().min(buffer.len());
                buffer[..len].copy_from_slice(&datagram[..len]);
                Ok(len)
            }
            // An error would make the reader spin; the connection is dropped soon.
            None => std::future::pending().await,
        }
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> ConnResult<(usize, SocketAddr)> {
        let len = self.recv(buffer).await?;
        Ok((len, self.local_addr()?))
    }

    async fn send(&self, datagram: &[u8]) -> ConnResult<usize> {
        self.last_flight.remember(datagram);
        self.link.send(datagram)?;
        Ok(datagram.len())
    }

    async fn send_to(&self, datagram: &[u8], _: SocketAddr) -> ConnResult<usize> {
        self.send(datagram).await
    }

    fn local_addr(&self) -> ConnResult<SocketAddr> {
        Ok(self.link.local_address()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> ConnResult<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_roles_cut_the_same_keys_from_the_exported_bytes() {
        for profile in SrtpProfile::ALL {
            let material: Vec<u8> =
                (0..2 * (profile.key_len() + profile.salt_len())).map(|place| place as u8).collect();
            let client = slice_keys(profile, DtlsRole::Client, &material).expect("the client's keys");
            let server = slice_keys(profile, DtlsRole::Server, &material).expect("the server's keys");
            assert_eq!(client.local, server.remote);
            assert_eq!(client.remote, server.local);
            assert_ne!(client.local, client.remote);
            assert!(slice_keys(profile, DtlsRole::Client, &material[1..]).is_err());
        }
    }
}
