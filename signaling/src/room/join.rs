//! Coming and going: join, leave, connections that end, sessions that are taken over, shards that are lost.

use std::collections::BTreeMap;
use std::time::Instant;

use shard_protocol::ids::{RouterId, ShardIndex};
use shard_protocol::{Command, CommandError};

use super::connections::Waiting;
use super::news::{Then, refusal_of};
use super::roster::{Joining, Participant, Room};
use super::{Call, Caller, ConnectionKey, Rooms, shard_unavailable};
use crate::negotiation;
use crate::permissions::Permissions;
use crate::placement::{self, Seat};
use crate::wire::message::{Other, Settings, State};
use crate::wire::request::{Direction, Join, Leave};
use crate::wire::{Answer, ChannelId, CloseReason, ErrorCode, PublicId, Push, Refusal};

impl Rooms {
    pub(super) fn on_join(&mut self, call: &Call, join: Join, now: Instant) -> Result<(), Refusal> {
        let Some(connection) = self.connections.find_mut(call.connection) else { return Ok(()) };
        if connection.joined.is_some() {
            return Err(Refusal::new(
                ErrorCode::AlreadyJoined,
                "The connection is in a channel already: `leave` first.",
            ));
        }
        let channel = ChannelId::new(&join.channel_id).ok_or_else(|| {
            Refusal::bad_request("`channelId` is not 1-64 characters of A-Z a-z 0-9 _ - and full stop.")
        })?;
        connection
            .grant
            .check(Permissions::CONNECT, "CONNECT", channel.as_str())
            .map_err(|sentence| Refusal::new(ErrorCode::Forbidden, sentence))?;
        let capabilities = negotiation::read_capabilities(&join.rtp_capabilities)?;
        let user = connection.user.clone();
        let capabilities = self.capabilities.share(capabilities);
        let joining = Joining { call: call.clone(), user, capabilities };
        match self.rooms.get_mut(&channel) {
            Some(room) if room.opening.is_none() => self.admit(&channel, joining, now),
            Some(room) => {
                room.waiting.push(joining);
                connection.waiting = Some(Waiting::Room(channel));
            }
            None => self.open_room(channel, joining, now)?,
        }
        Ok(())
    }

    /// Answers the joins that waited for a room's router.
    pub(super) fn on_room_opened(&mut self, channel: &ChannelId, result: Result<(), CommandError>, now: Instant) {
        let Some(room) = self.rooms.get_mut(channel) else { return };
        room.opening = None;
        let waiting = std::mem::take(&mut room.waiting);
        match result {
            Ok(()) => {
                for joining in waiting {
                    self.admit(channel, joining, now);
                }
            }
            Err(error) => {
                self.rooms.remove(channel);
                self.refuse_all(waiting, &refusal_of(error));
            }
        }
    }

    /// Gives up a room whose router was not made in time.
    pub(super) fn on_room_timed_out(&mut self, channel: &ChannelId) {
        let Some(mut room) = self.rooms.remove(channel) else { return };
        self.shards.release(room.shard, Command::CloseRouter { router: room.router });
        self.refuse_all(std::mem::take(&mut room.waiting), &shard_unavailable());
    }

