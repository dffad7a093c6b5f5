//! A load tool of real participants, by the thousand in one process.
//!
//! The way of a run: arguments → shape → joins (signaling, ICE, DTLS; by `peer`) → lanes, which carry the media of
//! connected transports → figures → verdict → table and JSON. It knows of the server what the signaling protocol says,
//! and no more, so that any server that speaks it can be measured.
//!
//! What it does not do: encode or play sound and pictures, buffer jitter, ask for lost packets, adapt its rates.

pub mod cli;
pub mod error;
pub mod inspect;
pub mod join;
pub mod lane;
pub mod measure;
pub mod observe;
pub mod progress;
pub mod record;
pub mod report;
pub mod run;
pub mod shape;
pub mod source;
pub mod token;
