//! The only I/O of the engine: threads, executors, sockets, queues and the clock.

pub mod clock;
pub mod dtls;
pub mod event_loop;
pub mod host;
pub mod mailbox;
pub mod socket;
