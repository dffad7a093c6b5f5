//! The only I/O of the engine: threads, executors, sockets, queues and the clock.

mod clock;
pub mod socket;
