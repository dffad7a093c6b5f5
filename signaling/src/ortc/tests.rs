//! What holds for negotiation as a whole; the comparison with the model stands in the crate's own tests.

use proptest::prelude::*;
use serde_json::{Value, json};
use shard_protocol::tables::{
    DtlsRole as ServiceRole, Fingerprint, HeaderExtension, MediaKind, PayloadFormat, PayloadType, Ssrc,
};

use super::*;

const CNAME: &str = "participant";
const BITRATE_MAX_BPS: u32 = 2_150_000;

fn router() -> RtpCapabilities {
    router_capabilities().expect("the service's own codecs make a router")
}

fn chromium() -> Value {
    serde_json::from_str(include_str!("../../tests/ortc_oracle/chromium.json")).expect("a fixture is JSON")
}

/// What Chromium sends for the producer `name`.
fn sent(name: &str) -> Value {
    let producers = chromium()["producers"].as_array().cloned().expect("a list");
    let producer = producers.into_iter().find(|producer| producer["name"] == name).expect("a captured producer");
    producer["rtpParameters"].clone()
}

fn produced(kind: MediaKind, json: &Value) -> Result<NegotiatedProducer, OrtcError> {
    negotiate_producer(kind, RtpParameters::from_json(json)?, &router(), CNAME, BITRATE_MAX_BPS)
}

fn consumed(producer: &NegotiatedProducer) -> NegotiatedConsumer {
    let receiver = RtpCapabilities::from_json(&chromium()["rtpCapabilities"]).expect("a browser's own");
    let streams = ConsumerStreams { mid: "7".to_owned(), ssrc: Ssrc(1000), rtx_ssrc: Some(Ssrc(1001)) };
    negotiate_consumer(producer, &receiver, streams).expect("a browser hears itself")
}

/// `json` with `value` at `place`.
fn with(mut json: Value, place: &str, value: Value) -> Value {
    *json.pointer_mut(place).expect("a place of the fixture") = value;
    json
}

fn refusal(kind: MediaKind, json: &Value) -> (String, &'static str) {
    let error = produced(kind, json).expect_err("a refusal");
    (error.to_string(), error.code())
}

#[test]
fn the_router_prefers_opus_and_leaves_the_probe_its_payload_type() {
    let codecs = router().codecs;
    let listed: Vec<_> =
        codecs.iter().map(|codec| (codec.mime_type.as_str(), codec.preferred_payload_type.map(|own| own.0))).collect();
    let expected = [
        ("audio/opus", 100),
        ("video/VP8", 101),
        ("video/rtx", 102),
        ("video/VP9", 103),
        ("video/rtx", 104),
        ("video/H264", 105),
        ("video/rtx", 106),
        ("video/AV1", 107),
        ("video/rtx", 108),
    ];
    assert_eq!(listed, expected.map(|(mime_type, payload_type)| (mime_type, Some(payload_type))));
}

#[test]
fn a_microphone_becomes_numbers() {
    let producer = produced(MediaKind::Audio, &sent("microphone")).unwrap();
    assert_eq!(producer.stream_type, StreamType::Simple);
    let table = &producer.table;
    assert_eq!(table.mid.map(|mid| mid.as_bytes().to_vec()), Some(b"0".to_vec()));
    let [codec] = table.codecs.as_slice() else { panic!("one codec") };
    assert_eq!((codec.payload_type, codec.rtx_payload_type), (PayloadType(111), None));
    assert_eq!((codec.format, codec.clock_rate_hz), (PayloadFormat::Opus, 48_000));
    assert!(table.encodings[0].ssrc.is_some());
    assert!(table.header_extensions.id(HeaderExtension::TransportWideCc).is_some());

    let consumer = consumed(&producer).table;
    assert_eq!((consumer.kind, consumer.mid.as_bytes(), consumer.ssrc), (MediaKind::Audio, &b"7"[..], Ssrc(1000)));
    assert_eq!(consumer.rtx_ssrc, None);
    assert_eq!(&*consumer.cname, CNAME);
    let [mapping] = consumer.codecs.as_slice() else { panic!("one codec") };
    assert_eq!((mapping.producer_payload_type, mapping.codec.payload_type), (PayloadType(111), PayloadType(100)));
    assert_eq!(consumer.header_extensions.id(HeaderExtension::Mid), Some(1));
    assert_eq!(consumer.header_extensions.id(HeaderExtension::AudioLevel), Some(6));
    assert_eq!(consumer.header_extensions.id(HeaderExtension::TransportWideCc), None);
}

#[test]
fn a_listener_is_told_of_stereo() {
    let producer = produced(MediaKind::Audio, &sent("microphone")).unwrap();
    let opus = |parameters: &RtpParameters| parameters.codecs[0].parameters.get("sprop-stereo").cloned();
    assert_eq!(opus(&producer.parameters), None);
    assert_eq!(opus(&consumed(&producer).parameters), Some(1.into()));
}

