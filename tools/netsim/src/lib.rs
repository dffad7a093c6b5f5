//! Virtual participants that drive a media shard over a seeded network, without sockets or a clock.
//!
//! A [`World`] holds one [`engine::shard::Shard`], a [`Network`] that loses, repeats and reorders by a seed, and
//! [`Participant`]s that write their STUN, SRTP and RTCP with other libraries than the shard does. Time passes only in
//! [`World::run_for`], so a scenario of minutes takes milliseconds and the same seed gives the same run.
//!
//! A participant can publish and receive by itself: a [`Publisher`] makes frames and heeds feedback as a browser does, a
//! [`Receiver`] asks for what it misses, and [`decoder::judge`] tells whether what was sent to it is what a decoder may see.
//!
//! DTLS is scripted here: a handshake is answered with keys at once, or as [`HandshakeOutcome`] says. What it does on a
//! real network is tested elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]

pub mod decoder;
mod encoding;
mod feedback;
mod label;
mod losses;
mod network;
#[cfg(test)]
mod pair;
mod participant;
mod payload;
mod progress;
mod publisher;
mod receiver;
mod tables;
mod world;

pub use encoding::{EncodingSetup, Published};
pub use feedback::Feedback;
pub use label::{Label, Picture};
pub use network::{Bursts, Conditions, Network};
pub use participant::{Participant, Received, Sent};
pub use publisher::{Publisher, PublisherSetup};
pub use receiver::{Arrival, Receiver, ReceiverSetup};
pub use tables::{
    audio_consumer, audio_producer, clock_rate_hz, consumer, consumer_payload_type, producer_payload_type,
};
pub use world::{HandshakeOutcome, LinkId, World};
