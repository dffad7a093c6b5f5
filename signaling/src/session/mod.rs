//! One connection.

pub mod outgoing;
