//! Producers: streams that participants send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use shard_protocol::Command;
use shard_protocol::command::PauseReason;
use shard_protocol::ids::ProducerId;

use super::news::{CreatedProducer, Then};
use super::roster::{Producer, Room, pause_reasons};
use super::{Call, Caller, Rooms, shard_unavailable, state};
use crate::negotiation;
use crate::permissions::Permissions;
use crate::wire::request::{Direction, Kind, OfProducer, Produce, Source};
use crate::wire::{Answer, ErrorCode, PublicId, Push, Refusal, UserId};

impl Producer {
    /// The message that makes the stream known.
    pub(super) fn announcement<'a>(&'a self, producer_id: &'a PublicId) -> Push<'a> {
        let kind = self.source.kind();
        Push::NewProducer { producer_id, user_id: &self.owner, kind, source: self.source, paused: self.is_paused }
    }
}

impl Rooms {
    pub(super) fn on_produce(&mut self, call: &Call, produce: &Produce, now: Instant) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (room, participant) = self.seat(&caller)?;
        let (direction, transport) = participant
            .find_transport(&produce.transport_id)
            .ok_or_else(|| Refusal::not_found("The connection has no transport of this `transportId`."))?;
        if direction != Direction::Send {
            return Err(Refusal::bad_request("`transportId` is of a `recv` transport."));
        }
        let source = choose_source(room, &caller.user, produce)?;
        self.check_right(call, &caller, source)?;
        if room.has_source(&caller.user, source) {
            return Err(Refusal::new(ErrorCode::LimitReached, "There is a producer of this `source` already."));
        }
        let stream = negotiation::negotiate_producer(source, &produce.rtp_parameters, &participant.cname)?;
        let (shard, transport) = (room.shard, transport.id);
        let is_held = state::is_source_held(source, state::with_source(participant.state, source, true));
        let is_paused = produce.paused.unwrap_or(false);
        let id = ProducerId(self.next_id());
        let table = Box::new(stream.table.clone());
        let producer = Producer {
            id,
            owner: caller.user.clone(),
            source,
            stream: Arc::new(stream),
            is_paused,
            is_held,
            consumers: BTreeMap::new(),
        };
        let then = Then::Produce(Box::new(CreatedProducer { call: call.clone(), caller, producer }));
        let paused = pause_reasons(is_paused, is_held);
        let command = |request| Command::CreateProducer { request, transport, producer: id, table, paused };
        let request = self.shards.try_create(shard, now, then, command).map_err(|_| shard_unavailable())?;
        self.await_shard(call, request);
        Ok(())
    }

    pub(super) fn on_produced(&mut self, made: CreatedProducer) {
        let CreatedProducer { call, caller, producer } = made;
        let public = PublicId::random();
        let source = producer.source;
        let Some(room) = self.rooms.get_mut(&caller.channel) else { return };
        if room.participants.get(&caller.user).is_none_or(|participant| participant.send.is_none()) {
            // The transport ended by itself in the meantime, and the producer with it.
            return self.refuse(&call, &Refusal::not_found("The transport was closed."));
        }
        room.producers.insert(public.clone(), producer);
        self.answer(&call, &Answer::Produced { producer_id: &public, source });
        if let Some(producer) = self.rooms.get(&caller.channel).and_then(|room| room.producers.get(&public)) {
            self.tell_others(&caller, &producer.announcement(&public));
        }
        self.show_source(&caller, source, true);
        // What a moderator said while the shard was asked is not lost.
        self.apply_state(&caller);
    }

    pub(super) fn on_close_producer(&mut self, call: &Call, close: &OfProducer) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (public, shard, id) = self.find_own_producer(&caller, close)?;
        self.shards.release(shard, Command::CloseProducer { producer: id });
        self.answer(call, &Answer::ProducerClosed { producer_id: &public });
        self.remove_producer(&caller, &public);
        Ok(())
    }

    pub(super) fn on_pause_producer(&mut self, call: &Call, request: &OfProducer, pause: bool) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (public, shard, id) = self.find_own_producer(&caller, request)?;
        let producer_id = &public;
        let answer =
            if pause { Answer::ProducerPaused { producer_id } } else { Answer::ProducerResumed { producer_id } };
        self.answer(call, &answer);
        let room = self.rooms.get_mut(&caller.channel);
        let Some(producer) = room.and_then(|room| room.producers.get_mut(&public)) else { return Ok(()) };
        if std::mem::replace(&mut producer.is_paused, pause) == pause {
            return Ok(());
        }
        let reason = PauseReason::Owner;
        let command = match pause {
            true => Command::PauseProducer { producer: id, reason },
            false => Command::ResumeProducer { producer: id, reason },
        };
        self.shards.release(shard, command);
        self.tell_paused(&caller, &public, pause);
        Ok(())
    }

    /// Takes a producer out with its consumers, and tells the others. The shard hears of it from the caller.
    pub(super) fn remove_producer(&mut self, caller: &Caller, public: &PublicId) {
        let Some(room) = self.rooms.get_mut(&caller.channel) else { return };
        let Some(producer) = room.producers.remove(public) else { return };
        for (user, consumer_id) in &producer.consumers {
            if let Some(participant) = room.participants.get_mut(user) {
                participant.consumers.remove(consumer_id);
                let push = Push::ConsumerClosed { consumer_id, producer_id: public };
                self.connections.tell(participant.connection, &push);
            }
        }
        self.tell_others(caller, &Push::ProducerClosed { producer_id: public, user_id: &caller.user });
        self.show_source(caller, producer.source, false);
    }

    fn tell_paused(&self, caller: &Caller, public: &PublicId, pause: bool) {
        let Some(room) = self.rooms.get(&caller.channel) else { return };
        let Some(producer) = room.producers.get(public) else { return };
        let (producer_id, user_id) = (public, &caller.user);
        for (user, consumer_id) in &producer.consumers {
            let Some(participant) = room.participants.get(user) else { continue };
            let push = match pause {
                true => Push::ConsumerPaused { consumer_id, producer_id },
                false => Push::ConsumerResumed { consumer_id, producer_id },
            };
            self.connections.tell(participant.connection, &push);
        }
        let push = match pause {
            true => Push::ProducerPaused { producer_id, user_id },
            false => Push::ProducerResumed { producer_id, user_id },
        };
        self.tell_others(caller, &push);
    }

    fn find_own_producer(
        &mut self,
        caller: &Caller,
        request: &OfProducer,
    ) -> Result<(PublicId, shard_protocol::ids::ShardIndex, ProducerId), Refusal> {
        let room = self.rooms.get_mut(&caller.channel);
        let found = room.and_then(|room| {
            let shard = room.shard;
            let (public, producer) = room.own_producer_mut(&caller.user, &request.producer_id)?;
            Some((public, shard, producer.id))
        });
        found.ok_or_else(|| Refusal::not_found("The connection has no producer of this `producerId`."))
    }

    fn check_right(&self, call: &Call, caller: &Caller, source: Source) -> Result<(), Refusal> {
        let (wanted, name) = match source {
            Source::Mic => (Permissions::SPEAK, "SPEAK"),
            Source::Camera | Source::Screen | Source::ScreenAudio => (Permissions::STREAM, "STREAM"),
        };
        let Some(connection) = self.connections.find(call.connection) else { return Ok(()) };
        let checked = connection.grant.check(wanted, name, caller.channel.as_str());
        checked.map_err(|sentence| Refusal::new(ErrorCode::Forbidden, sentence))
    }
}

/// What a new stream is: as the client says, else a microphone, a camera, or a screen beside a camera.
fn choose_source(room: &Room, user: &UserId, produce: &Produce) -> Result<Source, Refusal> {
    let guessed = match produce.kind {
        Kind::Audio => Source::Mic,
        Kind::Video if room.has_source(user, Source::Camera) => Source::Screen,
        Kind::Video => Source::Camera,
    };
    let source = produce.source.unwrap_or(guessed);
    if source.kind() != produce.kind {
        return Err(Refusal::bad_request(
            "`source` is not of this `kind`: mic and screenAudio are audio, the others video.",
        ));
    }
    Ok(source)
}
