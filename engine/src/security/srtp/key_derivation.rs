//! Session keys from a master key (RFC 3711 section 4.3, RFC 7714 section 11).

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::counter_mode::{self, CounterModeCipher};
use super::gcm::{self, GcmCipher};
use super::{KeyError, SessionCipher, SrtpMaster, SrtpProfile};

/// Which packets a session key is for; the value is the label of its encryption key (RFC 3711 section 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum PacketKind {
    /// SRTP.
    Rtp = 0,
    /// SRTCP.
    Rtcp = 3,
}

impl PacketKind {
    fn encryption_label(self) -> u8 {
        self as u8
    }

    fn authentication_label(self) -> u8 {
        self as u8 + 1
    }

    fn salt_label(self) -> u8 {
        self as u8 + 2
    }
}

/// Makes the session keys of `kind`.
pub(super) fn derive_cipher(
    profile: SrtpProfile,
    master: &SrtpMaster,
    kind: PacketKind,
) -> Result<SessionCipher, KeyError> {
    let derivation = KeyDerivation::new(profile, master)?;
    let mut key = [0; KEY_LEN_MAX];
    let key = &mut key[..profile.key_len()];
    derivation.fill(kind.encryption_label(), key)?;
    match profile {
        SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => {
            let mut salt = [0; gcm::SALT_LEN];
            derivation.fill(kind.salt_label(), &mut salt)?;
            Ok(SessionCipher::Gcm(GcmCipher::new(key, salt)?))
        }
        SrtpProfile::Aes128CmHmacSha1_80 => {
            let mut salt = [0; counter_mode::SALT_LEN];
            derivation.fill(kind.salt_label(), &mut salt)?;
            let mut authentication_key = [0; counter_mode::AUTHENTICATION_KEY_LEN];
            derivation.fill(kind.authentication_label(), &mut authentication_key)?;
            let cipher = CounterModeCipher::new(key, salt, &authentication_key)?;
            Ok(SessionCipher::CounterMode(Box::new(cipher)))
        }
    }
}

/// The longest key of any profile.
const KEY_LEN_MAX: usize = 32;

/// Where the label meets the salt: a label is followed by 48 bits, the packet index divided by a derivation rate of 0.
const LABEL_OFFSET: usize = counter_mode::SALT_LEN - 7;

/// The pseudo-random function of a master key: AES in counter mode (RFC 3711 section 4.3.3, RFC 6188 section 3).
struct KeyDerivation {
    key: EncryptingKey,
    /// Of 14 bytes in every profile; a shorter salt is followed by zeros (RFC 7714 section 11).
    salt: [u8; counter_mode::SALT_LEN],
}

impl KeyDerivation {
    fn new(profile: SrtpProfile, master: &SrtpMaster) -> Result<Self, KeyError> {
        if master.key.len() != profile.key_len() || master.salt.len() != profile.salt_len() {
            return Err(KeyError::WrongLength);
        }
        let algorithm = match profile {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmHmacSha1_80 => &AES_128,
            SrtpProfile::AeadAes256Gcm => &AES_256,
        };
        let key = UnboundCipherKey::new(algorithm, &master.key).map_err(|_| KeyError::Refused)?;
        let key = EncryptingKey::ctr(key).map_err(|_| KeyError::Refused)?;
        let mut salt = [0; counter_mode::SALT_LEN];
        salt[..master.salt.len()].copy_from_slice(&master.salt);
        Ok(Self { key, salt })
    }

    /// Fills `output` with the keystream that belongs to `label`.
    fn fill(&self, label: u8, output: &mut [u8]) -> Result<(), KeyError> {
        let mut counter = [0; 16];
        counter[..self.salt.len()].copy_from_slice(&self.salt);
        counter[LABEL_OFFSET] ^= label;
        output.fill(0);
        let context = EncryptionContext::Iv128(FixedLength::from(counter));
        self.key.less_safe_encrypt(output, context).map_err(|_| KeyError::Refused)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::srtp::tests::unhex;

    #[test]
    fn the_vectors_of_rfc_3711_b_3_come_out() {
        let master =
            SrtpMaster { key: unhex("E1F97A0D3E018BE0D64FA32C06DE4139"), salt: unhex("0EC675AD498AFEEBB6960B3AABE6") };
        let derivation = KeyDerivation::new(SrtpProfile::Aes128CmHmacSha1_80, &master).unwrap();
        let derive = |label, len| {
            let mut output = vec![0xff; len];
            derivation.fill(label, &mut output).unwrap();
            output
        };
        assert_eq!(derive(PacketKind::Rtp.encryption_label(), 16), unhex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derive(PacketKind::Rtp.salt_label(), 14), unhex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            derive(PacketKind::Rtp.authentication_label(), 94),
            unhex(
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF7227098\
                 6371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
            )
        );
    }

    #[test]
    fn a_master_key_or_salt_of_another_length_is_refused() {
        for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80] {
            for (key_len, salt_len) in [(15, 12), (16, 13), (24, 14), (32, 14), (0, 0), (33, 12), (16, 15)] {
                let master = SrtpMaster { key: vec![1; key_len], salt: vec![2; salt_len] };
                assert_eq!(
                    derive_cipher(profile, &master, PacketKind::Rtp).err(),
                    Some(KeyError::WrongLength),
                    "{profile:?} {key_len} {salt_len}"
                );
            }
        }
    }
}
