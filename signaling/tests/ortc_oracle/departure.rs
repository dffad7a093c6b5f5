//! Whether the service and the reference agree, departures granted.
//!
//! What a departure excuses is worked out from the question, independently of the service's own checks.

use serde_json::{Value, json};
use signaling::ortc::OrtcError;

use crate::service::{CNAME, CONSUMER_SSRC};

/// A question and both answers.
pub(crate) struct Comparison {
    /// What was asked.
    pub(crate) function: String,
    /// What it was asked of.
    pub(crate) arguments: Value,
    /// The reference's answer.
    pub(crate) theirs: Result<Value, String>,
    /// The service's answer.
    pub(crate) ours: Result<Value, OrtcError>,
}

impl Comparison {
    /// Compares the answers; `granted` tells which departures may differ.
    pub(crate) fn check(&self, granted: impl Fn(&str) -> bool) -> Result<(), String> {
        match (&self.theirs, &self.ours) {
            (Err(_), Err(_)) => Ok(()),
            (Ok(theirs), Ok(ours)) => {
                let theirs = self.expected(theirs.clone(), &granted);
                let ours = with_plain_numbers(ours.clone());
                difference(&theirs, &ours, "").map_or(Ok(()), Err)
            }
            (Err(theirs), Ok(_)) => Err(format!("the reference refuses: {theirs}")),
            (Ok(_), Err(ours)) => match self.excuse(ours) {
                Some(departure) if granted(departure) => Ok(()),
                Some(departure) => Err(format!("the service refuses by {departure}: {ours}")),
                None => Err(format!("the service refuses: {ours}")),
            },
        }
    }

    /// The reference's answer as the service would give it.
    fn expected(&self, theirs: Value, granted: &impl Fn(&str) -> bool) -> Value {
        let mut theirs = with_plain_numbers(theirs);
        if self.function == "negotiate" {
            name_consumer_streams(&mut theirs);
            if granted("own-cname") {
                name_participant(&mut theirs);
            }
            if granted("no-mapped-ssrc") {
                drop_mapped_ssrcs(&mut theirs);
            }
            if granted("no-nack-without-rtx") {
                drop_unanswered_nacks(&mut theirs);
            }
            if granted("stereo-told") && self.is_stereo_wanted() {
                tell_stereo(&mut theirs);
            }
        }
        if granted("known-fields-only") { known_fields(&theirs, role(&self.function)) } else { theirs }
    }

    fn is_stereo_wanted(&self) -> bool {
        let codecs = self.arguments["mediaCodecs"].as_array().cloned().unwrap_or_default();
        codecs.iter().any(|codec| is_opus(codec) && codec["parameters"]["sprop-stereo"] == json!(1))
    }

    /// The departure by which the service refuses what the reference takes.
    fn excuse(&self, error: &OrtcError) -> Option<&'static str> {
        match error {
            OrtcError::TooLarge { path, limit, .. } => is_larger(self.find(path)?, *limit).then_some("bounds"),
            OrtcError::Invalid { path, .. } => self.excuse_of_value(path.rsplit('.').next()?, self.find(path)?),
            OrtcError::UnsupportedCodec { path, .. } => self.excuse_of_codec(self.find(path)?),
            OrtcError::DuplicateSsrc { .. } | OrtcError::CannotConsume => None,
        }
    }

    fn excuse_of_value(&self, key: &str, value: &Value) -> Option<&'static str> {
        if has_control_characters(value) {
            return Some("control-characters");
        }
        if value.is_array() {
            return Some("lists-are-no-objects");
        }
        let range = match key {
            "direction" => return Some("four-directions"),
            "payloadType" | "preferredPayloadType" | "codecPayloadType" => 0..=127,
            "clockRate" => 1..=i64::from(u32::MAX),
            "channels" | "id" | "preferredId" => 1..=255,
            "ssrc" => 0..=i64::from(u32::MAX),
            "maxBitrate" => 0..=(1 << 53),
            _ => return None,
        };
        let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
        let is_in_range = value.as_f64().is_some_and(|number| range.contains(&(number as i64)));
        (!is_whole || !is_in_range).then_some("whole-numbers")
    }

    fn excuse_of_codec(&self, codec: &Value) -> Option<&'static str> {
        let mime_type = codec["mimeType"].as_str()?.to_lowercase();
        if !["audio/opus", "video/vp8", "video/vp9", "video/h264", "video/av1"].contains(&mime_type.as_str()) {
            return Some("five-codecs");
        }
        let profile = codec["parameters"]["profile-level-id"].as_str()?;
        let is_six_digits = profile.len() == 6 && profile.bytes().all(|byte| byte.is_ascii_hexdigit());
        (!is_six_digits).then_some("six-digits")
    }

    /// The value of the question at a path such as `rtpParameters.encodings[2].ssrc`.
    fn find(&self, path: &str) -> Option<&Value> {
        let pointer = path.replace('[', ".").replace(']', "").replace('.', "/");
        // The service's reader knows a router's codecs by the name of a request's.
        let router = pointer.replacen("rtpCapabilities/codecs", "mediaCodecs", 1);
        let is_router = self.function == "routerCapabilities";
        self.arguments.pointer(&format!("/{}", if is_router { &router } else { &pointer }))
    }
}

