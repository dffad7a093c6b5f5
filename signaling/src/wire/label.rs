//! What stands on a request that is not to be read.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::error::{bad_json, shown_name};
use super::{Refusal, RequestKey};

/// What an answer repeats of a request: all that is read of one that is refused unseen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The client's `id`.
    pub key: Option<RequestKey>,
    /// The `type`, as far as answers repeat it.
    pub name: Option<String>,
}

impl Label {
    /// Reads the text of one frame and keeps nothing but the label, so that it costs a fraction of
    /// [`super::Envelope::read`]. An `id` that cannot be repeated is left out.
    ///
    /// # Errors
    /// [`super::ErrorCode::BadJson`] where it is no JSON object. One that is too deep, or has a key twice, passes here.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let label = deserializer.deserialize_map(LabelVisitor).and_then(|label| deserializer.end().map(|()| label));
        label.map_err(|fault| bad_json(&fault))
    }
}

struct LabelVisitor;

impl<'de> Visitor<'de> for LabelVisitor {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Label, A::Error> {
        let mut label = Label::default();
        while let Some(field) = object.next_key()? {
            match field {
                LabelField::Id => label.key = object.next_value::<Plain>()?.0.and_then(|id| RequestKey::read(id).ok()),
                LabelField::Type => label.name = object.next_value::<Plain>()?.0.as_ref().and_then(shown_name),
                LabelField::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(label)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum LabelField {
    Id,
    Type,
    #[serde(other)]
    Other,
}

/// A string or a number; what else stands there is passed over without being kept.
struct Plain(Option<Value>);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Plain, E> {
        Ok(Plain(None))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
        Ok(Plain(Some(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain(Some(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
        Ok(Plain(Some(value.into())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
        Ok(Plain(Some(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Plain, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Plain(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Plain, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Plain(None))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Envelope, ErrorCode};
    use super::*;

    #[test]
    fn the_label_of_a_request_is_the_one_that_its_answer_repeats() {
        let long = format!(r#"{{"type":"{}","id":-7}}"#, "x".repeat(5000));
        for text in [
            r#"{"type":"join","id":"k","rtpCapabilities":{"codecs":[{"a":[1,2.5,null,true,"ü\n"]}]}}"#,
            r#"{"id":18446744073709551615,"type":"ping"}"#,
            r#"{"id":2.5,"\u0074ype":"ping"}"#,
            r#"{"type":["ping",[{}]],"id":{"a":[1],"b":{}}}"#,
            r#"{"type":null,"id":true}"#,
            "{}",
            &long,
        ] {
            let Envelope { key, name, .. } = Envelope::read(text).unwrap();
            assert_eq!(Label::read(text), Ok(Label { key, name }), "{text}");
        }
        let too_long = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(129));
        assert_eq!(Label::read(&too_long), Ok(Label { key: None, name: Some("ping".into()) }));
        for text in ["", "[]", "1", "{", "{} x", r#"{"type":"ping","a":[}"#, r#"{"type":"ping","a":nul}"#] {
            assert_eq!(Label::read(text).unwrap_err().code, ErrorCode::BadJson, "{text}");
        }
    }

    #[test]
    fn a_label_beside_a_hundred_thousand_levels_is_read() {
        let lists = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let read = Label::read(&format!(r#"{{"a":{lists},"id":1,"type":"ping"}}"#)).unwrap();
        assert_eq!(read, Label { key: Some(RequestKey::Number(1.into())), name: Some("ping".into()) });
        // Where a label belongs, no such depth is gone into.
        let _ = Label::read(&format!(r#"{{"id":{lists}}}"#));
    }
}
