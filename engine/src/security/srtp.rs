//! SRTP and SRTCP in place (RFC 3711, RFC 7714).

/// Protection profiles of DTLS-SRTP (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpProfile {
    /// SRTP_AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// SRTP_AEAD_AES_256_GCM.
    AeadAes256Gcm,
    /// SRTP_AES128_CM_HMAC_SHA1_80.
    Aes128CmHmacSha1_80,
}

/// Master key and master salt of one direction; as many bytes as the profile has.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpMaster {
    /// The key, 16 or 32 bytes.
    pub key: Vec<u8>,
    /// The salt, 12 or 14 bytes.
    pub salt: Vec<u8>,
}

/// What a DTLS handshake exported.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// The profile that both sides chose.
    pub profile: SrtpProfile,
    /// For what the service sends.
    pub local: SrtpMaster,
    /// For what the peer sends.
    pub remote: SrtpMaster,
}