#[test]
fn a_camera_with_simulcast_becomes_numbers() {
    let producer = produced(MediaKind::Video, &sent("camera, simulcast VP8")).unwrap();
    assert_eq!(producer.stream_type, StreamType::Simulcast);
    let rids: Vec<_> = producer.table.encodings.iter().filter_map(|encoding| encoding.rid).collect();
    assert_eq!(rids.iter().map(|rid| rid.as_bytes()).collect::<Vec<_>>(), [b"r0", b"r1", b"r2"]);
    assert_eq!(producer.table.codecs[0].rtx_payload_type, Some(PayloadType(97)));

    let consumer = consumed(&producer);
    assert_eq!(consumer.table.rtx_ssrc, Some(Ssrc(1001)));
    assert_eq!(consumer.table.codecs[0].codec.payload_type, PayloadType(101));
    assert_eq!(consumer.table.codecs[0].codec.rtx_payload_type, Some(PayloadType(102)));
    assert_eq!(consumer.table.header_extensions.id(HeaderExtension::DependencyDescriptor), None);
    assert_eq!(consumer.parameters.encodings[0].scalability_mode.as_deref(), Some("L3T3"));
    assert_eq!(consumer.parameters.encodings[0].max_bitrate, Some(1_500_000));
}

#[test]
fn layers_in_one_encoding_are_svc() {
    let producer = produced(MediaKind::Video, &sent("camera, VP9 layered")).unwrap();
    assert_eq!(producer.stream_type, StreamType::Svc);
    assert_eq!(serde_json::to_value(producer.stream_type).unwrap(), json!("svc"));
}

#[test]
fn a_codec_is_not_sent_in_ways_that_are_not_forwarded() {
    let two = json!([{ "rid": "a" }, { "rid": "b" }]);
    for name in ["camera, VP9", "camera, AV1"] {
        let (_, code) = refusal(MediaKind::Video, &with(sent(name), "/encodings", two.clone()));
        assert_eq!(code, "unsupported_codec", "{name}");
    }
    let (sentence, code) = refusal(MediaKind::Audio, &with(sent("microphone"), "/encodings", two.clone()));
    assert_eq!(sentence, "rtpParameters.encodings[0]: audio/opus is not supported for several encodings");
    assert_eq!(code, "unsupported_codec");
    let layered = json!([{ "ssrc": 1, "scalabilityMode": "L1T2" }]);
    let (sentence, _) = refusal(MediaKind::Audio, &with(sent("microphone"), "/encodings", layered));
    assert_eq!(sentence, "rtpParameters.encodings[0]: audio/opus is not supported with layers");
}

#[test]
fn refusals_say_where_and_what() {
    let apt = "must be the payload type of a media codec";
    let ssrc = "must be an SSRC, 0 to 4294967295";
    let same = "belongs to another encoding of the same stream";
    let spatial = "must not have spatial layers beside other encodings";
    let bad_requests = [
        ("/mid", json!(7), "mid", "must be a string"),
        ("/codecs", json!(null), "codecs", "must be a list"),
        ("/codecs", json!([]), "codecs", "must have a media codec"),
        ("/codecs/1/parameters/apt", json!("96"), "codecs[1].parameters.apt", "must be a number"),
        ("/codecs/1/parameters/apt", json!(95), "codecs[1].parameters.apt", apt),
        ("/codecs/1/payloadType", json!(96), "codecs[1].payloadType", "must not be that of another codec"),
        ("/headerExtensions/1/id", json!(0), "headerExtensions[1].id", "must be a header extension id, 1 to 255"),
        ("/encodings", json!([{ "rid": "a" }, {}]), "encodings[1]", "must have an ssrc or a rid"),
        ("/encodings/0/ssrc", json!(-1), "encodings[0].ssrc", ssrc),
        ("/encodings/0/rtx", json!({}), "encodings[0].rtx.ssrc", ssrc),
        ("/encodings", json!([{ "codecPayloadType": 97 }]), "encodings[0].codecPayloadType", apt),
        ("/encodings", json!([{ "rid": "a", "scalabilityMode": "L2T1" }, {}]), "encodings[0].scalabilityMode", spatial),
    ];
    for (place, value, path, expected) in bad_requests {
        let sentence = format!("rtpParameters.{path} {expected}");
        assert_eq!(refusal(MediaKind::Video, &with(sent("camera"), place, value)), (sentence, "bad_request"));
    }
    let others = [
        ("/encodings", json!([{ "rid": "a" }, { "rid": "a" }]), "encodings[1].rid", same, "duplicate_ssrc"),
        ("/encodings/0", json!({ "ssrc": 1, "rtx": { "ssrc": 1 } }), "encodings[0].rtx.ssrc", same, "duplicate_ssrc"),
        ("/encodings", json!([{}, {}, {}, {}, {}]), "encodings", "has more than 4 items", "too_large"),
        ("/mid", json!("seventeen-letters"), "mid", "has more than 16 bytes", "too_large"),
    ];
    for (place, value, path, expected, code) in others {
        let sentence = format!("rtpParameters.{path} {expected}");
        assert_eq!(refusal(MediaKind::Video, &with(sent("camera"), place, value)), (sentence, code));
    }
    let other_codec = with(sent("camera"), "/codecs/0/mimeType", json!("video/H263"));
    let sentence = "rtpParameters.codecs[0]: video/H263 is not supported by the service".to_owned();
    assert_eq!(refusal(MediaKind::Video, &other_codec), (sentence, "unsupported_codec"));
    let sentence = "rtpParameters.codecs[0].mimeType must be of the stream's kind".to_owned();
    assert_eq!(refusal(MediaKind::Audio, &sent("camera")), (sentence, "bad_request"));
}

