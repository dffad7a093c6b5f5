//! Why the service closes a connection, as the close frame says it.

use serde::Serialize;

/// Why the service closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The service ends.
    GoingAway,
    /// A breach of RFC 6455.
    BadFraming,
    /// Text that is no UTF-8.
    BadText,
    /// A frame over [`super::FRAME_LEN_MAX`].
    FrameTooLarge,
    /// Frames that are no JSON object, again and again.
    NoJson,
    /// The token expired.
    TokenExpired,
    /// Nothing was heard for too long.
    HeartbeatMissed,
    /// The same user joined from another connection.
    TakenOver,
    /// The room's shard was lost.
    ShardLost,
    /// Too many requests for too long.
    RateLimit,
    /// The client does not read what it is sent.
    SlowReader,
}

/// Bytes of a reason in a close frame: 125 of a control frame less the code (RFC 6455 section 5.5).
pub const REASON_LEN_MAX: usize = 123;

impl CloseReason {
    /// The close code; from 4000 on those of Discord's voice gateway.
    pub fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::BadFraming => 1002,
            Self::BadText => 1007,
            Self::FrameTooLarge => 1009,
            Self::NoJson => 4002,
            Self::TokenExpired => 4004,
            Self::HeartbeatMissed => 4009,
            Self::TakenOver => 4014,
            Self::ShardLost => 4015,
            Self::RateLimit | Self::SlowReader => 4021,
        }
    }

    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::GoingAway => "going_away",
            Self::BadFraming => "bad_framing",
            Self::BadText => "bad_text",
            Self::FrameTooLarge => "frame_too_large",
            Self::NoJson => "no_json",
            Self::TokenExpired => "token_expired",
            Self::HeartbeatMissed => "heartbeat_missed",
            Self::TakenOver => "taken_over",
            Self::ShardLost => "shard_lost",
            Self::RateLimit => "rate_limit",
            Self::SlowReader => "slow_reader",
        }
    }

    /// The JSON text of the close frame, at most [`REASON_LEN_MAX`] bytes.
    pub fn text(self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Reason {
            reason: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after_ms: Option<u64>,
        }
        let reason = Reason { reason: self.sentence(), retry_after_ms: self.retry_after_ms() };
        serde_json::to_string(&reason).unwrap_or_default()
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::GoingAway => "the service ends",
            Self::BadFraming => "the WebSocket framing is broken",
            Self::BadText => "text that is no UTF-8",
            Self::FrameTooLarge => "a frame over 262144 bytes",
            Self::NoJson => "frames that are no JSON object, again and again",
            Self::TokenExpired => "the token expired",
            Self::HeartbeatMissed => "heartbeat missed",
            Self::TakenOver => "taken over by another session of the same user",
            Self::ShardLost => "the room's shard was lost",
            Self::RateLimit => "too many requests",
            Self::SlowReader => "too slow a reader",
        }
    }

    fn retry_after_ms(self) -> Option<u64> {
        match self {
            // Spread over four seconds, so that all clients of a service that ends do not come back in one moment.
            Self::GoingAway => Some(rand::random_range(1000..5000)),
            // A pause about as long as the offence.
            Self::RateLimit | Self::SlowReader => Some(10_000),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_json_and_fits_a_close_frame() {
        use CloseReason::*;
        let all = [
            GoingAway,
            BadFraming,
            BadText,
            FrameTooLarge,
            NoJson,
            TokenExpired,
            HeartbeatMissed,
            TakenOver,
            ShardLost,
            RateLimit,
            SlowReader,
        ];
        for reason in all {
            let text = reason.text();
            assert!(text.len() <= REASON_LEN_MAX, "{text}");
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value["reason"].is_string());
        }
    }
}
