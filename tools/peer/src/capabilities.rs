//! RTP capabilities and parameters in the shape that a browser gives them.

use serde_json::{Value, json};

/// The payload type that Chromium gives to Opus.
pub const OPUS_PAYLOAD_TYPE: u8 = 111;
/// The extension id that carries the MID.
pub const MID_EXTENSION_ID: u8 = 4;
/// The extension id that carries the audio level (RFC 6464).
pub const AUDIO_LEVEL_EXTENSION_ID: u8 = 1;

/// The extension id that numbers all packets of a transport.
pub const TRANSPORT_SEQUENCE_EXTENSION_ID: u8 = 3;
/// The extension id that carries the RID.
pub(crate) const RID_EXTENSION_ID: u8 = 10;
/// The extension id that carries the RID of what is sent again.
pub(crate) const REPAIRED_RID_EXTENSION_ID: u8 = 11;
/// The extension id that carries AV1's dependency descriptor.
const DEPENDENCY_DESCRIPTOR_EXTENSION_ID: u8 = 12;

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const TRANSPORT_SEQUENCE: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const DEPENDENCY_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Header extensions that a receiver takes.
const RECEIVED_EXTENSIONS: [&str; 4] = [MID, ABS_SEND_TIME, TRANSPORT_SEQUENCE, AUDIO_LEVEL];

/// A codec of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// The RTP payload format of the Alliance for Open Media.
    Av1,
}

/// One encoding of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoEncoding {
    /// The SSRC of its media.
    pub ssrc: u32,
    /// The SSRC of what is sent again.
    pub rtx_ssrc: u32,
    /// Its name, where there are several; then the service is not told the SSRCs.
    pub rid: Option<String>,
}

