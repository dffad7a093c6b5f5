//! From one publisher's packet to a copy for each receiver.
//!
//! [`RtpListener`] finds the [`Producer`] of a packet, [`InboundStream`] keeps what reception needs, and each [`Consumer`]
//! writes its own copy through its [`Rewriter`]; the publisher's packet is never changed. What is lost on a publisher's way
//! is asked for by its [`NackList`], and on a receiver's way sent again from the producer's [`RetransmissionStore`]. Who is
//! asked in which order is the shard's business, and so is every look-up of one object from another: nothing here holds more
//! than a key.

mod arrivals;
mod clock;
mod consumer;
mod content;
mod key_frame;
mod listener;
mod nack;
mod padding;
mod policer;
mod producer;
mod retransmission;
mod rewrite;
mod store;
mod stream;

pub use arrivals::{ARRIVALS_MAX, Arrivals};
pub use clock::PublisherClock;
pub use consumer::{COPY_HEADER_LEN_MAX, Consumer, Copied, Departure, Incoming};
pub use content::Content;
pub use key_frame::KeyFrames;
pub use listener::{Flow, RtpListener, StreamRoute};
pub use nack::{MISSING_MAX, NackList, TooManyMissing};
pub use padding::{PADDING_MAX, padding_len, padding_max};
pub use policer::Policer;
pub use producer::{Producer, Subscription};
pub use retransmission::{RefusedRequest, Retransmission};
pub use rewrite::{Arrival, Mapped, Origin, PictureNumbers, Rewriter, RunId};
pub use store::RetransmissionStore;
pub use stream::{InboundStream, Reception};