#[test]
fn a_line_break_never_reaches_another_participant() {
    for place in ["/msid", "/mid", "/rtcp/cname", "/codecs/0/mimeType", "/headerExtensions/0/uri"] {
        let (sentence, code) = refusal(MediaKind::Audio, &with(sent("microphone"), place, json!("audio/x\r\na=y")));
        assert!(sentence.ends_with("must not contain control characters"), "{sentence}");
        assert_eq!(code, "bad_request");
    }
}

#[test]
fn one_extension_id_has_one_meaning() {
    let extension = |uri: &str| json!({ "uri": uri, "id": 3 });
    let (mid, level) = ("urn:ietf:params:rtp-hdrext:sdes:mid", "urn:ietf:params:rtp-hdrext:ssrc-audio-level");
    let both = json!([extension(mid), extension(level)]);
    let (sentence, _) = refusal(MediaKind::Audio, &with(sent("microphone"), "/headerExtensions", both));
    assert_eq!(sentence, "rtpParameters.headerExtensions[1].id must not be that of another extension");
    let unknown = json!([extension(mid), extension("urn:example:unknown")]);
    let producer = produced(MediaKind::Audio, &with(sent("microphone"), "/headerExtensions", unknown)).unwrap();
    assert_eq!(producer.table.header_extensions.id(HeaderExtension::Mid), Some(3));
}

#[test]
fn no_encodings_are_one_that_the_mid_names() {
    let producer = produced(MediaKind::Audio, &with(sent("microphone"), "/encodings", json!([]))).unwrap();
    assert_eq!(producer.table.encodings.len(), 1);
    assert_eq!(producer.table.encodings[0].ssrc, None);
    let without_mid = with(with(sent("microphone"), "/encodings", json!([])), "/mid", json!(""));
    let (sentence, _) = refusal(MediaKind::Audio, &without_mid);
    assert_eq!(sentence, "rtpParameters.encodings[0] must have an ssrc or a rid");
}

#[test]
fn a_receiver_of_other_codecs_cannot_consume() {
    let producer = produced(MediaKind::Video, &sent("camera")).unwrap();
    let receiver = RtpCapabilities::from_json(&json!({})).unwrap();
    let streams = ConsumerStreams { mid: "0".to_owned(), ssrc: Ssrc(1), rtx_ssrc: None };
    assert!(!can_consume(&producer.consumable, &receiver));
    let error = negotiate_consumer(&producer, &receiver, streams).unwrap_err();
    assert_eq!((error.clone(), error.code()), (OrtcError::CannotConsume, "cannot_consume"));
}

#[test]
fn the_service_takes_the_part_in_dtls_that_is_left() {
    let value = ["0A"; 32].join(":");
    for (role, service) in [
        (json!("client"), ServiceRole::Server),
        (json!("server"), ServiceRole::Client),
        (json!("auto"), ServiceRole::Client),
        (Value::Null, ServiceRole::Client),
    ] {
        let fingerprints = json!([{ "algorithm": "sha-1", "value": "00" }, { "algorithm": "sha-256", "value": value }]);
        let parameters = DtlsParameters::from_json(&json!({ "role": role, "fingerprints": fingerprints })).unwrap();
        let table = dtls_table(&parameters).unwrap();
        assert_eq!((table.role, table.fingerprints), (service, vec![Fingerprint::Sha256([10; 32])]));
    }
}

