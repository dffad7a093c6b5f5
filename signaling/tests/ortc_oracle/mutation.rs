//! Random changes to a question, so that both sides are asked what nobody thought of.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

/// Changes `value` in one or two places.
pub(crate) fn mutate(value: &mut Value, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..=2) {
        let words = values();
        let nodes = count(value);
        let mut place = rng.random_range(0..nodes);
        visit(value, &mut place, &mut |node| change(node, &words, rng));
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Calls `change` with the node that is `place` nodes from here, parents first.
fn visit(value: &mut Value, place: &mut usize, change: &mut dyn FnMut(&mut Value)) -> bool {
    if *place == 0 {
        change(value);
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| visit(item, place, change)),
        Value::Object(fields) => fields.values_mut().any(|field| visit(field, place, change)),
        _ => false,
    }
}

fn change(node: &mut Value, words: &[Value], rng: &mut StdRng) {
    let word = words[rng.random_range(0..words.len())].clone();
    match node {
        Value::Array(items) if !items.is_empty() && rng.random_bool(0.8) => change_list(items, word, rng),
        Value::Object(fields) if !fields.is_empty() && rng.random_bool(0.8) => change_object(fields, word, rng),
        Value::Number(number) if rng.random_bool(0.5) => {
            let step = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
            *node = json!(number.as_f64().unwrap_or_default() + step);
        }
        Value::String(text) if rng.random_bool(0.2) => *node = json!(text.to_uppercase()),
        _ => *node = word,
    }
}

fn change_list(items: &mut Vec<Value>, word: Value, rng: &mut StdRng) {
    let (one, other) = (rng.random_range(0..items.len()), rng.random_range(0..items.len()));
    match rng.random_range(0..4) {
        0 => items.swap(one, other),
        1 => items.push(items[one].clone()),
        2 => items[one] = word,
        _ => {
            items.remove(one);
        }
    }
}

fn change_object(fields: &mut Map<String, Value>, word: Value, rng: &mut StdRng) {
    let key = if rng.random_bool(0.5) {
        fields.keys().nth(rng.random_range(0..fields.len())).cloned().unwrap_or_default()
    } else {
        KEYS[rng.random_range(0..KEYS.len())].to_owned()
    };
    if rng.random_bool(0.3) {
        fields.remove(&key);
    } else {
        fields.insert(key, word);
    }
}

const KEYS: [&str; 24] = [
    "apt",
    "channels",
    "clockRate",
    "codecPayloadType",
    "direction",
    "dtx",
    "encodings",
    "encrypt",
    "kind",
    "level-asymmetry-allowed",
    "maxBitrate",
    "mid",
    "packetization-mode",
    "parameters",
    "payloadType",
    "preferredPayloadType",
    "profile-id",
    "profile-level-id",
    "rid",
    "rtcp",
    "rtx",
    "scalabilityMode",
    "ssrc",
    "unknown",
];

fn values() -> Vec<Value> {
    let mut values =
        vec![json!(null), json!(true), json!(false), json!([]), json!({}), json!(["x"]), json!({ "ssrc": 7 })];
    values.extend(
        [
            -1.0,
            0.0,
            0.5,
            1.0,
            2.0,
            15.0,
            97.0,
            100.0,
            101.0,
            102.0,
            127.0,
            128.0,
            255.0,
            256.0,
            48e3,
            90e3,
            4294967296.0,
            1e21,
        ]
        .map(|number| json!(number)),
    );
    let texts = [
        "",
        "0",
        "1",
        "x",
        "\r\na=x",
        "audio",
        "video",
        "audio/opus",
        "audio/PCMU",
        "video/VP8",
        "VIDEO/h264",
        "video/VP9",
        "video/AV1",
        "video/rtx",
        "video/",
        "text/plain",
        "42e01f",
        "42e034",
        "4d001f",
        "640c1f",
        "42f00b",
        "zzzzzz",
        "L1T1",
        "L3T3_KEY",
        "S2T1",
        "L10T2",
        "L0T1",
        "sendrecv",
        "inactive",
        "sideways",
        "nack",
        "goog-remb",
        "transport-cc",
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    ];
    values.extend(texts.map(|text| json!(text)));
    values
}
