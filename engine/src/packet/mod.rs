//! Fixed slots for the datagrams of one turn: what came in, and what goes out.
//!
//! Both batches are allocated when a shard starts and used again every turn. The runtime fills an [`InputBatch`] from a
//! socket and sends an [`OutputBatch`] by it; tests do the same without one.

mod input;
mod output;

pub use input::{InputBatch, Slot};
pub use output::{Message, OutputBatch, SEGMENTS_MAX};

/// Bytes of one slot. An Ethernet frame carries 1500; what is longer is cut by the kernel and dropped as oversized.
pub const SLOT_LEN: usize = 2048;

/// Datagrams of one turn. A shard that has more to do than time takes so many at once, and what one listener gets of them
/// leaves as few messages: with a hundred rooms, four or five datagrams a room, and with nine listeners each as many copies
/// as a turn makes. They leave the second-level cache, but so does the state of a hundred rooms with any batch.
pub const BATCH_MAX: usize = 512;
