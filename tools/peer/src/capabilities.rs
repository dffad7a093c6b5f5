//! RTP capabilities and parameters in the shape that a browser gives them.

use serde_json::{Value, json};

/// The payload type that Chromium gives to Opus.
pub(crate) const OPUS_PAYLOAD_TYPE: u8 = 111;
/// The extension id that carries the MID.
pub(crate) const MID_EXTENSION_ID: u8 = 4;
/// The extension id that carries the audio level (RFC 6464).
pub(crate) const AUDIO_LEVEL_EXTENSION_ID: u8 = 1;

/// Header extensions that a browser takes for audio.
const AUDIO_EXTENSIONS: [&str; 4] = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
];

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
            { "uri": AUDIO_EXTENSIONS[0], "id": MID_EXTENSION_ID, "encrypt": false, "parameters": {} },
            { "uri": AUDIO_EXTENSIONS[1], "id": 2, "encrypt": false, "parameters": {} },
            { "uri": AUDIO_EXTENSIONS[2], "id": 3, "encrypt": false, "parameters": {} },
            { "uri": AUDIO_EXTENSIONS[3], "id": AUDIO_LEVEL_EXTENSION_ID, "encrypt": false, "parameters": {} },
        ],
        "encodings": [{ "ssrc": ssrc, "dtx": true }],
        "rtcp": { "cname": cname, "reducedSize": true },
    })
}

/// What a browser can receive of what the `router` offers: Opus and the audio header extensions, under the router's own
/// payload types and ids, as a loaded device reports them.
pub fn receive_capabilities(router: &Value) -> Value {
    let entries = |key: &str| router[key].as_array().cloned().unwrap_or_default();
    let codecs: Vec<Value> = entries("codecs")
        .into_iter()
        .filter(|codec| codec["mimeType"].as_str().is_some_and(|mime| mime.eq_ignore_ascii_case("audio/opus")))
        .collect();
    let extensions: Vec<Value> = entries("headerExtensions")
        .into_iter()
        .filter(|extension| extension["kind"] == "audio")
        .filter(|extension| extension["uri"].as_str().is_some_and(|uri| AUDIO_EXTENSIONS.contains(&uri)))
        .collect();
    json!({ "codecs": codecs, "headerExtensions": extensions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_takes_opus_and_audio_extensions_under_the_routers_numbers() {
        let router = json!({
            "codecs": [
                { "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100 },
                { "kind": "video", "mimeType": "video/VP8", "preferredPayloadType": 101 },
            ],
            "headerExtensions": [
                { "kind": "audio", "uri": AUDIO_EXTENSIONS[0], "preferredId": 1 },
                { "kind": "video", "uri": AUDIO_EXTENSIONS[0], "preferredId": 1 },
                { "kind": "audio", "uri": "urn:example:other", "preferredId": 9 },
            ],
        });
        let capabilities = receive_capabilities(&router);
        assert_eq!(capabilities["codecs"].as_array().map(Vec::len), Some(1));
        assert_eq!(capabilities["codecs"][0]["preferredPayloadType"], 100);
        assert_eq!(capabilities["headerExtensions"].as_array().map(Vec::len), Some(1));
    }
}
