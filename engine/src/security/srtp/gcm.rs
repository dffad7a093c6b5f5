//! The AES-GCM profiles (RFC 7714): one pass encrypts and authenticates.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use shard_protocol::tables::Ssrc;

use super::{CipherRefused, KeyError, RTCP_HEADER_LEN, RTCP_INDEX_LEN, RtcpIndex, SrtpError, rollover_bytes};
use crate::wire::sequence::PacketIndex;

/// Bytes of the salt (RFC 7714 section 12).
pub(super) const SALT_LEN: usize = 12;

/// Bytes of the tag (RFC 7714 section 5.2); both profiles have the full one.
pub(super) const TAG_LEN: usize = 16;

/// A session key and its salt.
pub(super) struct GcmCipher {
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
}

impl GcmCipher {
    /// Takes a key of 16 or 32 bytes.
    pub(super) fn new(key: &[u8], salt: [u8; SALT_LEN]) -> Result<Self, KeyError> {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// Encrypts `packet` behind its header and puts the tag into its last [`TAG_LEN`] bytes.
    pub(super) fn protect_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: PacketIndex,
    ) -> Result<(), CipherRefused> {
        let (header, body) = packet.split_at_mut_checked(header_len).ok_or(CipherRefused)?;
        self.seal(self.rtp_nonce(ssrc, index), header, body)
    }

    /// Checks the tag at the end of `packet` and decrypts what lies between it and the header.
    pub(super) fn unprotect_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: PacketIndex,
    ) -> Result<(), SrtpError> {
        let (header, body) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::Malformed)?;
        self.open(self.rtp_nonce(ssrc, index), header, body)
    }

    /// Encrypts `packet` behind its first header and puts the tag and the index into its last bytes.
    pub(super) fn protect_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: RtcpIndex) -> Result<(), CipherRefused> {
        let (packet, trailer) = packet.split_last_chunk_mut::<RTCP_INDEX_LEN>().ok_or(CipherRefused)?;
        *trailer = index.trailer();
        let (header, body) = packet.split_first_chunk_mut::<RTCP_HEADER_LEN>().ok_or(CipherRefused)?;
        self.seal(self.rtcp_nonce(ssrc, index), &rtcp_associated_data(header, trailer), body)
    }

    /// The index of a protected compound packet: its last bytes (RFC 7714 section 9.2).
    pub(super) fn rtcp_index(packet: &[u8]) -> Option<RtcpIndex> {
        RtcpIndex::from_trailer(*packet.last_chunk()?)
    }

    /// Checks the tag before the index of `packet` and decrypts what lies between it and the first header.
    pub(super) fn unprotect_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: RtcpIndex) -> Result<(), SrtpError> {
        let (packet, trailer) = packet.split_last_chunk_mut().ok_or(SrtpError::Malformed)?;
        let (header, body) = packet.split_first_chunk_mut().ok_or(SrtpError::Malformed)?;
        self.open(self.rtcp_nonce(ssrc, index), &rtcp_associated_data(header, trailer), body)
    }

    fn seal(&self, nonce: Nonce, associated_data: &[u8], body: &mut [u8]) -> Result<(), CipherRefused> {
        let (plaintext, room) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(CipherRefused)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(associated_data), plaintext)
            .map_err(|_| CipherRefused)?;
        room.copy_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&self, nonce: Nonce, associated_data: &[u8], body: &mut [u8]) -> Result<(), SrtpError> {
        self.key
            .open_in_place(nonce, Aad::from(associated_data), body)
            .map(|_| ())
            .map_err(|_| SrtpError::Unauthenticated)
    }

    /// RFC 7714 section 8.1.
    fn rtp_nonce(&self, ssrc: Ssrc, index: PacketIndex) -> Nonce {
        let mut nonce = [0; SALT_LEN];
        nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
        nonce[6..10].copy_from_slice(&rollover_bytes(index));
        nonce[10..12].copy_from_slice(&index.sequence().0.to_be_bytes());
        self.salted(nonce)
    }

    /// RFC 7714 section 9.1.
    fn rtcp_nonce(&self, ssrc: Ssrc, index: RtcpIndex) -> Nonce {
        let mut nonce = [0; SALT_LEN];
        nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
        nonce[8..12].copy_from_slice(&index.0.to_be_bytes());
        self.salted(nonce)
    }

    fn salted(&self, mut nonce: [u8; SALT_LEN]) -> Nonce {
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What is authenticated and not encrypted in SRTCP: the first header and the index (RFC 7714 section 9.2).
fn rtcp_associated_data(
    header: &[u8; RTCP_HEADER_LEN],
    trailer: &[u8; RTCP_INDEX_LEN],
) -> [u8; RTCP_HEADER_LEN + RTCP_INDEX_LEN] {
    let mut data = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
    data[..RTCP_HEADER_LEN].copy_from_slice(header);
    data[RTCP_HEADER_LEN..].copy_from_slice(trailer);
    data
}
