//! SRTP contexts of one transport, by `webrtc-srtp`.
//!
//! The receiving context has no replay protection, on purpose: what the service repeats must be seen, not swallowed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use webrtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use crate::PeerError;

/// A protection profile of DTLS-SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpProfile {
    /// AES128_CM_HMAC_SHA1_80 (RFC 5764), the mandatory one.
    Aes128CmSha1Tag80,
    /// AEAD_AES_128_GCM (RFC 7714).
    Aes128Gcm,
    /// AEAD_AES_256_GCM (RFC 7714).
    Aes256Gcm,
}

impl SrtpProfile {
    /// All of them, in the order in which Chromium offers them.
    pub const ALL: [Self; 3] = [Self::Aes128CmSha1Tag80, Self::Aes128Gcm, Self::Aes256Gcm];

    /// The length of a master key in bytes.
    pub fn key_len(self) -> usize {
        self.protection().key_len()
    }

    /// The length of a master salt in bytes.
    pub fn salt_len(self) -> usize {
        self.protection().salt_len()
    }

    fn protection(self) -> ProtectionProfile {
        match self {
            Self::Aes128CmSha1Tag80 => ProtectionProfile::Aes128CmHmacSha1_80,
            Self::Aes128Gcm => ProtectionProfile::AeadAes128Gcm,
            Self::Aes256Gcm => ProtectionProfile::AeadAes256Gcm,
        }
    }

    pub(crate) fn negotiable(self) -> SrtpProtectionProfile {
        match self {
            Self::Aes128CmSha1Tag80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            Self::Aes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            Self::Aes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        }
    }

    pub(crate) fn negotiated(profile: SrtpProtectionProfile) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| candidate.negotiable() == profile)
    }
}

/// The master keys and salts of both directions.
#[derive(Clone)]
pub struct SrtpKeys {
    /// The profile that they are for.
    pub profile: SrtpProfile,
    /// Key and salt of what we send.
    pub local: (Vec<u8>, Vec<u8>),
    /// Key and salt of what we receive.
    pub remote: (Vec<u8>, Vec<u8>),
}

impl SrtpKeys {
    /// Keys that nobody else has.
    pub fn random(profile: SrtpProfile) -> Self {
        let bytes = |len| (0..len).map(|_| rand::random()).collect::<Vec<u8>>();
        let master = || (bytes(profile.key_len()), bytes(profile.salt_len()));
        Self { profile, local: master(), remote: master() }
    }
}

/// Protects what is sent and unprotects what is received.
pub struct Srtp {
    profile: SrtpProfile,
    outbound: Mutex<Context>,
    inbound: Mutex<Context>,
}

impl Srtp {
    /// Contexts with fresh state from `keys`.
    pub fn new(keys: &SrtpKeys) -> Result<Self, PeerError> {
        let context = |(key, salt): &(Vec<u8>, Vec<u8>)| {
            Context::new(key, salt, keys.profile.protection(), None, None).map(Mutex::new).map_err(unusable)
        };
        Ok(Self { profile: keys.profile, outbound: context(&keys.local)?, inbound: context(&keys.remote)? })
    }

    /// The profile in use.
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Protects an RTP packet; its header must be readable, what follows may be anything.
    pub fn protect_rtp(&self, packet: &[u8]) -> Result<Bytes, PeerError> {
        lock(&self.outbound).encrypt_rtp(packet).map_err(unusable)
    }

    /// Protects a compound RTCP packet; its first eight bytes must be a header and an SSRC, what follows may be anything.
    pub fn protect_rtcp(&self, packet: &[u8]) -> Result<Bytes, PeerError> {
        lock(&self.outbound).encrypt_rtcp(packet).map_err(unusable)
    }

    /// Unprotects an RTP packet; an error means that it is not authentic.
    pub fn unprotect_rtp(&self, packet: &[u8]) -> Result<Bytes, PeerError> {
        lock(&self.inbound).decrypt_rtp(packet).map_err(unusable)
    }

    /// Unprotects a compound RTCP packet; an error means that it is not authentic.
    pub fn unprotect_rtcp(&self, packet: &[u8]) -> Result<Bytes, PeerError> {
        lock(&self.inbound).decrypt_rtcp(packet).map_err(unusable)
    }
}

fn lock(context: &Mutex<Context>) -> MutexGuard<'_, Context> {
    context.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unusable(error: webrtc_srtp::Error) -> PeerError {
    PeerError::Packet(error.to_string())
}
