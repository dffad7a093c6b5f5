//! Capabilities, stream parameters and DTLS parameters of a client, from JSON to a shard's tables.
//!
//! Holds: no JSON panics; what is accepted reads the same when it is written and read again; what is negotiated keeps
//! to the limits that the shard counts on, and a consumer's codecs and ids are its producer's.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use shard_protocol::limits::{CNAME_LEN_MAX, CODECS_MAX, ENCODINGS_MAX, FINGERPRINTS_MAX};
use shard_protocol::tables::{ConsumerTable, MediaKind, ProducerTable, Ssrc};
use signaling::ortc::{
    ConsumerStreams, DtlsParameters, RtpCapabilities, RtpParameters, dtls_table, negotiate_consumer,
    negotiate_producer, router_capabilities,
};

/// What browsers send.
static CAPTURES: LazyLock<[Value; 2]> = LazyLock::new(|| {
    [
        include_str!("../../../signaling/tests/ortc_oracle/chromium.json"),
        include_str!("../../../signaling/tests/ortc_oracle/firefox.json"),
    ]
    .map(|text| serde_json::from_str(text).expect("a capture is JSON"))
});

static ROUTER: LazyLock<RtpCapabilities> =
    LazyLock::new(|| router_capabilities().expect("the service's own codecs make a router"));

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    is_video: bool,
    parameters: Document<'a>,
    capabilities: Document<'a>,
    dtls: Document<'a>,
}

#[derive(Arbitrary, Debug)]
enum Document<'a> {
    Text(&'a str),
    /// A browser's own, changed in some places.
    Changed {
        browser: bool,
        number: u8,
        changes: Vec<Change<'a>>,
    },
}

/// A change at the node of this number, parents first.
#[derive(Arbitrary, Debug)]
struct Change<'a> {
    place: u16,
    action: Action<'a>,
}

#[derive(Arbitrary, Debug)]
enum Action<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
    EmptyList,
    EmptyObject,
    /// What stands at another place.
    Copy(u16),
    RemoveChild(u8),
    DuplicateChild(u8),
}

fuzz_target!(|input: Input<'_>| {
    let capture = |browser: bool| &CAPTURES[usize::from(browser)];
    let parameters = input.parameters.value(|browser, number| {
        let producers = capture(browser)["producers"].as_array().expect("a list");
        producers[usize::from(number) % producers.len()]["rtpParameters"].clone()
    });
    let capabilities = input.capabilities.value(|browser, _| capture(browser)["rtpCapabilities"].clone());
    let dtls = input.dtls.value(|_, _| fingerprints());

    let capabilities = RtpCapabilities::from_json(&capabilities).ok();
    if let Some(capabilities) = &capabilities {
        let again = serde_json::to_value(capabilities).expect("JSON");
        assert_eq!(RtpCapabilities::from_json(&again).as_ref(), Ok(capabilities));
    }
    if let Ok(parameters) = DtlsParameters::from_json(&dtls) {
        let again = serde_json::to_value(&parameters).expect("JSON");
        assert_eq!(DtlsParameters::from_json(&again).as_ref(), Ok(&parameters));
        if let Ok(table) = dtls_table(&parameters) {
            assert!((1..=FINGERPRINTS_MAX).contains(&table.fingerprints.len()));
        }
    }
    let Ok(parameters) = RtpParameters::from_json(&parameters) else { return };
    let again = serde_json::to_value(&parameters).expect("JSON");
    assert_eq!(RtpParameters::from_json(&again).as_ref(), Ok(&parameters));

    let kind = if input.is_video { MediaKind::Video } else { MediaKind::Audio };
    let Ok(producer) = negotiate_producer(kind, parameters, &ROUTER, "cname", 128_000) else { return };
    check_producer(&producer.table);
    let Some(capabilities) = capabilities else { return };
    let streams = ConsumerStreams { mid: "7".into(), ssrc: Ssrc(0x1_0000), rtx_ssrc: Some(Ssrc(0x1_0001)) };
    if let Ok(consumer) = negotiate_consumer(&producer, &capabilities, streams) {
        check_consumer(&producer.table, &consumer.table);
    }
});

fn check_producer(table: &ProducerTable) {
    assert!((1..=CODECS_MAX).contains(&table.codecs.len()));
    assert!((1..=ENCODINGS_MAX).contains(&table.encodings.len()));
    for codec in &table.codecs {
        assert!(codec.clock_rate_hz > 0 && codec.payload_type.0 < 128);
        assert!(codec.rtx_payload_type.is_none_or(|payload_type| payload_type.0 < 128));
    }
}

fn check_consumer(producer: &ProducerTable, table: &ConsumerTable) {
    assert_eq!(table.kind, producer.kind);
    assert!((1..=CODECS_MAX).contains(&table.codecs.len()));
    assert!(table.cname.len() <= CNAME_LEN_MAX);
    for mapping in &table.codecs {
        assert!(mapping.codec.clock_rate_hz > 0 && mapping.codec.payload_type.0 < 128);
        assert!(producer.codecs.iter().any(|codec| codec.payload_type == mapping.producer_payload_type));
    }
    let ids: Vec<u8> = table.header_extensions.0.into_iter().filter(|id| *id != 0).collect();
    assert!((1..ids.len()).all(|n| !ids[..n].contains(&ids[n])), "an id has two meanings");
}

fn fingerprints() -> Value {
    let hash = |bytes: usize| vec!["5A"; bytes].join(":");
    serde_json::json!({
        "role": "client",
        "fingerprints": [
            { "algorithm": "sha-256", "value": hash(32) },
            { "algorithm": "sha-384", "value": hash(48) },
            { "algorithm": "sha-512", "value": hash(64) },
        ],
    })
}

impl Document<'_> {
    fn value(&self, base: impl FnOnce(bool, u8) -> Value) -> Value {
        match self {
            Self::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Self::Changed { browser, number, changes } => {
                let mut value = base(*browser, *number);
                changes.iter().for_each(|change| change.apply(&mut value));
                value
            }
        }
    }
}

impl Change<'_> {
    fn apply(&self, root: &mut Value) {
        let nodes = count(root);
        let copied = match self.action {
            Action::Copy(place) => find(root, &mut (usize::from(place) % nodes)).cloned(),
            _ => None,
        };
        let Some(node) = find(root, &mut (usize::from(self.place) % nodes)) else { return };
        match &self.action {
            Action::Null => *node = Value::Null,
            Action::Bool(value) => *node = (*value).into(),
            Action::Integer(value) => *node = (*value).into(),
            Action::Float(value) => *node = (*value).into(),
            Action::Text(text) => *node = (*text).into(),
            Action::EmptyList => *node = Value::Array(Vec::new()),
            Action::EmptyObject => *node = Value::Object(Map::new()),
            Action::Copy(_) => *node = copied.unwrap_or_default(),
            Action::RemoveChild(child) => remove_child(node, usize::from(*child)),
            Action::DuplicateChild(child) => {
                if let Value::Array(items) = node
                    && !items.is_empty()
                {
                    items.push(items[usize::from(*child) % items.len()].clone());
                }
            }
        }
    }
}

fn remove_child(node: &mut Value, child: usize) {
    match node {
        Value::Array(items) if !items.is_empty() => _ = items.remove(child % items.len()),
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(child % fields.len()).cloned();
            key.and_then(|key| fields.remove(&key));
        }
        _ => {}
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The node that is `place` nodes from here, parents first.
fn find<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| find(item, place)),
        Value::Object(fields) => fields.values_mut().find_map(|field| find(field, place)),
        _ => None,
    }
}