impl VideoCodec {
    /// The payload type that Chromium gives it; that of its retransmissions is one more.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Vp8 => 96,
            Self::Vp9 => 98,
            Self::H264 => 102,
            Self::Av1 => 45,
        }
    }

    fn mime_type(self) -> &'static str {
        match self {
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 => "video/H264",
            Self::Av1 => "video/AV1",
        }
    }

    fn parameters(self) -> Value {
        match self {
            Self::Vp8 | Self::Av1 => json!({}),
            Self::Vp9 => json!({ "profile-id": 0 }),
            Self::H264 => {
                json!({ "packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1 })
            }
        }
    }
}

impl VideoEncoding {
    /// One with SSRCs of its own.
    pub fn random(rid: Option<&str>) -> Self {
        Self { ssrc: rand::random(), rtx_ssrc: rand::random(), rid: rid.map(str::to_owned) }
    }
}

/// The clock rate of the codec with a payload type of ours.
pub(crate) fn clock_rate_hz(payload_type: u8) -> u32 {
    if payload_type == OPUS_PAYLOAD_TYPE { 48_000 } else { 90_000 }
}

fn extension(uri: &str, id: u8) -> Value {
    json!({ "uri": uri, "id": id, "encrypt": false, "parameters": {} })
}

/// The parameters of an audio producer as Chromium makes them.
pub fn audio_producer_parameters(ssrc: u32, mid: &str, cname: &str) -> Value {
    json!({
        "mid": mid,
        "codecs": [{
            "mimeType": "audio/opus",
            "payloadType": OPUS_PAYLOAD_TYPE,
            "clockRate": 48000,
            "channels": 2,
            "parameters": { "minptime": 10, "useinbandfec": 1, "usedtx": 1, "sprop-stereo": 1 },
            "rtcpFeedback": [{ "type": "transport-cc", "parameter": "" }],
        }],
        "headerExtensions": [
            extension(MID, MID_EXTENSION_ID),
            extension(ABS_SEND_TIME, 2),
            extension(TRANSPORT_SEQUENCE, TRANSPORT_SEQUENCE_EXTENSION_ID),
            extension(AUDIO_LEVEL, AUDIO_LEVEL_EXTENSION_ID),
        ],
        "encodings": [{ "ssrc": ssrc, "dtx": true }],
        "rtcp": { "cname": cname, "reducedSize": true },
    })
}

/// The parameters of a video producer as Chromium makes them, with retransmissions.
pub fn video_producer_parameters(codec: VideoCodec, encodings: &[VideoEncoding], mid: &str, cname: &str) -> Value {
    let feedback = [("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("goog-remb", ""), ("transport-cc", "")];
    let feedback = feedback.map(|(kind, parameter)| json!({ "type": kind, "parameter": parameter }));
    let payload_type = codec.payload_type();
    let encodings = encodings.iter().map(|encoding| match &encoding.rid {
        Some(rid) => json!({ "rid": rid }),
        None => json!({ "ssrc": encoding.ssrc, "rtx": { "ssrc": encoding.rtx_ssrc } }),
    });
    json!({
        "mid": mid,
        "codecs": [
            {
                "mimeType": codec.mime_type(),
                "payloadType": payload_type,
                "clockRate": 90000,
                "parameters": codec.parameters(),
                "rtcpFeedback": feedback,
            },
            {
                "mimeType": "video/rtx",
                "payloadType": payload_type + 1,
                "clockRate": 90000,
                "parameters": { "apt": payload_type },
            },
        ],
        "headerExtensions": [
            extension(MID, MID_EXTENSION_ID),
            extension(ABS_SEND_TIME, 2),
            extension(TRANSPORT_SEQUENCE, TRANSPORT_SEQUENCE_EXTENSION_ID),
            extension(RID, RID_EXTENSION_ID),
            extension(REPAIRED_RID, REPAIRED_RID_EXTENSION_ID),
            extension(DEPENDENCY_DESCRIPTOR, DEPENDENCY_DESCRIPTOR_EXTENSION_ID),
        ],
        "encodings": encodings.collect::<Vec<_>>(),
        "rtcp": { "cname": cname, "reducedSize": true },
    })
}

/// What a browser can receive of what the `router` offers: all of its codecs and the usual header extensions, under the
/// router's own payload types and ids, as a loaded device reports them.
pub fn receive_capabilities(router: &Value) -> Value {
    let entries = |key: &str| router[key].as_array().cloned().unwrap_or_default();
    let extensions: Vec<Value> = entries("headerExtensions")
        .into_iter()
        .filter(|extension| extension["uri"].as_str().is_some_and(|uri| RECEIVED_EXTENSIONS.contains(&uri)))
        .collect();
    json!({ "codecs": entries("codecs"), "headerExtensions": extensions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_takes_all_codecs_and_the_usual_extensions_under_the_routers_numbers() {
        let router = json!({
            "codecs": [
                { "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100 },
                { "kind": "video", "mimeType": "video/VP8", "preferredPayloadType": 101 },
            ],
            "headerExtensions": [
                { "kind": "audio", "uri": MID, "preferredId": 1 },
                { "kind": "video", "uri": MID, "preferredId": 1 },
                { "kind": "audio", "uri": "urn:example:other", "preferredId": 9 },
            ],
        });
        let capabilities = receive_capabilities(&router);
        assert_eq!(capabilities["codecs"], router["codecs"]);
        assert_eq!(capabilities["headerExtensions"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn several_encodings_go_by_their_names_and_a_single_one_by_its_numbers() {
        let named = [VideoEncoding::random(Some("lo")), VideoEncoding::random(Some("hi"))];
        let parameters = video_producer_parameters(VideoCodec::Vp8, &named, "1", "peer");
        assert_eq!(parameters["encodings"], json!([{ "rid": "lo" }, { "rid": "hi" }]));
        let single = VideoEncoding { ssrc: 7, rtx_ssrc: 8, rid: None };
        let parameters = video_producer_parameters(VideoCodec::Av1, &[single], "1", "peer");
        assert_eq!(parameters["encodings"], json!([{ "ssrc": 7, "rtx": { "ssrc": 8 } }]));
        assert_eq!(parameters["codecs"][1]["parameters"]["apt"], 45);
    }
}
