//! The connections that are open, and what the rooms remember of each.

use std::collections::HashMap;

use shard_protocol::ids::RequestId;

use super::{ChannelId, UserId};
use crate::permissions::Grant;
use crate::session::outgoing::{Item, Outgoing};
use crate::wire::{CloseReason, Frame, Push};

/// Names a connection within the process; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub(super) u64);

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The room's router.
    Room(ChannelId),
    /// The answer of a shard.
    Shard(RequestId),
}

/// An open connection.
pub(super) struct Connection {
    pub(super) user: UserId,
    pub(super) grant: Grant,
    pub(super) outgoing: Outgoing,
    /// The channel that the user is in by this connection.
    pub(super) joined: Option<ChannelId>,
    /// The one request under way; a connection reads the next only when it is answered.
    pub(super) waiting: Option<Waiting>,
}

/// All open connections.
#[derive(Default)]
pub(super) struct Connections {
    open: HashMap<ConnectionKey, Connection>,
}

impl Connections {
    pub(super) fn insert(&mut self, key: ConnectionKey, connection: Connection) {
        self.open.insert(key, connection);
    }

    pub(super) fn remove(&mut self, key: ConnectionKey) {
        self.open.remove(&key);
    }

    pub(super) fn find(&self, key: ConnectionKey) -> Option<&Connection> {
        self.open.get(&key)
    }

    pub(super) fn find_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.open.get_mut(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn close(&self, key: ConnectionKey, reason: CloseReason) {
        if let Some(connection) = self.open.get(&key) {
            connection.outgoing.close(reason);
        }
    }

    pub(super) fn close_all(&self, reason: CloseReason) {
        for connection in self.open.values() {
            connection.outgoing.close(reason);
        }
    }

    /// Answers the request under way.
    pub(super) fn answer(&mut self, key: ConnectionKey, frame: Frame) {
        if let Some(connection) = self.open.get_mut(&key) {
            connection.waiting = None;
            connection.outgoing.push(Item::Answer(frame));
        }
    }

    /// Tells one connection.
    pub(super) fn tell(&self, key: ConnectionKey, push: &Push<'_>) {
        self.tell_all(std::iter::once(key), push);
    }

    /// Tells many; the message is serialised once, and not at all when there is nobody.
    pub(super) fn tell_all(&self, keys: impl Iterator<Item = ConnectionKey>, push: &Push<'_>) {
        let mut keys = keys.peekable();
        if keys.peek().is_none() {
            return;
        }
        let frame = push.to_frame();
        for connection in keys.filter_map(|key| self.open.get(&key)) {
            connection.outgoing.push(Item::Push(frame.clone()));
        }
    }
}
