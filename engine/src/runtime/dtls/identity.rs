//! The certificate by which peers know the service, and fingerprints.

use aws_lc_rs::digest;
use shard_protocol::tables::Fingerprint;
use webrtc_dtls::crypto::Certificate;

use super::DtlsStartError;

/// The name in the certificate. Nobody checks it: the fingerprint in signaling is what counts (RFC 8827 section 6.5).
pub(super) const NAME: &str = "voice-service.invalid";

/// One self-signed ECDSA P-256 certificate, the kind that every WebRTC peer takes (RFC 8827 section 6.5). It lives as long
/// as the process, and its key never leaves it.
pub(super) struct Identity {
    pub(super) certificate: Certificate,
    der: Vec<u8>,
}

impl Identity {
    /// Makes key and certificate.
    pub(super) fn generate() -> Result<Self, DtlsStartError> {
        // Two providers are among the dependencies, and the library asks for "the" one. Fails only where there is one
        // already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificate = Certificate::generate_self_signed([NAME.to_owned()]).map_err(DtlsStartError::Certificate)?;
        let der = certificate.certificate.first().map(|der| der.as_ref().to_vec()).unwrap_or_default();
        Ok(Self { certificate, der })
    }

    /// The certificate's fingerprints, SHA-256 last.
    pub(super) fn fingerprints(&self) -> [Fingerprint; 3] {
        [
            Fingerprint::Sha512(hash(&digest::SHA512, &self.der)),
            Fingerprint::Sha384(hash(&digest::SHA384, &self.der)),
            Fingerprint::Sha256(hash(&digest::SHA256, &self.der)),
        ]
    }
}

/// Whether the certificate `der` has one of `fingerprints`.
pub(super) fn is_announced(der: &[u8], fingerprints: &[Fingerprint]) -> bool {
    fingerprints.iter().any(|fingerprint| match fingerprint {
        Fingerprint::Sha256(announced) => *announced == hash(&digest::SHA256, der),
        Fingerprint::Sha384(announced) => *announced == hash(&digest::SHA384, der),
        Fingerprint::Sha512(announced) => *announced == hash(&digest::SHA512, der),
    })
}

fn hash<const LEN: usize>(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> [u8; LEN] {
    let mut hash = [0; LEN];
    let digest = digest::digest(algorithm, bytes);
    // Both have the algorithm's length.
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fingerprint_is_that_of_the_certificate_and_of_no_other() {
        let (identity, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        for fingerprint in identity.fingerprints() {
            assert!(is_announced(&identity.der, std::slice::from_ref(&fingerprint)));
            assert!(!is_announced(&other.der, std::slice::from_ref(&fingerprint)));
        }
        assert!(matches!(identity.fingerprints().last(), Some(Fingerprint::Sha256(_))));
        assert!(!is_announced(&identity.der, &[]));
    }

    #[test]
    fn hashes_are_those_of_the_standard() {
        // FIPS 180-4's message "abc".
        let abc: [u8; 32] = hash(&digest::SHA256, b"abc");
        assert_eq!(abc[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
        let abc: [u8; 48] = hash(&digest::SHA384, b"abc");
        assert_eq!(abc[..8], [0xcb, 0x00, 0x75, 0x3f, 0x45, 0xa3, 0x5e, 0x8b]);
        let abc: [u8; 64] = hash(&digest::SHA512, b"abc");
        assert_eq!(abc[..8], [0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba]);
    }
}
