//! Requests as clients make them.

use serde_json::{Value, json};

pub(super) fn join(channel: &str) -> Value {
    let capabilities = serde_json::to_value(crate::negotiation::router_capabilities()).unwrap();
    json!({"type": "join", "channelId": channel, "rtpCapabilities": capabilities})
}

pub(super) fn produce(transport: &str, ssrc: u32, source: Option<&str>) -> Value {
    let codec = json!({
        "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2,
        "parameters": {"minptime": 10, "useinbandfec": 1}, "rtcpFeedback": [{"type": "transport-cc"}],
    });
    let parameters = json!({
        "mid": ssrc.to_string(), "codecs": [codec], "encodings": [{"ssrc": ssrc}],
        "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4}],
        "rtcp": {"cname": "c", "reducedSize": true},
    });
    json!({"type": "produce", "transportId": transport, "kind": "audio", "rtpParameters": parameters, "source": source})
}

/// A camera as a browser sends it: three encodings of VP8 with retransmissions, told apart by RID.
pub(super) fn simulcast(transport: &str, mid: u32, source: Option<&str>) -> Value {
    let encoding = |rid: &str, bitrate_max_bps: u32| json!({"rid": rid, "maxBitrate": bitrate_max_bps});
    let encodings = [encoding("r0", 150_000), encoding("r1", 500_000), encoding("r2", 1_500_000)];
    video(transport, mid, source, &json!(encodings))
}

/// A screen as a browser sends it: one encoding.
pub(super) fn screen(transport: &str, ssrc: u32, source: Option<&str>) -> Value {
    video(transport, ssrc, source, &json!([{"ssrc": ssrc, "rtx": {"ssrc": ssrc ^ 1}}]))
}

fn video(transport: &str, mid: u32, source: Option<&str>, encodings: &Value) -> Value {
    let feedback = [
        json!({"type": "nack"}),
        json!({"type": "nack", "parameter": "pli"}),
        json!({"type": "ccm", "parameter": "fir"}),
        json!({"type": "transport-cc"}),
    ];
    let codecs = [
        json!({"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": feedback}),
        json!({"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}}),
    ];
    let extensions = [
        json!({"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4}),
        json!({"uri": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "id": 10}),
        json!({"uri": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", "id": 11}),
    ];
    let parameters = json!({
        "mid": mid.to_string(), "codecs": codecs, "encodings": encodings, "headerExtensions": extensions,
        "rtcp": {"cname": "c", "reducedSize": true},
    });
    json!({"type": "produce", "transportId": transport, "kind": "video", "rtpParameters": parameters, "source": source})
}

pub(super) fn connect_transport(transport: &str) -> Value {
    let value = vec!["AB"; 32].join(":");
    let dtls = json!({"role": "client", "fingerprints": [{"algorithm": "sha-256", "value": value}]});
    json!({"type": "connectTransport", "transportId": transport, "dtlsParameters": dtls})
}
