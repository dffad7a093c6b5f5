//! What the router can forward.

use shard_protocol::tables::{MediaKind, PayloadType};

use super::codec::APT;
use super::error::OrtcError;
use super::parameters::{
    CodecParameters, ParameterValue, RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpHeaderExtension,
    RtpHeaderExtensionDirection,
};

/// The payload types to give out, in the order of giving. The client's bandwidth probe has 127, which is the last to go
/// of the usual ones and is never reached by [`router_capabilities`].
const DYNAMIC_PAYLOAD_TYPES: [u8; 32] = [
    100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122,
    123, 124, 125, 126, 127, 96, 97, 98, 99,
];

const AUDIO_FEEDBACK: &[(&str, &str)] = &[("nack", ""), ("transport-cc", "")];
const VIDEO_FEEDBACK: &[(&str, &str)] =
    &[("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("goog-remb", ""), ("transport-cc", "")];

/// The codecs that can be forwarded.
fn supported_codecs() -> [RtpCodecCapability; 5] {
    let asymmetric: &[_] = &[("level-asymmetry-allowed", ParameterValue::Integer(1))];
    [
        codec(MediaKind::Audio, "audio/opus", &[]),
        codec(MediaKind::Video, "video/VP8", &[]),
        codec(MediaKind::Video, "video/VP9", &[]),
        codec(MediaKind::Video, "video/H264", asymmetric),
        codec(MediaKind::Video, "video/AV1", &[]),
    ]
}

/// The codecs of every room, the preferred first.
fn media_codecs() -> [RtpCodecCapability; 5] {
    // These parameters go into the answer to a sender's offer and so drive its encoder: stereo at 128 kbit/s over the
    // whole band, with forward error correction, silent in silence. `sprop-stereo` is for the listeners.
    let opus: &[_] = &[
        ("maxaveragebitrate", 128_000.into()),
        ("maxplaybackrate", 48_000.into()),
        ("sprop-stereo", 1.into()),
        ("stereo", 1.into()),
        ("usedtx", 1.into()),
        ("useinbandfec", 1.into()),
    ];
    // Constrained baseline 3.1, which every browser has.
    let h264: &[_] = &[
        ("level-asymmetry-allowed", 1.into()),
        ("packetization-mode", 1.into()),
        ("profile-level-id", "42e01f".into()),
    ];
    [
        codec(MediaKind::Audio, "audio/opus", opus),
        codec(MediaKind::Video, "video/VP8", &[("x-google-start-bitrate", 1000.into())]),
        codec(MediaKind::Video, "video/VP9", &[("profile-id", 0.into())]),
        codec(MediaKind::Video, "video/H264", h264),
        codec(MediaKind::Video, "video/AV1", &[]),
    ]
}

fn codec(kind: MediaKind, mime_type: &str, parameters: &[(&str, ParameterValue)]) -> RtpCodecCapability {
    let (clock_rate, channels, feedback) = match kind {
        MediaKind::Audio => (48_000, Some(2), AUDIO_FEEDBACK),
        MediaKind::Video => (90_000, None, VIDEO_FEEDBACK),
    };
    RtpCodecCapability {
        kind,
        mime_type: mime_type.to_owned(),
        preferred_payload_type: None,
        clock_rate,
        channels,
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        rtcp_feedback: feedback
            .iter()
            .map(|(feedback_type, parameter)| RtcpFeedback {
                feedback_type: (*feedback_type).to_owned(),
                parameter: (*parameter).to_owned(),
            })
            .collect(),
    }
}

/// The header extensions of every room, each with its id for audio and for video and the way that the router takes it.
///
/// The way is seen from the router. What a sender says of its own bandwidth, layers and names ends at the router.
fn header_extensions() -> Vec<RtpHeaderExtension> {
    use MediaKind::{Audio, Video};
    use RtpHeaderExtensionDirection::{RecvOnly, SendRecv};
    const DEPENDENCY_DESCRIPTOR: &str =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
    let row = |kind, preferred_id, uri: &str, direction| RtpHeaderExtension {
        kind,
        uri: uri.to_owned(),
        preferred_id,
        preferred_encrypt: false,
        direction,
    };
    vec![
        row(Audio, 1, "urn:ietf:params:rtp-hdrext:sdes:mid", SendRecv),
        row(Video, 1, "urn:ietf:params:rtp-hdrext:sdes:mid", SendRecv),
        row(Video, 2, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", RecvOnly),
        row(Video, 3, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", RecvOnly),
        row(Audio, 4, ABS_SEND_TIME, SendRecv),
        row(Video, 4, ABS_SEND_TIME, SendRecv),
        // Audio alone is too thin a stream to measure the way to a listener by.
        row(Audio, 5, TRANSPORT_WIDE_CC, RecvOnly),
        row(Video, 5, TRANSPORT_WIDE_CC, SendRecv),
        row(Audio, 6, "urn:ietf:params:rtp-hdrext:ssrc-audio-level", SendRecv),
        row(Video, 7, DEPENDENCY_DESCRIPTOR, RecvOnly),
        row(Video, 8, "urn:3gpp:video-orientation", SendRecv),
        row(Video, 9, "urn:ietf:params:rtp-hdrext:toffset", SendRecv),
        row(Audio, 10, ABS_CAPTURE_TIME, SendRecv),
        row(Video, 10, ABS_CAPTURE_TIME, SendRecv),
        row(Audio, 11, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", SendRecv),
        row(Video, 11, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", SendRecv),
        row(Audio, 12, "urn:mediasoup:params:rtp-hdrext:packet-id", SendRecv),
        row(Video, 12, "urn:mediasoup:params:rtp-hdrext:packet-id", SendRecv),
    ]
}

/// The extension with a sender's own clock.
pub(super) const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

/// The extension that numbers all packets of a transport.
pub(super) const TRANSPORT_WIDE_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// The extension with the time of capture.
pub(super) const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/// The capabilities of every room's router.
///
/// # Errors
/// None, as a test proves; the table above would have to contradict itself.
pub fn router_capabilities() -> Result<RtpCapabilities, OrtcError> {
    generate_router_capabilities(&media_codecs())
}

/// The capabilities of a router for `media_codecs`: payload types given, and an RTX codec for each video codec.
///
/// # Errors
/// A codec that cannot be forwarded, a payload type given twice, and more codecs than there are payload types.
pub fn generate_router_capabilities(media_codecs: &[RtpCodecCapability]) -> Result<RtpCapabilities, OrtcError> {
    let supported = supported_codecs();
    let mut free: Vec<_> = DYNAMIC_PAYLOAD_TYPES.iter().rev().copied().map(PayloadType).collect();
    let mut codecs: Vec<RtpCodecCapability> = Vec::new();
    for (index, media_codec) in media_codecs.iter().enumerate() {
        let path = || format!("mediaCodecs[{index}]");
        let none_left =
            || OrtcError::TooLarge { path: path(), limit: DYNAMIC_PAYLOAD_TYPES.len(), unit: "payload types" };
        let matched = supported.iter().find(|codec| media_codec.identity().is_same_codec(&codec.identity()));
        let mut codec = matched.cloned().ok_or_else(|| OrtcError::UnsupportedCodec {
            path: path(),
            mime_type: media_codec.mime_type.clone(),
            reason: "is not supported",
        })?;
        let payload_type = match media_codec.preferred_payload_type {
            Some(payload_type) => payload_type,
            None => free.pop().ok_or_else(none_left)?,
        };
        free.retain(|other| *other != payload_type);
        if codecs.iter().any(|other| other.preferred_payload_type == Some(payload_type)) {
            return Err(OrtcError::Invalid { path: path(), expected: "must have a payload type of its own" });
        }
        codec.preferred_payload_type = Some(payload_type);
        codec.parameters.extend(media_codec.parameters.clone());
        let rtx = match codec.kind {
            MediaKind::Audio => None,
            MediaKind::Video => Some(rtx_codec(&codec, payload_type, free.pop().ok_or_else(none_left)?)),
        };
        codecs.push(codec);
        codecs.extend(rtx);
    }
    Ok(RtpCapabilities { codecs, header_extensions: header_extensions() })
}

/// The part of a receiver's capabilities that negotiation with a router's streams can ever ask for: what it answers is the
/// same with the part as with the whole.
pub fn common_capabilities(receiver: &RtpCapabilities, router: &RtpCapabilities) -> RtpCapabilities {
    let codecs = router.codecs.iter().filter_map(|own| {
        let mut codec = receiver.codecs.iter().find(|its| its.identity().is_compatible(&own.identity()))?.clone();
        // Where the router has a parameter by default, a compatible receiver says nothing else.
        codec.parameters.retain(|name, _| own.parameters.contains_key(name));
        Some(codec)
    });
    let is_shared = |its: &&RtpHeaderExtension| router.header_extensions.iter().any(|own| own.uri == its.uri);
    RtpCapabilities {
        codecs: codecs.collect(),
        header_extensions: receiver.header_extensions.iter().filter(is_shared).cloned().collect(),
    }
}

fn rtx_codec(codec: &RtpCodecCapability, apt: PayloadType, payload_type: PayloadType) -> RtpCodecCapability {
    RtpCodecCapability {
        kind: codec.kind,
        mime_type: "video/rtx".to_owned(),
        preferred_payload_type: Some(payload_type),
        clock_rate: codec.clock_rate,
        channels: None,
        parameters: CodecParameters::from([(APT.to_owned(), i64::from(apt.0).into())]),
        rtcp_feedback: Vec::new(),
    }
}