    pub(super) fn on_leave(&mut self, call: &Call, leave: &Leave) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        if caller.channel.as_str() != leave.channel_id {
            return Err(Refusal::new(ErrorCode::NotJoined, "The connection is in another channel than `channelId`."));
        }
        self.answer(call, &Answer::Left { channel_id: &caller.channel });
        self.depart(call.connection);
        Ok(())
    }

    /// Takes a connection out of its room, and lets go of what it waits for.
    pub(super) fn depart(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.find_mut(key) else { return };
        let (waiting, joined) = (connection.waiting.take(), connection.joined.take());
        let user = connection.user.clone();
        match waiting {
            Some(Waiting::Room(channel)) => {
                if let Some(room) = self.rooms.get_mut(&channel) {
                    room.waiting.retain(|joining| joining.call.connection != key);
                }
                self.close_if_empty(&channel);
            }
            Some(Waiting::Shard(request)) => {
                // A producer or consumer under way ends with its transport; a transport under way has no owner else.
                if let Some(Then::CreateTransport(made)) = self.shards.cancel(request) {
                    self.shards.release(made.shard, Command::CloseTransport { transport: made.transport.id });
                }
            }
            None => {}
        }
        if let Some(channel) = joined {
            self.remove_participant(&Caller { channel: channel.clone(), user });
            self.close_if_empty(&channel);
        }
    }

    /// Ends everything on a lost shard. The rooms may be opened anew on another one.
    pub(super) fn on_shard_lost(&mut self, shard: ShardIndex) {
        let lost = self.rooms.iter().filter(|(_, room)| room.shard == shard).map(|(channel, _)| channel.clone());
        for channel in lost.collect::<Vec<_>>() {
            let Some(room) = self.rooms.remove(&channel) else { continue };
            for (user, participant) in room.participants {
                for transport in [participant.send, participant.recv].into_iter().flatten() {
                    self.transports.remove(&transport.id);
                }
                self.users.remove(&user);
                if let Some(connection) = self.connections.find_mut(participant.connection) {
                    (connection.joined, connection.waiting) = (None, None);
                }
                self.connections.close(participant.connection, CloseReason::ShardLost);
            }
            self.refuse_all(room.waiting, &shard_unavailable());
        }
        tracing::error!(%shard, "a shard was lost; its rooms are closed");
    }

    fn open_room(&mut self, channel: ChannelId, joining: Joining, now: Instant) -> Result<(), Refusal> {
        let load = |shard| {
            let rooms = self.rooms.values().filter(|room| room.shard == shard);
            Seat { shard, participants: rooms.map(Room::load).sum() }
        };
        let seats: Vec<Seat> = self.shards.alive().map(load).collect();
        let shard = placement::place(&channel, &seats).ok_or_else(shard_unavailable)?;
        let router = RouterId(self.next_id());
        let then = Then::OpenRoom { channel: channel.clone() };
        let create = |request| Command::CreateRouter { request, router };
        let opening = self.shards.try_create(shard, now, then, create).map_err(|_| shard_unavailable())?;
        if let Some(connection) = self.connections.find_mut(joining.call.connection) {
            connection.waiting = Some(Waiting::Room(channel.clone()));
        }
        let room = Room {
            shard,
            router,
            opening: Some(opening),
            waiting: vec![joining],
            participants: BTreeMap::new(),
            producers: BTreeMap::new(),
        };
        self.rooms.insert(channel, room);
        Ok(())
    }

    /// Puts a user into an open room, and out of any other place.
    fn admit(&mut self, channel: &ChannelId, joining: Joining, now: Instant) {
        let caller = Caller { channel: channel.clone(), user: joining.user.clone() };
        let joined_at_ms = self.unix_ms(now);
        // While it waits here, the room is not empty, even if it is this very room that the user's old session leaves.
        let Some(room) = self.rooms.get_mut(channel) else { return };
        room.waiting.push(joining);
        if let Some(&other) = self.users.get(&caller.user) {
            self.connections.close(other, CloseReason::TakenOver);
            self.depart(other);
        }
        let Some(room) = self.rooms.get_mut(channel) else { return };
        let Some(Joining { call, capabilities, .. }) = room.waiting.pop() else { return };
        let participant = Participant {
            connection: call.connection,
            capabilities,
            state: State::default(),
            joined_at_ms,
            cname: PublicId::random().to_string(),
            send: None,
            recv: None,
            consumers: BTreeMap::new(),
        };
        room.participants.insert(caller.user.clone(), participant);
        self.users.insert(caller.user.clone(), call.connection);
        if let Some(connection) = self.connections.find_mut(call.connection) {
            connection.joined = Some(channel.clone());
        }
        self.welcome(&call, &caller);
        tracing::info!(channel = %caller.channel, user = %caller.user, "joined");
    }

    /// Tells a new participant who and what is there, and the others who came.
    fn welcome(&mut self, call: &Call, caller: &Caller) {
        let Some(room) = self.rooms.get(&caller.channel) else { return };
        let others = room.participants.iter().filter(|(user, _)| **user != caller.user);
        let other = |(user_id, participant): (_, &Participant)| Other {
            user_id,
            state: participant.state,
            joined_at: participant.joined_at_ms,
        };
        let joined = Answer::Joined {
            channel_id: &caller.channel,
            participants: others.map(other).collect(),
            ice_servers: [],
            settings: Settings::default(),
        };
        self.connections.answer(call.connection, joined.to_frame(call.key.as_ref()));
        for (producer_id, producer) in &room.producers {
            self.connections.tell(call.connection, &producer.announcement(producer_id));
        }
        self.tell_others(caller, &Push::UserJoined { user_id: &caller.user });
    }

    fn remove_participant(&mut self, caller: &Caller) {
        for direction in [Direction::Send, Direction::Recv] {
            if let Some((shard, transport)) = self.remove_transport(caller, direction) {
                self.shards.release(shard, Command::CloseTransport { transport });
            }
        }
        self.users.remove(&caller.user);
        let room = self.rooms.get_mut(&caller.channel);
        if room.is_some_and(|room| room.participants.remove(&caller.user).is_some()) {
            self.tell_others(caller, &Push::UserLeft { user_id: &caller.user });
            tracing::info!(channel = %caller.channel, user = %caller.user, "left");
        }
    }

    fn close_if_empty(&mut self, channel: &ChannelId) {
        if !self.rooms.get(channel).is_some_and(Room::is_empty) {
            return;
        }
        if let Some(room) = self.rooms.remove(channel) {
            if let Some(request) = room.opening {
                self.shards.cancel(request);
            }
            self.shards.release(room.shard, Command::CloseRouter { router: room.router });
        }
    }

    fn refuse_all(&mut self, waiting: Vec<Joining>, refusal: &Refusal) {
        for joining in waiting {
            self.refuse(&joining.call, refusal);
        }
    }
}
