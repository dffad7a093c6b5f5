//! What the shards say: answers find the request that asked, events find their transport.

use std::time::Instant;

use shard_protocol::ids::ShardIndex;
use shard_protocol::stats::ShardStats;
use shard_protocol::{Command, CommandError};
use tokio::sync::oneshot;

use super::roster::{Consumer, Producer, Transport};
use super::{Call, Caller, ChannelId, Rooms, shard_unavailable};
use crate::negotiation::{IceParameters, RtpParameters};
use crate::shards::News;
use crate::wire::request::Direction;
use crate::wire::{ErrorCode, Refusal};

/// What is to be done once a shard has answered.
pub(super) enum Then {
    OpenRoom { channel: ChannelId },
    CreateTransport(Box<CreatedTransport>),
    ConnectTransport { call: Call, caller: Caller, direction: Direction },
    Produce(Box<CreatedProducer>),
    Consume(Box<CreatedConsumer>),
    Stats { reply: oneshot::Sender<Box<ShardStats>> },
}

pub(super) struct CreatedTransport {
    pub(super) call: Call,
    pub(super) caller: Caller,
    pub(super) shard: ShardIndex,
    pub(super) direction: Direction,
    pub(super) transport: Transport,
    pub(super) ice_parameters: IceParameters,
}

pub(super) struct CreatedProducer {
    pub(super) call: Call,
    pub(super) caller: Caller,
    pub(super) producer: Producer,
}

pub(super) struct CreatedConsumer {
    pub(super) call: Call,
    pub(super) caller: Caller,
    pub(super) consumer: Consumer,
    pub(super) parameters: RtpParameters,
}

impl Rooms {
    pub(super) fn on_news(&mut self, news: News<Then>, now: Instant) {
        match news {
            News::Answered { then, result } => self.on_answered(then, result, now),
            News::TimedOut { then } => self.on_timed_out(then),
            News::Stats { then, stats } => {
                if let Then::Stats { reply } = then {
                    // Whoever asked may have given up; the figures come again with the next question.
                    let _ = reply.send(stats);
                }
            }
            News::TransportState { transport, ice, dtls } => self.on_transport_state(transport, ice, dtls),
            News::TransportClosed { transport, reason } => self.on_transport_closed(transport, reason),
            News::Lost(shard) => self.on_shard_lost(shard),
        }
    }

    fn on_answered(&mut self, then: Then, result: Result<(), CommandError>, now: Instant) {
        match (then, result) {
            (Then::OpenRoom { channel }, result) => self.on_room_opened(&channel, result, now),
            (Then::CreateTransport(made), Ok(())) => self.on_transport_created(*made),
            (Then::ConnectTransport { call, caller, direction }, Ok(())) => {
                self.on_transport_connected(&call, &caller, direction);
            }
            (Then::Produce(made), Ok(())) => self.on_produced(*made),
            (Then::Consume(made), Ok(())) => self.on_consumed(*made),
            (then, Err(error)) => {
                if let Some(call) = then.call() {
                    self.refuse(call, &refusal_of(error));
                }
            }
            (Then::Stats { .. }, Ok(())) => {}
        }
    }

    /// Takes back what a shard may have made without saying so in time.
    fn on_timed_out(&mut self, then: Then) {
        match &then {
            Then::OpenRoom { channel } => return self.on_room_timed_out(channel),
            Then::CreateTransport(made) => {
                self.shards.release(made.shard, Command::CloseTransport { transport: made.transport.id });
            }
            Then::Produce(made) => self.release_in(&made.caller, Command::CloseProducer { producer: made.producer.id }),
            Then::Consume(made) => self.release_in(&made.caller, Command::CloseConsumer { consumer: made.consumer.id }),
            // A transport that was connected late stays so; a second `connectTransport` is refused by the shard.
            Then::ConnectTransport { .. } | Then::Stats { .. } => {}
        }
        if let Some(call) = then.call() {
            self.refuse(call, &shard_unavailable());
        }
    }

    fn release_in(&mut self, caller: &Caller, command: Command) {
        if let Some(room) = self.rooms.get(&caller.channel) {
            self.shards.release(room.shard, command);
        }
    }
}

impl Then {
    fn call(&self) -> Option<&Call> {
        match self {
            Self::CreateTransport(made) => Some(&made.call),
            Self::ConnectTransport { call, .. } => Some(call),
            Self::Produce(made) => Some(&made.call),
            Self::Consume(made) => Some(&made.call),
            Self::OpenRoom { .. } | Self::Stats { .. } => None,
        }
    }
}

/// A shard's refusal in the words of the protocol.
pub(super) fn refusal_of(error: CommandError) -> Refusal {
    match error {
        CommandError::NotFound => Refusal::not_found("The transport or stream was closed in the meantime."),
        CommandError::LimitReached => Refusal::new(ErrorCode::LimitReached, "The media shard holds no more of these."),
        CommandError::DuplicateSsrc => Refusal::new(
            ErrorCode::DuplicateSsrc,
            "`rtpParameters`: an SSRC, or a MID and RID, belongs to another stream of the transport.",
        ),
        CommandError::AlreadyConnected => Refusal::bad_request("The transport is connected already."),
        CommandError::BadTable => {
            Refusal::new(ErrorCode::Internal, "The media shard refused the negotiated parameters.")
        }
    }
}