#[test]
fn a_fingerprint_is_read_whole_or_refused() {
    let read = |algorithm: &str, value: &str| {
        let json = json!({ "fingerprints": [{ "algorithm": algorithm, "value": value }] });
        DtlsParameters::from_json(&json).and_then(|parameters| dtls_table(&parameters)).map(|table| table.fingerprints)
    };
    assert_eq!(read("SHA-384", &["ff"; 48].join(":")), Ok(vec![Fingerprint::Sha384([255; 48])]));
    assert_eq!(read("sha-512", &["01"; 64].join(":")), Ok(vec![Fingerprint::Sha512([1; 64])]));
    for value in ["", "AB", &["AB"; 31].join(":"), &["AB"; 33].join(":"), &["+1"; 32].join(":"), &["AB"; 32].join("")] {
        let error = read("sha-256", value).unwrap_err();
        assert!(error.to_string().starts_with("dtlsParameters.fingerprints[0].value must"), "{error}");
    }
    let error = read("sha-1", &["AB"; 20].join(":")).unwrap_err();
    assert_eq!(error.to_string(), "dtlsParameters.fingerprints must have one of sha-256, sha-384 or sha-512");
}

/// JSON of any shape whose fields often have the names, and whose values often the words, of negotiation.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        4 => prop::sample::select(vec![
            "algorithm", "apt", "channels", "clockRate", "cname", "codecPayloadType", "codecs",
            "direction", "dtx", "encodings", "encrypt", "fingerprints", "headerExtensions", "id",
            "kind", "maxBitrate", "mid", "mimeType", "msid", "parameter", "parameters",
            "payloadType", "preferredId", "preferredPayloadType", "profile-level-id", "rid", "role",
            "rtcp", "rtcpFeedback", "rtx", "scalabilityMode", "ssrc", "type", "uri", "value",
        ])
        .prop_map(str::to_owned),
        1 => ".{0,20}",
    ];
    let word = prop::sample::select(vec![
        "audio",
        "video",
        "audio/opus",
        "video/VP8",
        "video/H264",
        "video/rtx",
        "42e01f",
        "L3T3",
        "L99T99",
        "sha-256",
        "client",
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        "é\u{0}",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2..300_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![48_000, 90_000, 2, 100]).prop_map(Value::from),
        word.prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 12, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..12)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A browser's parameters with any JSON somewhere in them.
fn changed_parameters() -> impl Strategy<Value = (&'static str, Value)> {
    let place = prop::sample::select(vec![
        "",
        "/mid",
        "/codecs",
        "/codecs/0",
        "/codecs/0/mimeType",
        "/codecs/0/payloadType",
        "/codecs/0/clockRate",
        "/codecs/0/parameters",
        "/codecs/0/rtcpFeedback",
        "/codecs/1",
        "/codecs/1/parameters",
        "/headerExtensions",
        "/headerExtensions/0",
        "/headerExtensions/0/id",
        "/encodings",
        "/encodings/0",
        "/encodings/1",
        "/rtcp",
        "/msid",
    ]);
    let producer = prop::sample::select(vec!["microphone", "camera", "camera, simulcast H264", "camera, VP9 layered"]);
    (producer, place, any_json()).prop_map(|(producer, place, value)| {
        let mut json = sent(producer);
        if let Some(field) = json.pointer_mut(place) {
            *field = value;
        }
        (producer, json)
    })
}

proptest! {
    #[test]
    fn no_json_panics_and_what_is_accepted_reads_the_same_again(json in any_json()) {
        if let Ok(capabilities) = RtpCapabilities::from_json(&json) {
            let again = serde_json::to_value(&capabilities).unwrap();
            prop_assert_eq!(RtpCapabilities::from_json(&again), Ok(capabilities));
        }
        if let Ok(parameters) = RtpParameters::from_json(&json) {
            let again = serde_json::to_value(&parameters).unwrap();
            prop_assert_eq!(RtpParameters::from_json(&again), Ok(parameters));
        }
        if let Ok(parameters) = DtlsParameters::from_json(&json) {
            let again = serde_json::to_value(&parameters).unwrap();
            prop_assert_eq!(DtlsParameters::from_json(&again), Ok(parameters.clone()));
            let _ = dtls_table(&parameters);
        }
    }

    #[test]
    fn what_is_negotiated_fits_the_shard_s_limits((name, json) in changed_parameters()) {
        let kind = if name == "microphone" { MediaKind::Audio } else { MediaKind::Video };
        let Ok(producer) = produced(kind, &json) else { return Ok(()) };
        let table = &producer.table;
        prop_assert!((1..=shard_protocol::limits::CODECS_MAX).contains(&table.codecs.len()));
        prop_assert!((1..=shard_protocol::limits::ENCODINGS_MAX).contains(&table.encodings.len()));
        prop_assert!(table.codecs.iter().all(|codec| codec.clock_rate_hz > 0 && codec.payload_type.0 < 128));
        let consumer = consumed(&producer).table;
        prop_assert!(!consumer.codecs.is_empty());
        for mapping in &consumer.codecs {
            prop_assert!(table.codecs.iter().any(|codec| codec.payload_type == mapping.producer_payload_type));
        }
    }
}
