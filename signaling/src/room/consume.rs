//! Consumers: streams that participants receive.

use std::time::Instant;

use shard_protocol::Command;
use shard_protocol::command::PauseReason;
use shard_protocol::ids::{ConsumerId, ShardIndex};

use super::news::{CreatedConsumer, Then};
use super::roster::{Consumer, pause_reasons};
use super::{Call, Caller, Rooms, shard_unavailable, state};
use crate::negotiation;
use crate::wire::request::{Consume, OfConsumer};
use crate::wire::{Answer, ErrorCode, PublicId, Refusal};

impl Rooms {
    pub(super) fn on_consume(&mut self, call: &Call, consume: &Consume, now: Instant) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (room, participant) = self.seat(&caller)?;
        let found = room.producers.get_key_value(consume.producer_id.as_str());
        let (producer_public, producer) = found.ok_or_else(no_producer)?;
        if producer.owner == caller.user {
            return Err(Refusal::bad_request("`producerId` is the connection's own."));
        }
        if producer.consumers.contains_key(&caller.user) {
            return Err(Refusal::bad_request("There is a consumer of this `producerId` already."));
        }
        let transport = participant
            .recv
            .as_ref()
            .ok_or_else(|| Refusal::bad_request("There is no `recv` transport: `createTransport` first."))?;
        let streams = transport.next_streams().ok_or_else(|| {
            Refusal::new(ErrorCode::LimitReached, "The `recv` transport has had all the consumers that it can name.")
        })?;
        let consumed = negotiation::negotiate_consumer(&producer.stream, &participant.capabilities, streams)?;
        let (shard, transport, producer_id) = (room.shard, transport.id, producer.id);
        let kind = producer.source.kind();
        let is_held = state::is_kind_held(kind, participant.state);
        let producer_public = producer_public.clone();
        let id = ConsumerId(self.next_id());
        let made = CreatedConsumer {
            call: call.clone(),
            caller: caller.clone(),
            consumer: Consumer { id, producer: producer_public, kind, is_paused: true, is_held },
            parameters: consumed.parameters,
        };
        let (table, paused) = (Box::new(consumed.table), pause_reasons(true, is_held));
        let command = |request| Command::CreateConsumer {
            request,
            transport,
            producer: producer_id,
            consumer: id,
            table,
            paused,
        };
        let then = Then::Consume(Box::new(made));
        let request = self.shards.try_create(shard, now, then, command).map_err(|_| shard_unavailable())?;
        // Names are used up even when the shard refuses: a number skipped costs nothing, one used twice would.
        if let Some(transport) = self.participant_mut(&caller).and_then(|participant| participant.recv.as_mut()) {
            transport.consumers_named += 1;
        }
        self.await_shard(call, request);
        Ok(())
    }

    pub(super) fn on_consumed(&mut self, made: CreatedConsumer) {
        let CreatedConsumer { call, caller, consumer, parameters } = made;
        let Some(room) = self.rooms.get_mut(&caller.channel) else { return };
        let participant = room.participants.get_mut(&caller.user).filter(|participant| participant.recv.is_some());
        let (Some(producer), Some(participant)) = (room.producers.get_mut(&consumer.producer), participant) else {
            // The producer or the transport ended in the meantime, and the consumer with it.
            return self.refuse(&call, &no_producer());
        };
        let (public, producer_public) = (PublicId::random(), consumer.producer.clone());
        producer.consumers.insert(caller.user.clone(), public.clone());
        let consumed = Answer::Consumed {
            consumer_id: &public,
            producer_id: &producer_public,
            kind: consumer.kind,
            rtp_parameters: &parameters,
            user_id: &producer.owner,
            source: producer.source,
            consumer_type: producer.stream.stream_type,
            producer_paused: producer.is_paused,
        };
        self.connections.answer(call.connection, consumed.to_frame(call.key.as_ref()));
        participant.consumers.insert(public.clone(), consumer);
        // What a moderator said while the shard was asked is not lost.
        self.apply_state(&caller);
    }

    pub(super) fn on_close_consumer(&mut self, call: &Call, close: &OfConsumer) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (public, shard, id) = self.find_consumer(&caller, close)?;
        self.shards.release(shard, Command::CloseConsumer { consumer: id });
        self.answer(call, &Answer::ConsumerClosed { consumer_id: &public });
        let Some(room) = self.rooms.get_mut(&caller.channel) else { return Ok(()) };
        let participant = room.participants.get_mut(&caller.user);
        let consumer = participant.and_then(|participant| participant.consumers.remove(&public));
        if let Some(producer) = consumer.and_then(|consumer| room.producers.get_mut(&consumer.producer)) {
            producer.consumers.remove(&caller.user);
        }
        Ok(())
    }

    pub(super) fn on_pause_consumer(&mut self, call: &Call, request: &OfConsumer, pause: bool) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (public, shard, id) = self.find_consumer(&caller, request)?;
        let consumer_id = &public;
        let answer =
            if pause { Answer::ConsumerPaused { consumer_id } } else { Answer::ConsumerResumed { consumer_id } };
        self.answer(call, &answer);
        let participant = self.participant_mut(&caller);
        let Some(consumer) = participant.and_then(|participant| participant.consumers.get_mut(&public)) else {
            return Ok(());
        };
        if std::mem::replace(&mut consumer.is_paused, pause) == pause {
            return Ok(());
        }
        let reason = PauseReason::Owner;
        let command = match pause {
            true => Command::PauseConsumer { consumer: id, reason },
            false => Command::ResumeConsumer { consumer: id, reason },
        };
        self.shards.release(shard, command);
        Ok(())
    }

    pub(super) fn on_request_key_frame(&mut self, call: &Call, request: &OfConsumer) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (public, shard, consumer) = self.find_consumer(&caller, request)?;
        self.shards.release(shard, Command::RequestKeyFrame { consumer });
        self.answer(call, &Answer::KeyFrameRequested { consumer_id: &public });
        Ok(())
    }

    fn find_consumer(
        &self,
        caller: &Caller,
        request: &OfConsumer,
    ) -> Result<(PublicId, ShardIndex, ConsumerId), Refusal> {
        let (room, participant) = self.seat(caller)?;
        let found = participant.consumers.get_key_value(request.consumer_id.as_str());
        found
            .map(|(public, consumer)| (public.clone(), room.shard, consumer.id))
            .ok_or_else(|| Refusal::not_found("The connection has no consumer of this `consumerId`."))
    }
}

fn no_producer() -> Refusal {
    Refusal::not_found("There is no stream of this `producerId` in the channel.")
}
