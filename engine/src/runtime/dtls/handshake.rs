//! One handshake, from its first datagram to SRTP keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use shard_protocol::event::TransportCloseReason;
use shard_protocol::ids::TransportId;
use shard_protocol::tables::{DtlsRole, DtlsTable};
use tokio::sync::mpsc;
use webrtc_dtls::cipher_suite::CipherSuiteId;
use webrtc_dtls::config::{ClientAuthType, Config, ExtendedMasterSecretType};
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use webrtc_util::KeyingMaterialExporter;

use super::Outbox;
use super::identity::{self, Identity};
use super::pipe::{Inbound, Pipe};
use crate::security::dtls::choose_profile;
use crate::security::srtp::{SrtpKeys, SrtpMaster, SrtpProfile};

/// How often the service repeats a flight. Browsers begin with 50 ms and double it; a constant 100 ms overtakes that
/// after the second loss, and is longer than most round trips.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);

/// The label of the keys' export, RFC 5764 section 4.2.
const EXPORT_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// What a handshake that came to its end leaves.
pub(super) struct Established {
    pub(super) keys: SrtpKeys,
    pub(super) last_flight: Option<Box<[u8]>>,
}

/// Carries out one handshake; it takes as long as the peer lets it.
pub(super) async fn run(
    identity: Arc<Identity>,
    transport: TransportId,
    table: DtlsTable,
    datagrams: mpsc::Receiver<Box<[u8]>>,
    outbox: Arc<Outbox>,
) -> Result<Established, TransportCloseReason> {
    let mut inbound = Inbound::new(datagrams, Arc::clone(&outbox));
    let is_client = table.role == DtlsRole::Client;
    let profiles = if is_client {
        vec![SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80]
    } else {
        // The library takes the first profile of the client's list that it has, so it is given no choice.
        let hello = inbound.client_hello().await.ok_or(TransportCloseReason::DtlsFailed)?;
        vec![choose_profile(hello).ok_or(TransportCloseReason::DtlsFailed)?]
    };
    let verdict = Arc::new(CertificateVerdict::default());
    let config = config(&identity, is_client, &profiles, Arc::clone(&verdict), table);
    let pipe = Arc::new(Pipe::new(transport, inbound, outbox));
    let connection = DTLSConn::new(Arc::<Pipe>::clone(&pipe), config, is_client, None).await;
    let connection = match connection {
        Ok(connection) if verdict.is_accepted() => connection,
        Ok(_) => return Err(TransportCloseReason::DtlsFailed),
        Err(error) => {
            tracing::debug!(%transport, %error, "DTLS handshake failed");
            return Err(verdict.close_reason());
        }
    };
    let keys = export_keys(&connection, is_client).await.ok_or(TransportCloseReason::DtlsFailed)?;
    let last_flight = if is_client { None } else { pipe.take_last_flight() };
    Ok(Established { keys, last_flight })
}

fn config(
    identity: &Identity,
    is_client: bool,
    profiles: &[SrtpProfile],
    verdict: Arc<CertificateVerdict>,
    table: DtlsTable,
) -> Config {
    // The suite that every WebRTC peer has (RFC 8827 section 6.5); as client also its twin, for peers whose certificate
    // is RSA. The library's other suites trust the lengths of encrypted records.
    let mut cipher_suites = vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256];
    if is_client {
        cipher_suites.push(CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256);
    }
    Config {
        certificates: vec![identity.certificate.clone()],
        cipher_suites,
        srtp_protection_profiles: profiles.iter().copied().map(protection_profile).collect(),
        client_auth: ClientAuthType::RequireAnyClientCert,
        // Binds the keys to all that was said before them; every browser has it (RFC 7627).
        extended_master_secret: ExtendedMasterSecretType::Require,
        flight_interval: FLIGHT_INTERVAL,
        // Certificates are self-signed: not a chain but the fingerprint in signaling makes them trusted.
        insecure_skip_verify: true,
        verify_peer_certificate: Some(Arc::new(move |chain, _| {
            let is_announced = chain.first().is_some_and(|der| identity::is_announced(der, &table.fingerprints));
            verdict.set(is_announced);
            if is_announced { Ok(()) } else { Err(webrtc_dtls::Error::ErrInvalidCertificate) }
        })),
        // Left empty, the library asks the pipe for an address.
        server_name: identity::NAME.to_owned(),
        ..Config::default()
    }
}

/// What became of the peer's certificate; set by the library's question for it.
#[derive(Default)]
struct CertificateVerdict(AtomicU8);

impl CertificateVerdict {
    const ACCEPTED: u8 = 1;
    const REFUSED: u8 = 2;

    /// A certificate that was refused once stays refused.
    fn set(&self, is_announced: bool) {
        let verdict = if is_announced { Self::ACCEPTED } else { Self::REFUSED };
        self.0.fetch_max(verdict, Ordering::Relaxed);
    }

    fn is_accepted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::ACCEPTED
    }

    fn close_reason(&self) -> TransportCloseReason {
        match self.0.load(Ordering::Relaxed) {
            Self::REFUSED => TransportCloseReason::FingerprintMismatch,
            _ => TransportCloseReason::DtlsFailed,
        }
    }
}

/// Exports the keys of both directions: client key, server key, client salt, server salt (RFC 5764 section 4.2).
async fn export_keys(connection: &DTLSConn, is_client: bool) -> Option<SrtpKeys> {
    let (profile, key_len, salt_len) = match connection.selected_srtpprotection_profile() {
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => (SrtpProfile::AeadAes128Gcm, 16, 12),
        SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => (SrtpProfile::AeadAes256Gcm, 32, 12),
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => (SrtpProfile::Aes128CmHmacSha1_80, 16, 14),
        _ => return None,
    };
    let state = connection.connection_state().await;
    let material = state.export_keying_material(EXPORT_LABEL, &[], 2 * (key_len + salt_len)).await.ok()?;
    let (client_key, rest) = material.split_at_checked(key_len)?;
    let (server_key, rest) = rest.split_at_checked(key_len)?;
    let (client_salt, server_salt) = rest.split_at_checked(salt_len)?;
    let client = SrtpMaster { key: client_key.to_vec(), salt: client_salt.to_vec() };
    let server = SrtpMaster { key: server_key.to_vec(), salt: server_salt.to_vec() };
    let (local, remote) = if is_client { (client, server) } else { (server, client) };
    Some(SrtpKeys { profile, local, remote })
}

/// The profile as the library knows it.
pub(super) fn protection_profile(profile: SrtpProfile) -> SrtpProtectionProfile {
    match profile {
        SrtpProfile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        SrtpProfile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}
