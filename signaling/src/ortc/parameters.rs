//! RTP capabilities and parameters, in the JSON shapes of mediasoup v3.
//!
//! A value of these types that came from a client has passed the checks of `validation`: lists and strings are bounded,
//! and every default is filled in.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use shard_protocol::tables::{MediaKind, PayloadType, Ssrc};

/// What an endpoint can receive, or what a router can forward.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCapabilities {
    /// Media and RTX codecs, the preferred first.
    pub codecs: Vec<RtpCodecCapability>,
    /// Header extensions.
    pub header_extensions: Vec<RtpHeaderExtension>,
}

/// A codec that an endpoint knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCodecCapability {
    /// Audio or video, as the MIME type says.
    #[serde(serialize_with = "serialize_kind")]
    pub kind: MediaKind,
    /// The MIME type, such as `audio/opus`.
    pub mime_type: String,
    /// The payload type that the endpoint prefers.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_payload_type_option")]
    pub preferred_payload_type: Option<PayloadType>,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Channels of audio; none for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Codec-specific parameters.
    pub parameters: CodecParameters,
    /// RTCP feedback that the endpoint understands.
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// Parameters by name, those of the codec's `a=fmtp` line.
pub type CodecParameters = BTreeMap<String, ParameterValue>;

/// The value of a codec parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(String),
}

impl ParameterValue {
    /// The number, where it is a whole one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Number(_) | Self::Text(_) => None,
        }
    }

    /// Whether it is 0 or empty, which counts as left out.
    pub fn is_left_out(&self) -> bool {
        match self {
            Self::Integer(number) => *number == 0,
            Self::Number(number) => *number == 0.0,
            Self::Text(text) => text.is_empty(),
        }
    }
}

impl From<i64> for ParameterValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for ParameterValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// One kind of RTCP feedback, RFC 4585 section 4.2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RtcpFeedback {
    /// Such as `nack`.
    #[serde(rename = "type")]
    pub feedback_type: String,
    /// Such as `pli`; empty where there is none.
    pub parameter: String,
}

/// A header extension that an endpoint knows for one kind of media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpHeaderExtension {
    /// The kind of media that it is known for.
    #[serde(serialize_with = "serialize_kind")]
    pub kind: MediaKind,
    /// What the extension is.
    pub uri: String,
    /// The id that the endpoint prefers.
    pub preferred_id: u8,
    /// Whether the endpoint prefers it encrypted.
    pub preferred_encrypt: bool,
    /// Which way the endpoint takes it.
    pub direction: RtpHeaderExtensionDirection,
}

/// Which way an endpoint takes a header extension, seen from the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RtpHeaderExtensionDirection {
    /// Both ways.
    #[default]
    SendRecv,
    /// Out only.
    SendOnly,
    /// In only.
    RecvOnly,
    /// Known and not used.
    Inactive,
}

/// One stream: its codecs, header extensions and encodings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpParameters {
    /// The MID that the stream's packets carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Media and RTX codecs.
    pub codecs: Vec<RtpCodecParameters>,
    /// Header extensions.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// Encodings, the lowest quality first.
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP.
    pub rtcp: RtcpParameters,
    /// Names the media stream and its track, RFC 8830.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msid: Option<String>,
}

/// A codec of one stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCodecParameters {
    /// The MIME type.
    pub mime_type: String,
    /// The payload type of its packets.
    #[serde(serialize_with = "serialize_payload_type")]
    pub payload_type: PayloadType,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Channels of audio; none for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Codec-specific parameters.
    pub parameters: CodecParameters,
    /// RTCP feedback in use.
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// A header extension of one stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RtpHeaderExtensionParameters {
    /// What the extension is.
    pub uri: String,
    /// Its id on the wire, 1–255.
    pub id: u8,
    /// Whether it is encrypted, RFC 6904.
    pub encrypt: bool,
    /// Parameters of the extension.
    pub parameters: CodecParameters,
}

/// One encoding of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpEncodingParameters {
    /// The SSRC of the media.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_ssrc_option")]
    pub ssrc: Option<Ssrc>,
    /// The restriction id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// The payload type of its codec; the stream's first media codec where it is left out.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_payload_type_option")]
    pub codec_payload_type: Option<PayloadType>,
    /// Its retransmissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtx: Option<RtxParameters>,
    /// Whether the sender stops in silence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtx: Option<bool>,
    /// Spatial and temporal layers, such as `L1T3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scalability_mode: Option<String>,
    /// The most that the sender sends, in bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u64>,
}

/// The retransmissions of one encoding, RFC 4588.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RtxParameters {
    /// Their SSRC.
    #[serde(serialize_with = "serialize_ssrc")]
    pub ssrc: Ssrc,
}

/// RTCP of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtcpParameters {
    /// The canonical name of the sender, RFC 3550 section 6.5.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// Whether reports may be of reduced size, RFC 5506.
    pub reduced_size: bool,
}

impl Default for RtcpParameters {
    fn default() -> Self {
        Self { cname: None, reduced_size: true }
    }
}

/// What the router calls a payload type of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PayloadTypeMapping {
    /// The producer's own.
    #[serde(serialize_with = "serialize_payload_type")]
    pub payload_type: PayloadType,
    /// The router's.
    #[serde(serialize_with = "serialize_payload_type")]
    pub mapped_payload_type: PayloadType,
}

/// The word for a kind in JSON.
pub fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// The kind that a word stands for.
pub fn parse_kind(word: &str) -> Option<MediaKind> {
    match word {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    }
}

// The number types of the shard protocol know no JSON; these write the numbers.

fn serialize_kind<S: Serializer>(kind: &MediaKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind_name(*kind))
}

fn serialize_payload_type<S: Serializer>(payload_type: &PayloadType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(payload_type.0)
}

fn serialize_payload_type_option<S: Serializer>(
    payload_type: &Option<PayloadType>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    payload_type.map(|payload_type| payload_type.0).serialize(serializer)
}

fn serialize_ssrc<S: Serializer>(ssrc: &Ssrc, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(ssrc.0)
}

fn serialize_ssrc_option<S: Serializer>(ssrc: &Option<Ssrc>, serializer: S) -> Result<S::Ok, S::Error> {
    ssrc.map(|ssrc| ssrc.0).serialize(serializer)
}
