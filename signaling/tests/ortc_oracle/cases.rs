//! The questions that both sides are asked.

use serde_json::{Map, Value, json};

/// A question.
#[derive(Clone)]
pub(crate) struct Case {
    /// What holds.
    pub(crate) name: String,
    /// What is asked.
    pub(crate) function: String,
    /// What it is asked of.
    pub(crate) arguments: Value,
    /// The departure that it shows.
    pub(crate) departs: Option<String>,
}

impl Case {
    fn new(name: String, function: &str, arguments: Value) -> Self {
        Self { name, function: function.to_owned(), arguments, departs: None }
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("fixtures are JSON")
}

/// What the service's router is, as captures are made with it.
pub(crate) fn router() -> Value {
    json_of(include_str!("router.json"))
}

/// The codecs that the service makes its routers of.
pub(crate) fn media_codecs() -> Value {
    json_of(include_str!("media-codecs.json"))
}

/// The cases of `cases.json`: each a base with some values set and others removed.
pub(crate) fn chosen_cases() -> Vec<Case> {
    let file = json_of(include_str!("cases.json"));
    let mut cases: Vec<_> =
        file["cases"].as_array().expect("a list").iter().map(|case| chosen_case(&file["bases"], case)).collect();
    let opus = json!({ "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 });
    let codecs = json!({ "mediaCodecs": vec![opus; 100] });
    cases.push(Case::new("more codecs than payload types make no router".to_owned(), "routerCapabilities", codecs));
    cases
}

fn chosen_case(bases: &Value, case: &Value) -> Case {
    let text = |key: &str| case[key].as_str().map(str::to_owned);
    let mut arguments = match case["like"].as_str() {
        Some(base) => bases[base].clone(),
        None => case["arguments"].clone(),
    };
    for (place, value) in case["set"].as_object().unwrap_or(&Map::new()) {
        set(&mut arguments, place, value);
    }
    for place in case["remove"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (parent, key) = place.rsplit_once('/').expect("a place has a parent");
        let parent = arguments.pointer_mut(parent).and_then(Value::as_object_mut).expect("a parent is an object");
        parent.remove(key).expect("what is removed is there");
    }
    Case {
        name: text("name").expect("a case has a name"),
        function: text("function").expect("a case has a function"),
        arguments,
        departs: text("departs"),
    }
}

fn set(arguments: &mut Value, place: &str, value: &Value) {
    let (parent, key) = place.rsplit_once('/').expect("a place has a parent");
    match arguments.pointer_mut(parent).expect("a parent is there") {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value.clone());
        }
        Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value.clone(),
        _ => panic!("{place} is in no object"),
    }
}

/// Each producer of each browser, to each browser as it is and as its device reduced itself to the router.
pub(crate) fn browser_cases() -> Vec<Case> {
    let browsers =
        [("Chromium", json_of(include_str!("chromium.json"))), ("Firefox", json_of(include_str!("firefox.json")))];
    let producers = |browser: &Value| browser["producers"].as_array().cloned().expect("a list");
    let mut cases = Vec::new();
    for (receiver, captured) in &browsers {
        for list in ["nativeRtpCapabilities", "rtpCapabilities"] {
            let capabilities = &captured[list];
            let arguments = json!({ "rtpCapabilities": capabilities });
            cases.push(Case::new(format!("{list} of {receiver}"), "validateCapabilities", arguments));
            for (sender, sent) in &browsers {
                for producer in producers(sent) {
                    let name = format!("{} of {sender} to {list} of {receiver}", producer["name"]);
                    cases.push(Case::new(name, "negotiate", negotiation(&producer, capabilities)));
                }
            }
        }
        for producer in producers(captured) {
            let arguments = json!({ "rtpParameters": producer["rtpParameters"] });
            cases.push(Case::new(format!("{} of {receiver}", producer["name"]), "validateParameters", arguments));
        }
    }
    cases
}

fn negotiation(producer: &Value, capabilities: &Value) -> Value {
    json!({
        "mediaCodecs": media_codecs(),
        "kind": producer["kind"],
        "rtpParameters": producer["rtpParameters"],
        "rtpCapabilities": capabilities,
    })
}
