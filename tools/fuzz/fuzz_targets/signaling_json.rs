//! Frames of a client: strict JSON, and the requests in it.
//!
//! Holds: what the strict reader takes is what any reader takes; what it refuses is no JSON object, too deep, or has a
//! key twice; a refusal is an answer of bounded length whatever the frame says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signaling::wire::strict_json::{DEPTH_MAX, read_object};
use signaling::wire::{Envelope, ErrorCode};

/// Bytes of an `error` frame: one that grew with the request would let a client choose what the service sends.
const ERROR_FRAME_LEN_MAX: usize = 4096;

fuzz_target!(|text: &str| {
    let any = serde_json::from_str::<Value>(text);
    match read_object(text) {
        Ok(object) => assert_eq!(Some(Value::Object(object)), any.ok()),
        Err(_) => {
            if let Ok(Value::Object(object)) = any {
                let (depth, keys) = measure(text);
                assert!(depth > DEPTH_MAX || keys != count_keys(&Value::Object(object)), "refused without a reason");
            }
        }
    }
    let (name, key, refusal) = match Envelope::read(text) {
        Ok(Envelope { request: Ok(_), .. }) => return,
        Ok(Envelope { name, key, request: Err(refusal) }) => (name, key, refusal),
        Err(refusal) => {
            assert_eq!(refusal.code, ErrorCode::BadJson);
            (None, None, refusal)
        }
    };
    let frame = refusal.to_frame(name.as_deref(), key.as_ref());
    assert!(frame.len() <= ERROR_FRAME_LEN_MAX, "{} bytes: {}", frame.len(), frame.as_str());
});

/// The deepest level of a well-formed text, and how many keys are written in it.
fn measure(text: &str) -> (usize, usize) {
    let (mut depth, mut deepest, mut keys) = (0, 0, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth -= 1,
            b':' => keys += 1,
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    (deepest, keys)
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => _ = bytes.next(),
            b'"' => return,
            _ => {}
        }
    }
}

fn count_keys(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count_keys).sum(),
        Value::Object(fields) => fields.len() + fields.values().map(count_keys).sum::<usize>(),
        _ => 0,
    }
}
