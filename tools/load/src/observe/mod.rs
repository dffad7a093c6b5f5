//! What is seen of the server beside its media: its process, and its metrics.

pub mod metrics;
pub mod process;
