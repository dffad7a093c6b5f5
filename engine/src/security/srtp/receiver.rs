//! Opening what a peer sends.

use shard_protocol::tables::Ssrc;

use super::counter_mode::CounterModeCipher;
use super::gcm::GcmCipher;
use super::key_derivation::{PacketKind, derive_cipher};
use super::{
    KeyError, RTCP_HEADER_LEN, RTP_INDEX_END, ReplayWindow, SessionCipher, SrtpError, SrtpMaster, SrtpProfile,
    rtcp_ssrc,
};
use crate::wire::sequence::PacketIndex;

/// RTCP senders of one peer whose replay windows are remembered. A browser that sends four streams in three layers with
/// retransmissions has 24, and one more for each stream that it receives under an SSRC of its own; beyond that the one
/// heard longest ago is forgotten.
pub const RTCP_STREAMS_MAX: usize = 256;

/// Opens RTP and RTCP under the peer's master key.
pub struct SrtpReceiver {
    rtp: SessionCipher,
    rtcp: SessionCipher,
    profile: SrtpProfile,
    rtcp_streams: Vec<RtcpStream>,
    rtcp_accepted: u64,
}

/// The replay window of one RTCP sender.
struct RtcpStream {
    ssrc: Ssrc,
    window: ReplayWindow,
    /// The count of accepted packets when this sender was last heard.
    heard_at: u64,
}

impl SrtpReceiver {
    /// Derives the session keys.
    pub fn new(profile: &SrtpProfile, master: &SrtpMaster) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: derive_cipher(*profile, master, PacketKind::Rtp)?,
            rtcp: derive_cipher(*profile, master, PacketKind::Rtcp)?,
            profile: *profile,
            rtcp_streams: Vec::new(),
            rtcp_accepted: 0,
        })
    }

    /// Bytes that [`Self::unprotect_rtp`] takes off.
    pub fn rtp_overhead(&self) -> usize {
        self.profile.rtp_overhead()
    }

    /// Opens an RTP packet whose header has `header_len` bytes, and returns its length without the tag. Whether it is a
    /// replay is the caller's to check before, and to note after, with the stream's [`ReplayWindow`].
    ///
    /// On an error the bytes of `packet` are worth nothing any more.
    pub fn unprotect_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: PacketIndex,
    ) -> Result<usize, SrtpError> {
        let Some(len) = packet.len().checked_sub(self.rtp_overhead()) else {
            return Err(SrtpError::Malformed);
        };
        if header_len > len || index.0 >= RTP_INDEX_END {
            return Err(SrtpError::Malformed);
        }
        match &self.rtp {
            SessionCipher::Gcm(cipher) => cipher.unprotect_rtp(packet, header_len, ssrc, index)?,
            SessionCipher::CounterMode(cipher) => cipher.unprotect_rtp(packet, header_len, ssrc, index)?,
        }
        Ok(len)
    }

    /// Opens a compound packet and returns its length without index and tag.
    ///
    /// On an error the bytes of `packet` are worth nothing any more. Nothing is remembered of a packet that fails.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let Some(len) = packet.len().checked_sub(self.profile.rtcp_overhead()) else {
            return Err(SrtpError::Malformed);
        };
        if len < RTCP_HEADER_LEN {
            return Err(SrtpError::Malformed);
        }
        let ssrc = rtcp_ssrc(packet).ok_or(SrtpError::Malformed)?;
        let index = match &self.rtcp {
            SessionCipher::Gcm(_) => GcmCipher::rtcp_index(packet),
            SessionCipher::CounterMode(_) => CounterModeCipher::rtcp_index(packet),
        };
        let index = index.ok_or(SrtpError::Malformed)?;
        let packet_index = PacketIndex(u64::from(index.0));
        let known = self.rtcp_streams.iter().position(|stream| stream.ssrc == ssrc);
        if let Some(stream) = known.and_then(|known| self.rtcp_streams.get(known)) {
            stream.window.check(packet_index)?;
        }
        match &self.rtcp {
            SessionCipher::Gcm(cipher) => cipher.unprotect_rtcp(packet, ssrc, index)?,
            SessionCipher::CounterMode(cipher) => cipher.unprotect_rtcp(packet, ssrc, index)?,
        }
        self.on_rtcp_accepted(ssrc, packet_index);
        Ok(len)
    }

    /// Notes an authenticated packet in its sender's window.
    fn on_rtcp_accepted(&mut self, ssrc: Ssrc, index: PacketIndex) {
        self.rtcp_accepted += 1;
        let heard_at = self.rtcp_accepted;
        if let Some(stream) = self.rtcp_streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
            stream.window.accept(index);
            stream.heard_at = heard_at;
            return;
        }
        let mut stream = RtcpStream { ssrc, window: ReplayWindow::default(), heard_at };
        stream.window.accept(index);
        if self.rtcp_streams.len() < RTCP_STREAMS_MAX {
            self.rtcp_streams.reserve_exact(1);
            self.rtcp_streams.push(stream);
        } else if let Some(oldest) = self.rtcp_streams.iter_mut().min_by_key(|stream| stream.heard_at) {
            *oldest = stream;
        }
    }

    /// How many RTCP senders are remembered.
    #[cfg(test)]
    pub(super) fn rtcp_streams(&self) -> usize {
        self.rtcp_streams.len()
    }

    /// Takes session keys instead of deriving them.
    #[cfg(test)]
    pub(super) fn from_ciphers(profile: SrtpProfile, rtp: SessionCipher, rtcp: SessionCipher) -> Self {
        Self { rtp, rtcp, profile, rtcp_streams: Vec::new(), rtcp_accepted: 0 }
    }
}
