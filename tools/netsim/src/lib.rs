//! Virtual participants that drive a media shard over a seeded network, without sockets or a clock.
//!
//! A [`World`] holds one [`engine::shard::Shard`], a [`Network`] that loses, repeats and reorders by a seed, and
//! [`Participant`]s that write their STUN, SRTP and RTCP with other libraries than the shard does. Time passes only in
//! [`World::run_for`], so a scenario of minutes takes milliseconds and the same seed gives the same run.
//!
//! DTLS is scripted here: a handshake is answered with keys at once, or as [`HandshakeOutcome`] says. What it does on a
//! real network is tested elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]

mod network;
mod participant;
mod world;

pub use network::{Conditions, Network};
pub use participant::{Participant, Received};
pub use world::{HandshakeOutcome, LinkId, World, audio_consumer, audio_producer};
