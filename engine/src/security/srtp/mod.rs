//! SRTP and SRTCP in place (RFC 3711, RFC 7714).
//!
//! A received packet is opened by [`SrtpReceiver`] right after its route is known, and a copy is closed by [`SrtpSender`]
//! once its header is final; both write over the packet's own bytes and allocate nothing per packet.
//!
//! Receiving RTP has an order: [`ReplayWindow::estimate`] → [`ReplayWindow::check`] → [`SrtpReceiver::unprotect_rtp`] →
//! [`ReplayWindow::accept`]. The window belongs to the stream's owner, so a stranger's packet makes no state here. RTCP
//! comes seldom, and its windows are kept inside.
//!
//! Not here: RTP headers, which the caller has read already; key exchange; unencrypted SRTCP, which DTLS-SRTP never
//! negotiates.

mod counter_mode;
mod gcm;
mod key_derivation;
mod receiver;
mod replay;
mod sender;
#[cfg(test)]
mod tests;

pub use receiver::{RTCP_STREAMS_MAX, SrtpReceiver};
pub use replay::ReplayWindow;
pub use sender::SrtpSender;

use counter_mode::CounterModeCipher;
use gcm::GcmCipher;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::Ssrc;

use crate::wire::sequence::PacketIndex;

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

impl SrtpProfile {
    /// Bytes of the master key, and of the session key that comes from it.
    pub fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmHmacSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt, and of the session salt that comes from it.
    pub fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => gcm::SALT_LEN,
            Self::Aes128CmHmacSha1_80 => counter_mode::SALT_LEN,
        }
    }

    /// Bytes that protection adds to an RTP packet.
    pub fn rtp_overhead(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => gcm::TAG_LEN,
            Self::Aes128CmHmacSha1_80 => counter_mode::TAG_LEN,
        }
    }

    /// Bytes that protection adds to a compound RTCP packet.
    pub fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + RTCP_INDEX_LEN
    }
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

/// Why no context could be made of a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key or the salt is shorter or longer than the profile's.
    #[error("the master key or the master salt has a length that is not the profile's")]
    WrongLength,
    /// The cryptographic library refused the key.
    #[error("the cryptographic library refused the key")]
    Refused,
}

/// Why a packet could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Too short for a header and a tag, or RTCP that does not say that it is encrypted.
    #[error("no protected packet")]
    Malformed,
    /// Seen before, or too old to tell.
    #[error("replayed, or too old to tell")]
    Replayed,
    /// The tag is not the one that the key gives.
    #[error("authentication failed")]
    Unauthenticated,
}

impl From<SrtpError> for DropReason {
    fn from(error: SrtpError) -> Self {
        match error {
            SrtpError::Malformed | SrtpError::Unauthenticated => Self::SrtpUnauthenticated,
            SrtpError::Replayed => Self::SrtpReplayed,
        }
    }
}

/// Bytes of an RTCP header and its sender's SSRC, which are never encrypted (RFC 3711 section 3.4).
const RTCP_HEADER_LEN: usize = 8;

/// Bytes of the encryption flag and the SRTCP index (RFC 3711 section 3.4).
const RTCP_INDEX_LEN: usize = 4;

/// The encryption flag beside the SRTCP index.
const RTCP_ENCRYPTED: u32 = 1 << 31;

/// First SRTP index that one master key must not protect any more (RFC 3711 section 9.2).
const RTP_INDEX_END: u64 = 1 << 48;

/// Index of a compound packet under one key, below 2^31 (RFC 3711 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RtcpIndex(u32);

impl RtcpIndex {
    /// First index that one master key must not protect any more (RFC 3711 section 9.2).
    const END: Self = Self(1 << 31);

    /// The index as it stands on the wire, with the flag that says "encrypted".
    fn trailer(self) -> [u8; RTCP_INDEX_LEN] {
        (self.0 | RTCP_ENCRYPTED).to_be_bytes()
    }

    /// Reads what [`Self::trailer`] writes; `None` where the flag is missing.
    fn from_trailer(trailer: [u8; RTCP_INDEX_LEN]) -> Option<Self> {
        let word = u32::from_be_bytes(trailer);
        (word & RTCP_ENCRYPTED != 0).then_some(Self(word & !RTCP_ENCRYPTED))
    }
}

/// The library refused to work: a length out of its bounds, which no packet has.
struct CipherRefused;

/// Session keys of one direction for RTP, or for RTCP.
enum SessionCipher {
    Gcm(GcmCipher),
    /// Behind a pointer: forty times as large, and seldom chosen.
    CounterMode(Box<CounterModeCipher>),
}

/// The sender's SSRC of a compound packet; `None` where the packet ends before it.
fn rtcp_ssrc(packet: &[u8]) -> Option<Ssrc> {
    let bytes = packet.get(4..RTCP_HEADER_LEN)?;
    Some(Ssrc(u32::from_be_bytes(bytes.try_into().ok()?)))
}

/// The roll-over counter of an index below [`RTP_INDEX_END`], as it stands in counters and under tags.
fn rollover_bytes(index: PacketIndex) -> [u8; 4] {
    index.roll_over().to_be_bytes()
}
