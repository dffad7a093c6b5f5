//! From one publisher's packet to a copy for each receiver.
//!
//! [`RtpListener`] finds the [`Producer`] of a packet, [`InboundStream`] keeps what reception needs, and each [`Consumer`]
//! writes its own copy through its [`Rewriter`]; the publisher's packet is never changed. Who is asked in which order is
//! the shard's business, and so is every look-up of one object from another: nothing here holds more than a key.

mod consumer;
mod listener;
mod policer;
mod producer;
mod rewrite;
mod stream;

pub use consumer::{COPY_HEADER_LEN_MAX, Consumer, Copied, Departure, Incoming};
pub use listener::{Flow, RtpListener, StreamRoute};
pub use policer::Policer;
pub use producer::Producer;
pub use rewrite::{Arrival, Rewriter, RunId};
pub use stream::InboundStream;
