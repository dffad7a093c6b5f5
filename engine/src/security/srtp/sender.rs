//! Protecting what the service sends.

use shard_protocol::tables::Ssrc;

use super::key_derivation::{PacketKind, derive_cipher};
use super::{KeyError, RTCP_HEADER_LEN, RTP_INDEX_END, RtcpIndex, SessionCipher, SrtpMaster, SrtpProfile, rtcp_ssrc};
use crate::wire::sequence::PacketIndex;

/// Protects RTP and RTCP under the service's master key.
///
/// The caller numbers RTP packets: an index must never come twice for one SSRC. RTCP packets are numbered here, in one row
/// for all SSRCs.
pub struct SrtpSender {
    rtp: SessionCipher,
    rtcp: SessionCipher,
    profile: SrtpProfile,
    rtcp_next: RtcpIndex,
}

impl SrtpSender {
    /// Derives the session keys.
    pub fn new(profile: &SrtpProfile, master: &SrtpMaster) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: derive_cipher(*profile, master, PacketKind::Rtp)?,
            rtcp: derive_cipher(*profile, master, PacketKind::Rtcp)?,
            profile: *profile,
            rtcp_next: RtcpIndex(0),
        })
    }

    /// Bytes that [`Self::protect_rtp`] appends.
    pub fn rtp_overhead(&self) -> usize {
        self.profile.rtp_overhead()
    }

    /// Bytes that [`Self::protect_rtcp`] appends.
    pub fn rtcp_overhead(&self) -> usize {
        self.profile.rtcp_overhead()
    }

    /// Protects the RTP packet in the first `len` bytes of `packet`, of which `header_len` stay readable, and returns the
    /// new length: [`Self::rtp_overhead`] more, for which `packet` has room.
    ///
    /// 0, and nothing to send, once the key is worn out (RFC 3711 section 9.2); lengths that contradict each other are a
    /// fault of the caller and give 0 too.
    pub fn protect_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        len: usize,
        ssrc: Ssrc,
        index: PacketIndex,
    ) -> usize {
        let protected_len = len + self.rtp_overhead();
        debug_assert!(header_len <= len && protected_len <= packet.len());
        if index.0 >= RTP_INDEX_END {
            return 0;
        }
        let Some(packet) = packet.get_mut(..protected_len) else { return 0 };
        let result = match &self.rtp {
            SessionCipher::Gcm(cipher) => cipher.protect_rtp(packet, header_len, ssrc, index),
            SessionCipher::CounterMode(cipher) => cipher.protect_rtp(packet, header_len, ssrc, index),
        };
        result.map_or(0, |()| protected_len)
    }

    /// Protects the compound packet in the first `len` bytes of `packet` and returns the new length:
    /// [`Self::rtcp_overhead`] more, for which `packet` has room.
    ///
    /// 0, and nothing to send, once the key is worn out (RFC 3711 section 9.2); lengths that contradict each other are a
    /// fault of the caller and give 0 too.
    pub fn protect_rtcp(&mut self, packet: &mut [u8], len: usize) -> usize {
        let protected_len = len + self.rtcp_overhead();
        debug_assert!(len >= RTCP_HEADER_LEN && protected_len <= packet.len());
        let index = self.rtcp_next;
        if index == RtcpIndex::END {
            return 0;
        }
        let Some(packet) = packet.get_mut(..protected_len) else { return 0 };
        let Some(ssrc) = rtcp_ssrc(packet) else { return 0 };
        let result = match &self.rtcp {
            SessionCipher::Gcm(cipher) => cipher.protect_rtcp(packet, ssrc, index),
            SessionCipher::CounterMode(cipher) => cipher.protect_rtcp(packet, ssrc, index),
        };
        self.rtcp_next = RtcpIndex(index.0 + 1);
        result.map_or(0, |()| protected_len)
    }

    /// Sets the index of the next compound packet.
    #[cfg(test)]
    pub(super) fn set_rtcp_next(&mut self, index: RtcpIndex) {
        self.rtcp_next = index;
    }

    /// Takes session keys instead of deriving them.
    #[cfg(test)]
    pub(super) fn from_ciphers(profile: SrtpProfile, rtp: SessionCipher, rtcp: SessionCipher) -> Self {
        Self { rtp, rtcp, profile, rtcp_next: RtcpIndex(0) }
    }
}
