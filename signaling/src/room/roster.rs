//! What a room holds: its participants, their transports, and the streams between them.
//!
//! Plain data with the few questions that need no shard and no connection; every change is made by the stages beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::event::{DtlsState, IceState};
use shard_protocol::ids::{ConsumerId, ProducerId, RequestId, RouterId, ShardIndex, TransportId};
use shard_protocol::tables::Ssrc;

use super::connections::ConnectionKey;
use super::{Call, PublicId, UserId};
use crate::negotiation::{ConsumerStreams, NegotiatedProducer, RtpCapabilities};
use crate::wire::message::State;
use crate::wire::request::{Direction, Kind, Source};

/// A channel with somebody in it, and its media on one shard.
pub(super) struct Room {
    pub(super) shard: ShardIndex,
    pub(super) router: RouterId,
    /// The request that makes the router, while it is under way.
    pub(super) opening: Option<RequestId>,
    /// Who waits for the router, in the order of their coming.
    pub(super) waiting: Vec<Joining>,
    pub(super) participants: BTreeMap<UserId, Participant>,
    pub(super) producers: BTreeMap<PublicId, Producer>,
}

/// A join that is accepted but for the router.
pub(super) struct Joining {
    pub(super) call: Call,
    pub(super) user: UserId,
    pub(super) capabilities: Arc<RtpCapabilities>,
}

/// A user in a room.
pub(super) struct Participant {
    pub(super) connection: ConnectionKey,
    pub(super) capabilities: Arc<RtpCapabilities>,
    pub(super) state: State,
    pub(super) joined_at_ms: u64,
    /// The canonical name of all its streams, whatever the sender calls them, so that receivers keep them in step.
    pub(super) cname: String,
    pub(super) send: Option<Transport>,
    pub(super) recv: Option<Transport>,
    pub(super) consumers: BTreeMap<PublicId, Consumer>,
}

/// One of the two ways between a participant and its shard.
pub(super) struct Transport {
    pub(super) id: TransportId,
    pub(super) public: PublicId,
    pub(super) is_connected: bool,
    pub(super) ice: IceState,
    pub(super) dtls: DtlsState,
    /// How many consumers it has been asked for; ended ones count.
    pub(super) consumers_named: u32,
    /// The SSRC of its first consumer.
    pub(super) first_ssrc: Ssrc,
}

/// A stream that somebody sends.
pub(super) struct Producer {
    pub(super) id: ProducerId,
    pub(super) owner: UserId,
    pub(super) source: Source,
    pub(super) stream: Arc<NegotiatedProducer>,
    /// By its owner's request.
    pub(super) is_paused: bool,
    /// By its owner's state; as the shard knows it.
    pub(super) is_held: bool,
    /// Who receives it, by which consumer.
    pub(super) consumers: BTreeMap<UserId, PublicId>,
}

/// A stream that somebody receives.
pub(super) struct Consumer {
    pub(super) id: ConsumerId,
    pub(super) producer: PublicId,
    pub(super) kind: Kind,
    /// By its owner's request.
    pub(super) is_paused: bool,
    /// By its owner's state; as the shard knows it.
    pub(super) is_held: bool,
}

impl Room {
    /// Whether nobody is in it and nobody waits for it.
    pub(super) fn is_empty(&self) -> bool {
        self.participants.is_empty() && self.waiting.is_empty()
    }

    /// How many it serves, or is about to.
    pub(super) fn load(&self) -> usize {
        self.participants.len() + self.waiting.len()
    }

    /// Whether `user` sends a stream of this source.
    pub(super) fn has_source(&self, user: &UserId, source: Source) -> bool {
        self.producers.values().any(|producer| producer.source == source && producer.owner == *user)
    }

    /// A producer, if it is `user`'s own. Another's is as good as none.
    pub(super) fn own_producer_mut(&mut self, user: &UserId, public: &str) -> Option<(PublicId, &mut Producer)> {
        let (public, _) = self.producers.get_key_value(public)?;
        let public = public.clone();
        let producer = self.producers.get_mut(&public).filter(|producer| producer.owner == *user)?;
        Some((public, producer))
    }
}

impl Participant {
    /// The transport of a direction.
    pub(super) fn transport(&self, direction: Direction) -> Option<&Transport> {
        match direction {
            Direction::Send => self.send.as_ref(),
            Direction::Recv => self.recv.as_ref(),
        }
    }

    /// The place for the transport of a direction.
    pub(super) fn transport_mut(&mut self, direction: Direction) -> &mut Option<Transport> {
        match direction {
            Direction::Send => &mut self.send,
            Direction::Recv => &mut self.recv,
        }
    }

    /// The transport with a public id, and its direction.
    pub(super) fn find_transport(&self, public: &str) -> Option<(Direction, &Transport)> {
        let both = [(Direction::Send, self.send.as_ref()), (Direction::Recv, self.recv.as_ref())];
        let mut made = both.into_iter().filter_map(|(direction, transport)| Some((direction, transport?)));
        made.find(|(_, transport)| transport.public.as_str() == public)
    }

    /// Whether media can flow over one of its transports.
    pub(super) fn is_media_connected(&self) -> bool {
        [&self.send, &self.recv].into_iter().flatten().any(|transport| transport.dtls == DtlsState::Connected)
    }
}

impl Transport {
    /// The names of the next consumer's streams; `None` once the numbers are used up, after a thousand million consumers.
    ///
    /// SSRCs only grow. The key of a transport stays the same for all its life, and each SSRC begins again with packet 0:
    /// one that came twice would protect two packets by the same nonce (RFC 7714 section 8.1).
    pub(super) fn next_streams(&self) -> Option<ConsumerStreams> {
        let ssrc = self.consumers_named.checked_mul(2).and_then(|offset| self.first_ssrc.0.checked_add(offset))?;
        let mid = self.consumers_named.to_string();
        Some(ConsumerStreams { mid, ssrc: Ssrc(ssrc), rtx_ssrc: Some(Ssrc(ssrc.checked_add(1)?)) })
    }
}

/// The reasons that a stream starts with.
pub(super) fn pause_reasons(is_paused: bool, is_held: bool) -> PauseReasons {
    let owner = if is_paused { PauseReasons::NONE.with(PauseReason::Owner) } else { PauseReasons::NONE };
    if is_held { owner.with(PauseReason::State) } else { owner }
}
