//! What stands on a WebSocket: requests read, answers and pushes written, errors and close codes.
//!
//! A frame's way: [`strict_json`] takes the text in within bounds, [`request`] makes of it one [`Request`], and what
//! comes back is a [`Frame`] of [`message`] or of [`error`]. Nothing here knows a room, a socket or a shard; whether a
//! well-formed request makes sense is for others to say.

pub mod close;
pub mod error;
mod label;
pub mod message;
pub mod name;
pub mod request;
pub mod strict_json;

pub use close::CloseReason;
pub use error::{ErrorCode, Refusal};
pub use label::Label;
pub use message::{Answer, Push};
pub use name::{ChannelId, PublicId, UserId};
pub use request::{Envelope, Request, RequestKey};

/// One text frame, serialised once and shared by all that it goes to.
pub type Frame = axum::extract::ws::Utf8Bytes;

/// The version of the protocol, as the subprotocol and `connected` name it.
pub const PROTOCOL: &str = "voice.v1";

/// Bytes of one frame of a client. Real requests stay under 30 KB (the capabilities of a browser); this leaves room for
/// any client, and bounds what one frame can cost to parse.
pub const FRAME_LEN_MAX: usize = 256 * 1024;
