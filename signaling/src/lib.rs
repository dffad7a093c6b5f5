//! x

pub mod ortc;
