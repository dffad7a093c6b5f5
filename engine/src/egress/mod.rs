//! What leaves in one turn, ordered by where it goes.
//!
//! [`Staging`] collects the copies of a whole input batch and gives them back destination by destination, each
//! destination's in the order of their staging. Writing and protecting a copy is not done here.

mod staging;

pub use staging::{Queue, STAGED_MAX, Staged, Staging};
