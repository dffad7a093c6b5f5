//! Refusals of requests, as clients see them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::{Frame, RequestKey};

/// Why a request was refused, in a word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame is no JSON object, or not a strict one.
    BadJson,
    /// A field is missing or makes no sense.
    BadRequest,
    /// The service knows no request of this type.
    UnknownType,
    /// One field or list is too long.
    TooLarge,
    /// Too many requests.
    RateLimited,
    /// The connection is in no channel, or not in this one.
    NotJoined,
    /// The connection is in a channel already.
    AlreadyJoined,
    /// The connection has no such object.
    NotFound,
    /// The user has no right to it.
    Forbidden,
    /// The client cannot decode the stream.
    CannotConsume,
    /// The service does not forward this codec.
    UnsupportedCodec,
    /// Another stream has the SSRC.
    DuplicateSsrc,
    /// There are as many as there may be.
    LimitReached,
    /// The room's shard takes nothing new at the moment.
    ShardUnavailable,
    /// The service is about to end.
    Draining,
    /// A fault of the service.
    Internal,
}

impl ErrorCode {
    /// The code as clients and metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::CannotConsume => "cannot_consume",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::DuplicateSsrc => "duplicate_ssrc",
            Self::LimitReached => "limit_reached",
            Self::ShardUnavailable => "shard_unavailable",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }
}

/// A refused request; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The word for programs.
    pub code: ErrorCode,
    /// A sentence for people: what was wrong, and where in the request.
    pub message: Cow<'static, str>,
    /// When it is worth another try, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// The longest sentence in bytes. Faults of JSON repeat what they found, and a whole frame may be one string: without a
    /// bound a client would choose the size of answers.
    pub const MESSAGE_LEN_MAX: usize = 400;

    /// A refusal with a sentence, which is cut where it is too long.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let mut message = message.into();
        if message.len() > Self::MESSAGE_LEN_MAX {
            let end = message.floor_char_boundary(Self::MESSAGE_LEN_MAX - "…".len());
            message.to_mut().truncate(end);
            message.to_mut().push('…');
        }
        Self { code, message, retry_after_ms: None }
    }

    /// A refusal for [`ErrorCode::BadRequest`].
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// A refusal for [`ErrorCode::NotFound`].
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The `error` frame for the request `name` with the key `key`; both may be unknown.
    pub fn to_frame(&self, name: Option<&str>, key: Option<&RequestKey>) -> Frame {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ErrorFrame<'a> {
            r#type: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a RequestKey>,
            request: Option<&'a str>,
            code: ErrorCode,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after_ms: Option<u64>,
        }
        let Self { code, message, retry_after_ms } = self;
        let frame = ErrorFrame {
            r#type: "error",
            id: key,
            request: name,
            code: *code,
            message,
            retry_after_ms: *retry_after_ms,
        };
        super::message::to_frame(&frame)
    }
}

/// What a frame says of itself where a refusal has to name it: the `type`, cut to what an answer should repeat.
pub(super) fn shown_name(value: &Value) -> Option<String> {
    /// Longer names are of no known request; repeating them would only let clients choose the size of answers.
    const SHOWN_CHARS_MAX: usize = 64;
    value.as_str().map(|name| name.chars().take(SHOWN_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_frame_repeats_id_and_request() {
        let refusal = Refusal { retry_after_ms: Some(20), ..Refusal::bad_request("`x` is missing.") };
        let frame = refusal.to_frame(Some("join"), Some(&RequestKey::Number(7.into())));
        let value: Value = serde_json::from_str(&frame).unwrap();
        let expected = serde_json::json!({
            "type": "error", "id": 7, "request": "join", "code": "bad_request", "message": "`x` is missing.",
            "retryAfterMs": 20,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_sentence_that_repeats_a_whole_frame_is_cut() {
        for repeated in ["x", "ü", "😀"] {
            let refusal = Refusal::bad_request(format!("`kind`: {}", repeated.repeat(100_000)));
            assert!((Refusal::MESSAGE_LEN_MAX - 4..=Refusal::MESSAGE_LEN_MAX).contains(&refusal.message.len()));
            assert!(refusal.message.starts_with("`kind`: ") && refusal.message.ends_with('…'));
        }
        let longest = "x".repeat(Refusal::MESSAGE_LEN_MAX);
        assert_eq!(Refusal::bad_request(longest.clone()).message, longest);
    }

    #[test]
    fn labels_are_what_is_serialised() {
        for code in [ErrorCode::BadJson, ErrorCode::DuplicateSsrc, ErrorCode::ShardUnavailable, ErrorCode::Internal] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.label());
        }
    }
}
