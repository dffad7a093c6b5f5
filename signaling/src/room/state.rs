//! Participants' state: told to the room, and enforced by the shard.
//!
//! A muted user's microphone is held back at its producer, a deafened user's ears at its consumers. What the shard was told
//! last is kept with each stream, so that a change is told once and a stream made in between catches up.

use shard_protocol::Command;
use shard_protocol::command::PauseReason;

use super::{Call, Caller, Rooms};
use crate::wire::message::State;
use crate::wire::request::{Kind, Source, UpdateState};
use crate::wire::{Answer, Push, Refusal};

/// Whether a user in this state sends nothing from this source.
pub(super) fn is_source_held(source: Source, state: State) -> bool {
    match source {
        Source::Mic => state.muted || state.server_muted,
        Source::Camera => !state.video_enabled,
        Source::Screen => !state.screen_sharing,
        Source::ScreenAudio => false,
    }
}

/// Whether a user in this state is sent nothing of this kind.
pub(super) fn is_kind_held(kind: Kind, state: State) -> bool {
    kind == Kind::Audio && (state.deafened || state.server_deafened)
}

/// The state with the flag that stands for a source; sound has none.
pub(super) fn with_source(state: State, source: Source, is_shown: bool) -> State {
    match source {
        Source::Camera => State { video_enabled: is_shown, ..state },
        Source::Screen => State { screen_sharing: is_shown, ..state },
        Source::Mic | Source::ScreenAudio => state,
    }
}

impl Rooms {
    pub(super) fn on_update_state(&mut self, call: &Call, update: UpdateState) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (_, participant) = self.seat(&caller)?;
        let before = participant.state;
        let state = State {
            muted: update.muted.unwrap_or(before.muted),
            deafened: update.deafened.unwrap_or(before.deafened),
            video_enabled: update.video_enabled.unwrap_or(before.video_enabled),
            screen_sharing: update.screen_sharing.unwrap_or(before.screen_sharing),
            ..before
        };
        let State { muted, deafened, video_enabled, screen_sharing, .. } = state;
        self.answer(call, &Answer::StateUpdated { muted, deafened, video_enabled, screen_sharing });
        self.change_state(&caller, state);
        Ok(())
    }

    /// Sets the flag that follows from having a source, or from having it no more.
    pub(super) fn show_source(&mut self, caller: &Caller, source: Source, is_shown: bool) {
        if let Some(participant) = self.participant_mut(caller) {
            let state = with_source(participant.state, source, is_shown);
            self.change_state(caller, state);
        }
    }

    fn change_state(&mut self, caller: &Caller, state: State) {
        let Some(participant) = self.participant_mut(caller) else { return };
        if std::mem::replace(&mut participant.state, state) == state {
            return;
        }
        self.apply_state(caller);
        self.tell_others(caller, &Push::UserStateUpdate { user_id: &caller.user, state });
    }

    /// Brings the shard's knowledge of the user's streams in line with the user's state.
    pub(super) fn apply_state(&mut self, caller: &Caller) {
        let Some(room) = self.rooms.get_mut(&caller.channel) else { return };
        let Some(participant) = room.participants.get_mut(&caller.user) else { return };
        let (shard, state, reason) = (room.shard, participant.state, PauseReason::State);
        for producer in room.producers.values_mut().filter(|producer| producer.owner == caller.user) {
            let is_held = is_source_held(producer.source, state);
            if std::mem::replace(&mut producer.is_held, is_held) != is_held {
                let producer = producer.id;
                self.shards.release(
                    shard,
                    match is_held {
                        true => Command::PauseProducer { producer, reason },
                        false => Command::ResumeProducer { producer, reason },
                    },
                );
            }
        }
        for consumer in participant.consumers.values_mut() {
            let is_held = is_kind_held(consumer.kind, state);
            if std::mem::replace(&mut consumer.is_held, is_held) != is_held {
                let consumer = consumer.id;
                self.shards.release(
                    shard,
                    match is_held {
                        true => Command::PauseConsumer { consumer, reason },
                        false => Command::ResumeConsumer { consumer, reason },
                    },
                );
            }
        }
    }
}
