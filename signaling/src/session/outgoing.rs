//! The queue of what one connection is to be sent, bounded in messages and bytes.
//!
//! The rooms push and never wait; the connection's own task takes out and writes. A connection that does not keep up is
//! closed: with media going on, an old `newProducer` is of no use to anybody, and memory is not for clients to choose.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Notify, mpsc};

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

#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    close: OnceLock<CloseReason>,
    closed: Notify,
}

/// The end that takes messages in.
#[derive(Clone)]
pub struct Outgoing {
    items: mpsc::Sender<Box<Item>>,
    shared: Arc<Shared>,
}

/// The end that gives messages out.
pub struct Outlet {
    /// Boxed: the channel has places for 32 at the least, and of a thousand connections few have one to send.
    items: mpsc::Receiver<Box<Item>>,
    shared: Arc<Shared>,
}

/// Makes the queue of one connection.
pub fn queue() -> (Outgoing, Outlet) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let shared = Arc::new(Shared::default());
    (Outgoing { items: sender, shared: Arc::clone(&shared) }, Outlet { items: receiver, shared })
}

impl Outgoing {
    /// Adds a message; where there is no room for it, the connection is closed as too slow.
    pub fn push(&self, item: Item) {
        if self.is_closed() {
            return;
        }
        let (Item::Answer(frame) | Item::Push(frame)) = &item;
        let frame_len = frame.len();
        let waiting_bytes = self.shared.waiting_bytes.fetch_add(frame_len, Ordering::Relaxed) + frame_len;
        if waiting_bytes > BYTES_MAX || self.items.try_send(Box::new(item)).is_err() {
            self.close(CloseReason::SlowReader);
        }
    }

    /// Closes the connection; the first reason stands.
    pub fn close(&self, reason: CloseReason) {
        if self.shared.close.set(reason).is_ok() {
            self.shared.closed.notify_one();
        }
    }

    /// Whether the connection is to be closed.
    pub fn is_closed(&self) -> bool {
        self.shared.close.get().is_some()
    }
}

impl Outlet {
    /// Waits for the next message.
    ///
    /// # Errors
    /// The reason, once the connection is to be closed; messages may be waiting still.
    pub async fn next(&mut self) -> Result<Item, CloseReason> {
        let item = tokio::select! {
            biased;
            reason = closed(&self.shared) => return Err(reason),
            item = self.items.recv() => item,
        };
        // The queue's other end lives as long as the connection; without it there is nobody to write for.
        self.count_out(item).ok_or(CloseReason::GoingAway)
    }

    /// Takes the next message if there is one.
    pub fn try_next(&mut self) -> Option<Item> {
        let item = self.items.try_recv().ok();
        self.count_out(item)
    }

    /// Waits until the connection is to be closed.
    pub async fn closed(&self) -> CloseReason {
        closed(&self.shared).await
    }

    /// Why the connection is to be closed, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.close.get().copied()
    }

    fn count_out(&self, item: Option<Box<Item>>) -> Option<Item> {
        let item = *item?;
        let (Item::Answer(frame) | Item::Push(frame)) = &item;
        self.shared.waiting_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(item)
    }
}

async fn closed(shared: &Shared) -> CloseReason {
    loop {
        if let Some(&reason) = shared.close.get() {
            return reason;
        }
        shared.closed.notified().await;
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
