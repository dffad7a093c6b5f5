//! JSON taken in strictly: bounded in depth, and no key twice in one object.
//!
//! Parsers disagree on which of two equal keys counts (RFC 8259 section 4), and what one side checks the other may not
//! use; I-JSON (RFC 7493 section 2.3) forbids them, and so does this.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Levels of objects and lists in one frame. The deepest real request has seven; the rest is reserve.
pub const DEPTH_MAX: usize = 32;

/// Reads one JSON object.
///
/// # Errors
/// A sentence that says what is wrong: no JSON, no object, deeper than [`DEPTH_MAX`], or a key twice in an object.
pub fn read_object(text: &str) -> Result<Map<String, Value>, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: DEPTH_MAX }.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err("the frame is not a JSON object".to_owned()),
    }
}

/// Reads one value at most `depth_left` levels deep. It stops at the first level too many, before reading it.
#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn descend<E: Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left }),
            None => Err(E::custom(format_args!("deeper than {DEPTH_MAX} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.descend()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inner = self.descend()?;
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands twice in one object")));
            }
            let value = object.next_value_seed(inner)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn an_object_is_read_as_any_parser_reads_it() {
        let text = r#"{"a":[1,-2,3.5,true,null,"ü\n"],"b":{"c":{}}}"#;
        assert_eq!(Value::Object(read_object(text).unwrap()), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn the_last_level_is_read_and_one_more_is_not() {
        assert!(read_object(&nested(DEPTH_MAX)).is_ok());
        assert!(read_object(&nested(DEPTH_MAX + 1)).unwrap_err().contains("deeper"));
        let lists = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read_object(&lists).unwrap_err().contains("deeper"));
    }

    #[test]
    fn a_key_twice_is_refused_at_every_level() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"c":2,"a":3}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(read_object(text).unwrap_err().contains("twice"), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", " ", "[]", "1", "null", "\"{}\"", "{", "{}{}", "{} x", "{a:1}", "{\"a\":01}", "{\"a\":1e999}"]
        {
            assert!(read_object(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = read_object(&text);
        }
    }
}
