//! Finished parameter tables: all that a shard needs to know of a stream, as numbers.
//!
//! ORTC negotiation in signaling makes them; a shard never sees a MIME type or JSON.

use std::net::IpAddr;
use std::sync::Arc;

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound: a microphone or the sound of a screen.
    Audio,
    /// Pictures: a camera or a screen.
    Video,
}

/// RTP synchronization source, RFC 3550 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(pub u32);

/// RTP payload type, 0–127, RFC 3550 section 5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(pub u8);

/// A short name carried in an RTP header extension: a MID (RFC 9143) or a RID (RFC 8852).
///
/// At most [`StreamName::LEN_MAX`] bytes, the most that a one-byte extension element holds (RFC 8285 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamName {
    len: u8,
    bytes: [u8; Self::LEN_MAX],
}

impl StreamName {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 16;

    /// Takes a name of 1 to [`Self::LEN_MAX`] bytes; `None` for any other length.
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > Self::LEN_MAX {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self { len: name.len() as u8, bytes })
    }

    /// The name as it stands on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The RTP header extensions that the service knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HeaderExtension {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`, RFC 9143.
    Mid,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`, RFC 8852.
    RtpStreamId,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`, RFC 8852.
    RepairedRtpStreamId,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`.
    AbsSendTime,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`.
    TransportWideCc,
    /// `https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension`.
    DependencyDescriptor,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level`, RFC 6464.
    AudioLevel,
    /// `urn:3gpp:video-orientation`.
    VideoOrientation,
    /// `urn:ietf:params:rtp-hdrext:toffset`, RFC 5450.
    TransmissionOffset,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time`.
    AbsCaptureTime,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay`.
    PlayoutDelay,
}

impl HeaderExtension {
    /// How many there are.
    pub const COUNT: usize = 11;
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Mid,
        Self::RtpStreamId,
        Self::RepairedRtpStreamId,
        Self::AbsSendTime,
        Self::TransportWideCc,
        Self::DependencyDescriptor,
        Self::AudioLevel,
        Self::VideoOrientation,
        Self::TransmissionOffset,
        Self::AbsCaptureTime,
        Self::PlayoutDelay,
    ];
}

/// The ids that one side gave to the header extensions of one stream; 0 stands for "not negotiated".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderExtensionIds(pub [u8; HeaderExtension::COUNT]);

impl HeaderExtensionIds {
    /// The id of `extension`, 1–255, or `None` where it was not negotiated.
    pub fn id(&self, extension: HeaderExtension) -> Option<u8> {
        match self.0[extension as usize] {
            0 => None,
            id => Some(id),
        }
    }

    /// Gives `extension` the id `id`; 0 takes it away.
    pub fn set(&mut self, extension: HeaderExtension, id: u8) {
        self.0[extension as usize] = id;
    }
}

/// How a payload is to be read, as far as forwarding reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadFormat {
    /// RFC 7587.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// The RTP payload format for AV1 of the Alliance for Open Media.
    Av1,
}

/// One media codec of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecTable {
    /// The payload type of the media itself.
    pub payload_type: PayloadType,
    /// The payload type of its retransmissions, RFC 4588, where negotiated.
    pub rtx_payload_type: Option<PayloadType>,
    /// How to read the payload.
    pub format: PayloadFormat,
    /// RTP clock rate in Hz; never 0.
    pub clock_rate_hz: u32,
}

/// One encoding of a producer: found by its SSRC, or by its RID, or (with neither) by the producer's MID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingTable {
    /// The SSRC of the media, where the sender told it.
    pub ssrc: Option<Ssrc>,
    /// The SSRC of the retransmissions, where the sender told it.
    pub rtx_ssrc: Option<Ssrc>,
    /// The restriction id, where the sender told it.
    pub rid: Option<StreamName>,
}

/// A stream that a participant sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerTable {
    /// Audio or video.
    pub kind: MediaKind,
    /// The MID that the sender puts into its packets, where it told one.
    pub mid: Option<StreamName>,
    /// The media codecs, 1 to [`crate::limits::CODECS_MAX`]; payload types are the sender's own.
    pub codecs: Vec<CodecTable>,
    /// The encodings, lowest quality first, 1 to [`crate::limits::ENCODINGS_MAX`].
    pub encodings: Vec<EncodingTable>,
    /// The sender's own extension ids.
    pub header_extensions: HeaderExtensionIds,
    /// The most that it may send in bit/s, all encodings together and without retransmissions; never 0.
    pub bitrate_max_bps: u32,
}

/// How a consumer's codec comes from its producer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecMapping {
    /// The payload type in the producer's packets.
    pub producer_payload_type: PayloadType,
    /// What the receiver gets.
    pub codec: CodecTable,
}

/// A stream that a participant receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerTable {
    /// Audio or video; that of the producer.
    pub kind: MediaKind,
    /// The MID that the receiver expects.
    pub mid: StreamName,
    /// The SSRC of the media; like the next, above all that the transport's consumers ever had.
    pub ssrc: Ssrc,
    /// The SSRC of the retransmissions, where negotiated.
    pub rtx_ssrc: Option<Ssrc>,
    /// What becomes of each codec of the producer; a codec that is not listed is not forwarded.
    pub codecs: Vec<CodecMapping>,
    /// The receiver's extension ids.
    pub header_extensions: HeaderExtensionIds,
    /// The canonical name for source descriptions, RFC 3550 section 6.5.1; at most [`crate::limits::CNAME_LEN_MAX`] bytes.
    pub cname: Arc<str>,
}

/// ICE user name fragment and password of the service's side, RFC 8445 section 5.3.
///
/// Signaling makes them from a cryptographic generator: at least 24 bits of randomness in the fragment and 128 in the
/// password. The fragment is the shard's key for a peer whose address it has not seen, so it is never used twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCredentials {
    /// 4 to [`crate::limits::ICE_UFRAG_LEN_MAX`] ice-chars.
    pub ufrag: String,
    /// 22 to [`crate::limits::ICE_PASSWORD_LEN_MAX`] ice-chars.
    pub password: String,
}

/// Which part the service plays in a DTLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// The peer sends the ClientHello.
    Server,
    /// The service sends the ClientHello.
    Client,
}

/// The hash of a certificate, RFC 8122 section 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-384.
    Sha384([u8; 48]),
    /// SHA-512.
    Sha512([u8; 64]),
}

/// What a peer said of its side of DTLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsTable {
    /// The service's part.
    pub role: DtlsRole,
    /// The peer's certificate has one of these; 1 to [`crate::limits::FINGERPRINTS_MAX`].
    pub fingerprints: Vec<Fingerprint>,
}

/// An address at which a shard can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateAddress {
    /// The address that clients are told.
    pub ip: IpAddr,
    /// The shard's UDP port.
    pub port: u16,
}
