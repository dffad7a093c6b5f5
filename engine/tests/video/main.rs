//! Video on virtual time: what receivers get of a publisher over networks that lose, repeat and reorder.
//!
//! Publishers and receivers behave as browsers do, and all that a receiver was sent is held against the strict model of
//! what a decoder may see (`netsim::decoder`). A scenario that fails prints the seed of its world.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]

mod feedback;
mod flood;
mod key_frames;
mod lip_sync;
mod loss;
mod scene;
mod sequences;
mod switching;
