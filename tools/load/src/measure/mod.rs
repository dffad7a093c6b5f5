//! What is measured: histograms, places in streams, and what a listener would think of it.

pub mod histogram;
pub mod latency;
pub mod mos;
pub mod stream;
