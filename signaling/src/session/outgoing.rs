//! The queue of what one connection is to be sent, bounded in messages and bytes.
//!
//! The rooms push and never wait; the connection's own task takes out and writes. A connection that does not keep up is
//! closed: with media going on, an old `newProducer` is of no use to anybody, and memory is not for clients to choose.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::wire::{CloseReason, Frame};

/// Messages that wait for one connection. Joining a room of a thousand participants with four streams each is 4001.
pub const MESSAGES_MAX: usize = 8192;

/// Bytes that wait for one connection. The same join is about 1 MB; twice that is more than any reader that keeps up needs.
pub const BYTES_MAX: usize = 2 * 1024 * 1024;

/// What waits in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The answer to the connection's request under way; the next one may be read.
    Answer(Frame),
    /// A message that nobody asked for.
    Push(Frame),
}

impl Item {
    fn frame_len(&self) -> usize {
        let (Self::Answer(frame) | Self::Push(frame)) = self;
        frame.len()
    }
}

#[derive(Default)]
struct Waiting {
    /// Has no places while it is empty: of a thousand connections few have a message to send.
    items: VecDeque<Item>,
    bytes: usize,
    close: Option<CloseReason>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Wakes the one who takes out.
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that takes messages in.
#[derive(Clone)]
pub struct Outgoing(Arc<Shared>);

/// The end that gives messages out.
pub struct Outlet(Arc<Shared>);

/// Makes the queue of one connection.
pub fn queue() -> (Outgoing, Outlet) {
    let shared = Arc::new(Shared::default());
    (Outgoing(Arc::clone(&shared)), Outlet(shared))
}

impl Outgoing {
    /// Adds a message; where there is no room for it, the connection is closed as too slow.
    pub fn push(&self, item: Item) {
        let mut waiting = self.0.lock();
        if waiting.close.is_some() {
            return;
        }
        let bytes = waiting.bytes + item.frame_len();
        if bytes > BYTES_MAX || waiting.items.len() == MESSAGES_MAX {
            waiting.close = Some(CloseReason::SlowReader);
        } else {
            waiting.bytes = bytes;
            waiting.items.push_back(item);
        }
        drop(waiting);
        self.0.changed.notify_one();
    }

    /// Closes the connection; the first reason stands.
    pub fn close(&self, reason: CloseReason) {
        self.0.lock().close.get_or_insert(reason);
        self.0.changed.notify_one();
    }

    /// Whether the connection is to be closed.
    pub fn is_closed(&self) -> bool {
        self.0.lock().close.is_some()
    }
}

impl Outlet {
    /// Waits for the next message.
    ///
    /// # Errors
    /// The reason, once the connection is to be closed; messages may be waiting still.
    pub async fn next(&mut self) -> Result<Item, CloseReason> {
        loop {
            if let Some(reason) = self.close_reason() {
                return Err(reason);
            }
            if let Some(item) = self.try_next() {
                return Ok(item);
            }
            self.0.changed.notified().await;
        }
    }

    /// Takes the next message if there is one.
    pub fn try_next(&mut self) -> Option<Item> {
        let mut waiting = self.0.lock();
        let item = waiting.items.pop_front()?;
        waiting.bytes -= item.frame_len();
        if waiting.items.is_empty() {
            waiting.items = VecDeque::new();
        }
        Some(item)
    }

    /// Waits until the connection is to be closed.
    pub async fn closed(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.close_reason() {
                return reason;
            }
            self.0.changed.notified().await;
        }
    }

    /// Why the connection is to be closed, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.lock().close
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(text: &str) -> Item {
        Item::Push(Frame::from(text))
    }

    #[test]
    fn messages_come_out_in_their_order() {
        let (outgoing, mut outlet) = queue();
        outgoing.push(push("a"));
        outgoing.push(Item::Answer(Frame::from("b")));
        assert_eq!(outlet.try_next(), Some(push("a")));
        assert_eq!(outlet.try_next(), Some(Item::Answer(Frame::from("b"))));
        assert_eq!(outlet.try_next(), None);
        assert!(!outgoing.is_closed());
    }

    #[test]
    fn too_many_messages_close_the_connection() {
        let (outgoing, mut outlet) = queue();
        for _ in 0..MESSAGES_MAX {
            outgoing.push(push("x"));
        }
        assert!(!outgoing.is_closed());
        outgoing.push(push("x"));
        assert_eq!(outlet.close_reason(), Some(CloseReason::SlowReader));
        outgoing.push(push("late"));
        assert_eq!(std::iter::from_fn(|| outlet.try_next()).count(), MESSAGES_MAX);
    }

    #[test]
    fn too_many_bytes_close_the_connection_and_what_was_read_does_not_count() {
        let (outgoing, mut outlet) = queue();
        let large = "x".repeat(BYTES_MAX / 4);
        for _ in 0..40 {
            outgoing.push(push(&large));
            assert!(outlet.try_next().is_some());
        }
        for _ in 0..4 {
            outgoing.push(push(&large));
        }
        assert!(!outgoing.is_closed());
        outgoing.push(push("x"));
        assert!(outgoing.is_closed());
    }

    #[tokio::test]
    async fn the_first_reason_to_close_stands() {
        let (outgoing, outlet) = queue();
        outgoing.close(CloseReason::TakenOver);
        outgoing.close(CloseReason::GoingAway);
        assert_eq!(outlet.closed().await, CloseReason::TakenOver);
        assert_eq!(outlet.closed().await, CloseReason::TakenOver);
    }
}
