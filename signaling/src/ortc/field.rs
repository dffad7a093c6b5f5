//! Reading one field of a client's JSON, with its place in the request for the error.
//!
//! The rules of presence are JavaScript's, as the model has them: a field that is missing, `null`, `false`, `0` or
//! empty counts as left out. What is there must have its type.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

use serde_json::Value;

use super::error::OrtcError;

static ABSENT: Value = Value::Null;

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// A value of the request and the way to it.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    value: &'a Value,
    parent: Option<&'a Field<'a>>,
    step: Step<'a>,
}

impl<'a> Field<'a> {
    /// The value that the request calls `name`.
    pub(super) fn root(name: &'a str, value: &'a Value) -> Self {
        Self { value, parent: None, step: Step::Key(name) }
    }

    /// The field `key` of this object; absent where this is no object.
    pub(super) fn child(&'a self, key: &'a str) -> Self {
        Self { value: self.value.get(key).unwrap_or(&ABSENT), parent: Some(self), step: Step::Key(key) }
    }

    /// The value itself.
    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether this is the field `key` of an object.
    pub(super) fn is_key(&self, key: &str) -> bool {
        matches!(self.step, Step::Key(own) if own == key)
    }

    /// Whether the field counts as left out.
    pub(super) fn is_left_out(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(value) => value.as_f64() == Some(0.0),
            Value::String(value) => value.is_empty(),
            Value::Array(_) | Value::Object(_) => false,
        }
    }

    /// The error that says what holds for this field.
    pub(super) fn invalid(&self, expected: &'static str) -> OrtcError {
        OrtcError::Invalid { path: self.to_string(), expected }
    }

    /// The error that says how large this field may be.
    pub(super) fn too_large(&self, limit: usize, unit: &'static str) -> OrtcError {
        OrtcError::TooLarge { path: self.to_string(), limit, unit }
    }

    /// Makes sure that this is an object.
    pub(super) fn check_object(&self) -> Result<(), OrtcError> {
        if self.value.is_object() { Ok(()) } else { Err(self.invalid("must be an object")) }
    }

    /// Reads the items of a list of at most `items_max`; nothing where it is left out.
    pub(super) fn list<T>(
        &'a self,
        items_max: usize,
        read: impl Fn(&Field<'_>) -> Result<T, OrtcError>,
    ) -> Result<Vec<T>, OrtcError> {
        if self.is_left_out() {
            return Ok(Vec::new());
        }
        let items = self.value.as_array().ok_or_else(|| self.invalid("must be a list"))?;
        if items.len() > items_max {
            return Err(self.too_large(items_max, "items"));
        }
        let field = |(index, value)| Field { value, parent: Some(self), step: Step::Item(index) };
        items.iter().enumerate().map(|item| read(&field(item))).collect()
    }

    /// Reads a string of 1 to `bytes_max` bytes without control characters.
    pub(super) fn text(&self, bytes_max: usize) -> Result<String, OrtcError> {
        let text = self.value.as_str().ok_or_else(|| self.invalid("must be a string"))?;
        if text.is_empty() {
            return Err(self.invalid("must not be empty"));
        }
        self.check_text(text, bytes_max)?;
        Ok(text.to_owned())
    }

    /// Reads a string as [`Self::text`] does, or nothing where it is left out.
    pub(super) fn optional_text(&self, bytes_max: usize) -> Result<Option<String>, OrtcError> {
        if self.is_left_out() { Ok(None) } else { self.text(bytes_max).map(Some) }
    }

    /// Makes sure that `text`, which stands in this field, can be told to another participant.
    pub(super) fn check_text(&self, text: &str, bytes_max: usize) -> Result<(), OrtcError> {
        if text.len() > bytes_max {
            return Err(self.too_large(bytes_max, "bytes"));
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(self.invalid("must not contain control characters"));
        }
        Ok(())
    }

    /// Reads a whole number within `range`.
    pub(super) fn integer(&self, range: RangeInclusive<u64>, expected: &'static str) -> Result<u64, OrtcError> {
        // JavaScript has one kind of number: 111.0 is 111.
        let whole = |number: f64| {
            (number.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER as f64).contains(&number)).then_some(number as u64)
        };
        let number = self.value.as_u64().or_else(|| self.value.as_f64().and_then(whole));
        number.filter(|number| range.contains(number)).ok_or_else(|| self.invalid(expected))
    }

    /// Reads a number as [`Self::integer`] does, or nothing where it is left out.
    pub(super) fn optional_integer(
        &self,
        range: RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<u64>, OrtcError> {
        if self.is_left_out() { Ok(None) } else { self.integer(range, expected).map(Some) }
    }

    /// Reads a flag that is off where it is left out.
    pub(super) fn flag(&self) -> Result<bool, OrtcError> {
        match self.value {
            Value::Bool(true) => Ok(true),
            _ if self.is_left_out() => Ok(false),
            _ => Err(self.invalid("must be true or false")),
        }
    }
}

/// The largest integer that JavaScript's numbers hold without a gap below it.
pub(super) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

impl Display for Field<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_none() => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}
