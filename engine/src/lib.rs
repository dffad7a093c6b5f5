//! The media shards: everything that touches a packet.
//!
//! A packet's way, top-down: [`wire`] reads it, [`security`] opens it, [`ingress`] finds its peer, [`transport`] composes
//! one peer's ICE, DTLS and SRTP, [`media`] turns one publisher's packet into a copy for each consumer, [`egress`] sends
//! the copies destination by destination, and [`shard`] is that whole way on one screen, without I/O or a clock. Only
//! `runtime` has sockets, threads and the time; without that feature the engine runs on virtual time.
//!
//! A layer imports layers above it in this list; `ingress`, `transport`, `media` and `egress` are siblings and do not
//! import one another.
//!
//! Not here: rooms, users, JSON, MIME types. The engine sees numbers that signaling has finished.

pub mod egress;
pub mod ingress;
pub mod media;
pub mod packet;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod security;
pub mod shard;
pub mod transport;
pub mod wire;