/// The first place where two answers differ.
fn difference(theirs: &Value, ours: &Value, place: &str) -> Option<String> {
    match (theirs, ours) {
        (Value::Array(its), Value::Array(own)) if its.len() == own.len() => {
            let mut pairs = its.iter().zip(own).enumerate();
            pairs.find_map(|(index, (its, own))| difference(its, own, &format!("{place}[{index}]")))
        }
        (Value::Object(its), Value::Object(own)) if its.keys().eq(own.keys()) => {
            let mut pairs = its.iter().zip(own.values());
            pairs.find_map(|((key, its), own)| difference(its, own, &format!("{place}.{key}")))
        }
        _ => (theirs != ours).then(|| format!("{place} is {theirs} in the reference and {ours} here")),
    }
}

fn is_larger(value: &Value, limit: usize) -> bool {
    match value {
        Value::String(text) => text.len() > limit,
        Value::Array(items) => items.len() > limit,
        Value::Object(fields) => fields.len() > limit || fields.keys().any(|key| key.len() > limit),
        _ => false,
    }
}

fn has_control_characters(value: &Value) -> bool {
    let has = |text: &str| text.chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{2029}');
    match value {
        Value::String(text) => has(text),
        Value::Object(fields) => fields.keys().any(|key| has(key)),
        _ => false,
    }
}

fn is_opus(codec: &Value) -> bool {
    codec["mimeType"].as_str().is_some_and(|mime_type| mime_type.eq_ignore_ascii_case("audio/opus"))
}

/// To JavaScript 1 and 1.0 are one number.
fn with_plain_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(with_plain_numbers).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, with_plain_numbers(value))).collect(),
        other => other,
    }
}

/// Gives the reference's random SSRCs of consumers the service's values, after a look at how they lie to each other.
fn name_consumer_streams(answer: &mut Value) {
    for consumer in ["consumer", "consumerWithRtx"] {
        let Some(encoding) = answer[consumer].pointer_mut("/encodings/0") else { continue };
        let ssrc = encoding["ssrc"].as_f64().expect("a consumer has an SSRC");
        encoding["ssrc"] = json!(f64::from(CONSUMER_SSRC));
        if let Some(rtx) = encoding.get_mut("rtx") {
            assert_eq!(rtx["ssrc"].as_f64(), Some(ssrc + 1.0));
            rtx["ssrc"] = json!(f64::from(CONSUMER_SSRC + 1));
        }
    }
}

fn name_participant(answer: &mut Value) {
    for parameters in ["rtpParameters", "consumable", "consumer", "consumerWithRtx"] {
        if let Some(cname) = answer.pointer_mut(&format!("/{parameters}/rtcp/cname")) {
            *cname = json!(CNAME);
        }
    }
}

fn drop_mapped_ssrcs(answer: &mut Value) {
    if let Some(mapping) = answer["mapping"].as_object_mut() {
        mapping.remove("encodings");
    }
    for encoding in answer["consumable"]["encodings"].as_array_mut().into_iter().flatten() {
        if let Some(encoding) = encoding.as_object_mut() {
            encoding.remove("ssrc");
        }
    }
}

fn drop_unanswered_nacks(answer: &mut Value) {
    for consumer in ["consumer", "consumerWithRtx"] {
        let codecs = answer.pointer_mut(&format!("/{consumer}/codecs")).and_then(Value::as_array_mut);
        let Some(codecs) = codecs else { continue };
        let is_rtx = |codec: &Value| {
            codec["mimeType"].as_str().is_some_and(|mime_type| mime_type.eq_ignore_ascii_case("video/rtx"))
        };
        let retransmitted: Vec<_> =
            codecs.iter().filter(|codec| is_rtx(codec)).map(|rtx| rtx["parameters"]["apt"].clone()).collect();
        for codec in codecs.iter_mut().filter(|codec| !is_rtx(codec) && !retransmitted.contains(&codec["payloadType"]))
        {
            if let Some(feedback) = codec["rtcpFeedback"].as_array_mut() {
                feedback.retain(|feedback| feedback["type"] != "nack" || !is_empty(&feedback["parameter"]));
            }
        }
    }
}

