//! The profile AES128_CM_HMAC_SHA1_80 (RFC 3711 sections 4.1.1 and 4.2.1): encrypt, then authenticate.

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};
use aws_lc_rs::iv::FixedLength;
use shard_protocol::tables::Ssrc;

use super::{CipherRefused, KeyError, RTCP_HEADER_LEN, RTCP_INDEX_LEN, RtcpIndex, SrtpError, rollover_bytes};
use crate::wire::sequence::PacketIndex;

/// Bytes of the salt (RFC 3711 section 8.2).
pub(super) const SALT_LEN: usize = 14;

/// Bytes of the key that authenticates (RFC 3711 section 8.2).
pub(super) const AUTHENTICATION_KEY_LEN: usize = 20;

/// Bytes of the tag: 80 bits.
pub(super) const TAG_LEN: usize = 10;

/// A session key, its salt and the key that authenticates.
pub(super) struct CounterModeCipher {
    key: EncryptingKey,
    salt: [u8; SALT_LEN],
    /// Holds the hash of the padded key; a packet begins with a copy of it on the stack.
    authentication: hmac::Key,
}

impl CounterModeCipher {
    /// Takes an encryption key of 16 bytes.
    pub(super) fn new(
        key: &[u8],
        salt: [u8; SALT_LEN],
        authentication_key: &[u8; AUTHENTICATION_KEY_LEN],
    ) -> Result<Self, KeyError> {
        let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| KeyError::Refused)?;
        Ok(Self {
            key: EncryptingKey::ctr(key).map_err(|_| KeyError::Refused)?,
            salt,
            authentication: hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication_key),
        })
    }

    /// Encrypts `packet` behind its header and puts the tag into its last [`TAG_LEN`] bytes.
    pub(super) fn protect_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: PacketIndex,
    ) -> Result<(), CipherRefused> {
        let (packet, room) = packet.split_last_chunk_mut::<TAG_LEN>().ok_or(CipherRefused)?;
        let payload = packet.get_mut(header_len..).ok_or(CipherRefused)?;
        self.apply_keystream(payload, ssrc, index.0)?;
        *room = self.tag(packet, &rollover_bytes(index));
        Ok(())
    }

    /// Checks the tag at the end of `packet` and decrypts what lies between it and the header.
    pub(super) fn unprotect_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: PacketIndex,
    ) -> Result<(), SrtpError> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG_LEN>().ok_or(SrtpError::Malformed)?;
        self.verify(packet, &rollover_bytes(index), tag)?;
        let payload = packet.get_mut(header_len..).ok_or(SrtpError::Malformed)?;
        self.apply_keystream(payload, ssrc, index.0).map_err(|_| SrtpError::Malformed)
    }

    /// Encrypts `packet` behind its first header and puts the index and the tag into its last bytes.
    pub(super) fn protect_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: RtcpIndex) -> Result<(), CipherRefused> {
        let (packet, room) = packet.split_last_chunk_mut::<TAG_LEN>().ok_or(CipherRefused)?;
        let (body, trailer) = packet.split_last_chunk_mut::<RTCP_INDEX_LEN>().ok_or(CipherRefused)?;
        *trailer = index.trailer();
        let payload = body.get_mut(RTCP_HEADER_LEN..).ok_or(CipherRefused)?;
        self.apply_keystream(payload, ssrc, u64::from(index.0))?;
        *room = self.tag(packet, &[]);
        Ok(())
    }

    /// The index of a protected compound packet, which stands before the tag (RFC 3711 section 3.4).
    pub(super) fn rtcp_index(packet: &[u8]) -> Option<RtcpIndex> {
        let (packet, _tag) = packet.split_last_chunk::<TAG_LEN>()?;
        RtcpIndex::from_trailer(*packet.last_chunk()?)
    }

    /// Checks the tag at the end of `packet` and decrypts what lies between the first header and the index.
    pub(super) fn unprotect_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: RtcpIndex) -> Result<(), SrtpError> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG_LEN>().ok_or(SrtpError::Malformed)?;
        self.verify(packet, &[], tag)?;
        let (body, _trailer) = packet.split_last_chunk_mut::<RTCP_INDEX_LEN>().ok_or(SrtpError::Malformed)?;
        let payload = body.get_mut(RTCP_HEADER_LEN..).ok_or(SrtpError::Malformed)?;
        self.apply_keystream(payload, ssrc, u64::from(index.0)).map_err(|_| SrtpError::Malformed)
    }

    /// Encrypts, and by the same act decrypts, `payload` (RFC 3711 section 4.1.1); `index` has 48 bits.
    fn apply_keystream(&self, payload: &mut [u8], ssrc: Ssrc, index: u64) -> Result<(), CipherRefused> {
        let mut counter = [0; 16];
        counter[..SALT_LEN].copy_from_slice(&self.salt);
        for (byte, ssrc) in counter[4..8].iter_mut().zip(ssrc.0.to_be_bytes()) {
            *byte ^= ssrc;
        }
        for (byte, index) in counter[8..14].iter_mut().zip((index << 16).to_be_bytes()) {
            *byte ^= index;
        }
        let context = EncryptionContext::Iv128(FixedLength::from(counter));
        self.key.less_safe_encrypt(payload, context).map_err(|_| CipherRefused)?;
        Ok(())
    }

    /// The tag of `packet` followed by `suffix`, which is authenticated but not sent.
    fn tag(&self, packet: &[u8], suffix: &[u8]) -> [u8; TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.authentication);
        context.update(packet);
        context.update(suffix);
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG_LEN]);
        tag
    }

    fn verify(&self, packet: &[u8], suffix: &[u8], tag: &[u8; TAG_LEN]) -> Result<(), SrtpError> {
        verify_slices_are_equal(&self.tag(packet, suffix), tag).map_err(|_| SrtpError::Unauthenticated)
    }
}
