//! What signaling and the media shards say to each other.
//!
//! Signaling sends a [`Command`], a shard sends an [`Event`]; both name things by the small ids of [`ids`] and describe
//! media by the finished number tables of [`tables`]. The queues between the two are bounded by [`limits`].
//!
//! Not here: I/O, channels, JSON, and any decision. Whoever reads a type of this crate knows all that it does.

pub mod command;
pub mod error;
pub mod event;
pub mod ids;
pub mod limits;
pub mod stats;
pub mod tables;

pub use command::Command;
pub use error::CommandError;
pub use event::Event;