fn is_empty(parameter: &Value) -> bool {
    parameter.is_null() || *parameter == json!("")
}

fn tell_stereo(answer: &mut Value) {
    for parameters in ["consumable", "consumer", "consumerWithRtx"] {
        let codecs = answer.pointer_mut(&format!("/{parameters}/codecs")).and_then(Value::as_array_mut);
        for codec in codecs.into_iter().flatten().filter(|codec| is_opus(codec)) {
            if let Some(parameters) = codec["parameters"].as_object_mut() {
                parameters.entry("sprop-stereo").or_insert(json!(1.0));
            }
        }
    }
}

/// What an object of an answer is, which says what fields it may have.
#[derive(Clone, Copy)]
enum Role {
    Negotiation,
    Capabilities,
    CodecCapability,
    Extension,
    Parameters,
    Codec,
    ExtensionParameters,
    Encoding,
    Rtx,
    Rtcp,
    Feedback,
    /// Whatever is there.
    Any,
    /// A field that falls away where it is null, false, 0 or empty.
    Optional,
    /// The same, but 0 is a payload type.
    OptionalPayloadType,
}

fn role(function: &str) -> Role {
    match function {
        "negotiate" => Role::Negotiation,
        "validateParameters" => Role::Parameters,
        _ => Role::Capabilities,
    }
}

fn fields(role: Role) -> &'static [(&'static str, Role)] {
    match role {
        Role::Negotiation => &[
            ("rtpParameters", Role::Parameters),
            ("mapping", Role::Any),
            ("consumable", Role::Parameters),
            ("canConsume", Role::Any),
            ("consumer", Role::Parameters),
            ("consumerWithRtx", Role::Parameters),
        ],
        Role::Capabilities => &[("codecs", Role::CodecCapability), ("headerExtensions", Role::Extension)],
        Role::CodecCapability => &[
            ("kind", Role::Any),
            ("mimeType", Role::Any),
            ("preferredPayloadType", Role::OptionalPayloadType),
            ("clockRate", Role::Any),
            ("channels", Role::Any),
            ("parameters", Role::Any),
            ("rtcpFeedback", Role::Feedback),
        ],
        Role::Extension => &[
            ("kind", Role::Any),
            ("uri", Role::Any),
            ("preferredId", Role::Any),
            ("preferredEncrypt", Role::Any),
            ("direction", Role::Any),
        ],
        Role::Parameters => &[
            ("mid", Role::Optional),
            ("codecs", Role::Codec),
            ("headerExtensions", Role::ExtensionParameters),
            ("encodings", Role::Encoding),
            ("rtcp", Role::Rtcp),
            ("msid", Role::Optional),
        ],
        Role::Codec => &[
            ("mimeType", Role::Any),
            ("payloadType", Role::Any),
            ("clockRate", Role::Any),
            ("channels", Role::Any),
            ("parameters", Role::Any),
            ("rtcpFeedback", Role::Feedback),
        ],
        Role::ExtensionParameters => {
            &[("uri", Role::Any), ("id", Role::Any), ("encrypt", Role::Any), ("parameters", Role::Any)]
        }
        Role::Encoding => &[
            ("ssrc", Role::Optional),
            ("rid", Role::Optional),
            ("codecPayloadType", Role::OptionalPayloadType),
            ("rtx", Role::Rtx),
            ("dtx", Role::Any),
            ("scalabilityMode", Role::Optional),
            ("maxBitrate", Role::Optional),
        ],
        Role::Rtx => &[("ssrc", Role::Any)],
        Role::Rtcp => &[("cname", Role::Optional), ("reducedSize", Role::Any)],
        Role::Feedback => &[("type", Role::Any), ("parameter", Role::Any)],
        Role::Any | Role::Optional | Role::OptionalPayloadType => &[],
    }
}

fn known_fields(value: &Value, role: Role) -> Value {
    match value {
        Value::Array(items) if !fields(role).is_empty() => items.iter().map(|item| known_fields(item, role)).collect(),
        Value::Object(own) if !fields(role).is_empty() => fields(role)
            .iter()
            .filter_map(|(key, role)| Some((*key, own.get(*key)?, *role)))
            .filter(|(_, value, role)| !is_left_out(value, *role))
            .map(|(key, value, role)| (key.to_owned(), known_fields(value, role)))
            .collect(),
        other => other.clone(),
    }
}

fn is_left_out(value: &Value, role: Role) -> bool {
    let is_empty = *value == json!(false) || *value == json!("") || value.is_null();
    match role {
        Role::Optional | Role::Rtx => is_empty || *value == json!(0.0),
        Role::OptionalPayloadType => is_empty,
        _ => false,
    }
}
