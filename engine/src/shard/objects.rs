//! What lives in a shard and what belongs to what: routers, peers, producers, consumers.
//!
//! Closing something closes all that hangs on it, here and nowhere else. Nothing is sent or told from here.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use shard_protocol::CommandError;
use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::{ConsumerId, ProducerId, RouterId, TransportId};
use shard_protocol::limits::{
    CNAME_LEN_MAX, CODECS_MAX, CONSUMERS_MAX, CONSUMERS_PER_TRANSPORT_MAX, ENCODINGS_MAX, PRODUCERS_PER_TRANSPORT_MAX,
    ROUTERS_MAX, TRANSPORTS_MAX, VIDEO_PRODUCERS_MAX,
};
use shard_protocol::tables::{CodecTable, ConsumerTable, MediaKind, ProducerTable};
use slotmap::{SecondaryMap, SlotMap};

use super::keys::{ConsumerKey, PeerKey, ProducerKey, RouterKey};
use super::peer::Peer;
use crate::egress::Queue;
use crate::media::{Consumer, Producer, Subscription};
use crate::transport::Transport;
use crate::wire::sequence::{PacketIndex, Timestamp};

/// One room's media.
struct Router {
    id: RouterId,
    peers: Vec<PeerKey>,
}

/// Consumers of one producer: its copies of one packet must fit the staging.
pub(super) const CONSUMERS_PER_PRODUCER_MAX: usize = TRANSPORTS_MAX;

type IdMap<I, K> = HashMap<I, K, ahash::RandomState>;

/// All objects of a shard.
#[derive(Default)]
pub(super) struct Objects {
    routers: SlotMap<RouterKey, Router>,
    pub(super) peers: SlotMap<PeerKey, Peer>,
    /// What is staged for each peer in this turn; apart from the peers, so that staging for a thousand of them stays in the
    /// cache.
    pub(super) queues: SecondaryMap<PeerKey, Queue>,
    pub(super) producers: SlotMap<ProducerKey, Producer<PeerKey, ConsumerKey>>,
    pub(super) consumers: SlotMap<ConsumerKey, Consumer<PeerKey, ProducerKey>>,
    router_keys: IdMap<RouterId, RouterKey>,
    peer_keys: IdMap<TransportId, PeerKey>,
    producer_keys: IdMap<ProducerId, ProducerKey>,
    consumer_keys: IdMap<ConsumerId, ConsumerKey>,
    video_producers: usize,
}

/// Refuses an id that is in use and a table that is full.
fn check_place<I: Eq + Hash, K>(keys: &IdMap<I, K>, id: &I, max: usize) -> Result<(), CommandError> {
    if keys.contains_key(id) {
        return Err(CommandError::BadTable);
    }
    if keys.len() >= max { Err(CommandError::LimitReached) } else { Ok(()) }
}

impl Objects {
    /// Makes a router.
    pub(super) fn create_router(&mut self, id: RouterId) -> Result<(), CommandError> {
        check_place(&self.router_keys, &id, ROUTERS_MAX)?;
        let key = self.routers.insert(Router { id, peers: Vec::new() });
        self.router_keys.insert(id, key);
        Ok(())
    }

    /// Makes a peer in a router.
    pub(super) fn create_peer(
        &mut self,
        router: RouterId,
        transport: Transport,
        incoming_bitrate_max_bps: Option<u32>,
    ) -> Result<PeerKey, CommandError> {
        check_place(&self.peer_keys, &transport.id, TRANSPORTS_MAX)?;
        let router = *self.router_keys.get(&router).ok_or(CommandError::NotFound)?;
        let id = transport.id;
        let key = self.peers.insert(Peer::new(transport, router, incoming_bitrate_max_bps));
        self.peer_keys.insert(id, key);
        self.queues.insert(key, Queue::default());
        if let Some(router) = self.routers.get_mut(router) {
            router.peers.push(key);
        }
        Ok(key)
    }

    /// Makes a producer on a peer.
    pub(super) fn create_producer(
        &mut self,
        id: ProducerId,
        transport: TransportId,
        table: ProducerTable,
        paused: PauseReasons,
    ) -> Result<ProducerKey, CommandError> {
        check_place(&self.producer_keys, &id, TRANSPORTS_MAX * PRODUCERS_PER_TRANSPORT_MAX)?;
        check_producer_table(&table)?;
        let peer_key = self.peer_key(transport).ok_or(CommandError::NotFound)?;
        let peer = self.peers.get_mut(peer_key).ok_or(CommandError::NotFound)?;
        let is_video = table.kind == MediaKind::Video;
        if peer.producers.len() >= PRODUCERS_PER_TRANSPORT_MAX
            || (is_video && self.video_producers >= VIDEO_PRODUCERS_MAX)
        {
            return Err(CommandError::LimitReached);
        }
        if !peer.listener.accepts(&table) {
            return Err(CommandError::DuplicateSsrc);
        }
        let key = self.producers.insert_with_key(|key| {
            peer.listener.add(key, &table);
            peer.producers.push(key);
            Producer::new(id, peer_key, table, paused)
        });
        if is_video {
            self.video_producers += 1;
            peer.uplink.get_or_insert_default();
        }
        self.producer_keys.insert(id, key);
        Ok(key)
    }

    /// Makes a consumer on a peer, of a producer of the same router.
    #[expect(clippy::too_many_arguments, reason = "the fields of one command and where its numbers begin")]
    pub(super) fn create_consumer(
        &mut self,
        id: ConsumerId,
        transport: TransportId,
        producer: ProducerId,
        mut table: ConsumerTable,
        paused: PauseReasons,
        first_index: PacketIndex,
        first_timestamp: Timestamp,
    ) -> Result<ConsumerKey, CommandError> {
        check_place(&self.consumer_keys, &id, CONSUMERS_MAX)?;
        let peer_key = self.peer_key(transport).ok_or(CommandError::NotFound)?;
        let producer_key = *self.producer_keys.get(&producer).ok_or(CommandError::NotFound)?;
        let producer = self.producers.get_mut(producer_key).ok_or(CommandError::NotFound)?;
        check_consumer_table(&table, producer.table())?;
        let producer_router = self.peers.get(producer.transport).map(|peer| peer.router);
        let peer = self.peers.get_mut(peer_key).ok_or(CommandError::NotFound)?;
        if producer_router != Some(peer.router) {
            return Err(CommandError::NotFound);
        }
        if peer.consumers.len() >= CONSUMERS_PER_TRANSPORT_MAX
            || producer.subscriptions.len() >= CONSUMERS_PER_PRODUCER_MAX
        {
            return Err(CommandError::LimitReached);
        }
        let ssrcs = [Some(table.ssrc), table.rtx_ssrc];
        if !ssrcs.into_iter().flatten().all(|ssrc| peer.is_fresh(ssrc)) || table.rtx_ssrc == Some(table.ssrc) {
            return Err(CommandError::DuplicateSsrc);
        }
        // All consumers of a producer keep one name.
        let before = producer.subscriptions.last().and_then(|subscription| self.consumers.get(subscription.consumer));
        if let Some(known) = before.map(Consumer::cname).filter(|known| **known == table.cname) {
            table.cname = Arc::clone(known);
        }
        let key = self.consumers.insert_with_key(|key| {
            peer.add_consumer(table.ssrc, table.rtx_ssrc, key);
            let is_flowing = paused.is_empty();
            producer.subscriptions.push(Subscription { consumer: key, transport: peer_key, is_flowing });
            Consumer::new(id, peer_key, producer_key, table, paused, first_index, first_timestamp)
        });
        self.consumer_keys.insert(id, key);
        Ok(key)
    }

    /// Closes a router and all in it, handing each peer to `on_closed`.
    pub(super) fn close_router(&mut self, id: RouterId, mut on_closed: impl FnMut(PeerKey, Peer)) {
        let Some(router) = self.router_keys.remove(&id).and_then(|key| self.routers.remove(key)) else { return };
        debug_assert_eq!(router.id, id);
        for key in router.peers {
            if let Some(peer) = self.close_peer(key) {
                on_closed(key, peer);
            }
        }
    }

    /// Closes a peer with its producers and consumers, and gives it back.
    pub(super) fn close_peer(&mut self, key: PeerKey) -> Option<Peer> {
        let peer = self.peers.remove(key)?;
        self.queues.remove(key);
        self.peer_keys.remove(&peer.transport.id);
        for &producer in &peer.producers {
            self.close_producer_key(producer);
        }
        for &(_, consumer) in &peer.consumers {
            self.close_consumer_key(consumer);
        }
        if let Some(router) = self.routers.get_mut(peer.router) {
            take_out(&mut router.peers, |peer| *peer == key);
        }
        Some(peer)
    }

    /// Closes a producer and its consumers.
    pub(super) fn close_producer(&mut self, id: ProducerId) {
        if let Some(key) = self.producer_keys.get(&id).copied() {
            self.close_producer_key(key);
        }
    }

    /// Closes a consumer.
    pub(super) fn close_consumer(&mut self, id: ConsumerId) {
        if let Some(key) = self.consumer_keys.get(&id).copied() {
            self.close_consumer_key(key);
        }
    }

    fn close_producer_key(&mut self, key: ProducerKey) {
        let Some(mut producer) = self.producers.remove(key) else { return };
        self.producer_keys.remove(&producer.id);
        self.video_producers -= usize::from(producer.table().kind == MediaKind::Video);
        for subscription in std::mem::take(&mut producer.subscriptions) {
            self.close_consumer_key(subscription.consumer);
        }
        if let Some(peer) = self.peers.get_mut(producer.transport) {
            peer.listener.remove(key);
            for (ssrc, window) in producer.replay_windows() {
                peer.listener.retire(ssrc, window);
            }
            take_out(&mut peer.producers, |producer| *producer == key);
            let is_video = |key: &ProducerKey| {
                self.producers.get(*key).is_some_and(|producer| producer.table().kind == MediaKind::Video)
            };
            if !peer.producers.iter().any(is_video) {
                // Sound alone is told nothing, as before there was a picture.
                peer.uplink = None;
            }
        }
    }

    fn close_consumer_key(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else { return };
        self.consumer_keys.remove(&consumer.id);
        if let Some(peer) = self.peers.get_mut(consumer.transport) {
            peer.remove_consumer(consumer.ssrc);
        }
        if let Some(producer) = self.producers.get_mut(consumer.producer) {
            take_out(&mut producer.subscriptions, |subscription| subscription.consumer == key);
        }
    }

    /// Where a transport's peer is.
    pub(super) fn peer_key(&self, id: TransportId) -> Option<PeerKey> {
        self.peer_keys.get(&id).copied()
    }

    /// Where a producer is.
    pub(super) fn producer_key(&self, id: ProducerId) -> Option<ProducerKey> {
        self.producer_keys.get(&id).copied()
    }

    /// Where a consumer is.
    pub(super) fn consumer_key(&self, id: ConsumerId) -> Option<ConsumerKey> {
        self.consumer_keys.get(&id).copied()
    }

    /// The producer of this name.
    pub(super) fn producer_mut(&mut self, id: ProducerId) -> Option<&mut Producer<PeerKey, ConsumerKey>> {
        self.producers.get_mut(self.producer_key(id)?)
    }

    /// Adds a reason for a consumer not to flow.
    pub(super) fn pause_consumer(&mut self, id: ConsumerId, reason: PauseReason) {
        let Some(key) = self.consumer_key(id) else { return };
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        consumer.pause(reason);
        tell_flow(&mut self.producers, key, consumer);
    }

    /// Takes a reason away, and gives the consumer if it flows again.
    pub(super) fn resume_consumer(&mut self, id: ConsumerId, reason: PauseReason) -> Option<ConsumerKey> {
        let key = self.consumer_key(id)?;
        let consumer = self.consumers.get_mut(key)?;
        let is_resumed = consumer.resume(reason);
        tell_flow(&mut self.producers, key, consumer);
        is_resumed.then_some(key)
    }

    /// How many routers live.
    pub(super) fn routers_len(&self) -> usize {
        self.routers.len()
    }
}

/// Tells the producer of a consumer whether that flows.
fn tell_flow(
    producers: &mut SlotMap<ProducerKey, Producer<PeerKey, ConsumerKey>>,
    key: ConsumerKey,
    consumer: &Consumer<PeerKey, ProducerKey>,
) {
    let subscriptions = producers.get_mut(consumer.producer).map(|producer| &mut producer.subscriptions);
    let mut of_it = subscriptions.into_iter().flatten().filter(|subscription| subscription.consumer == key);
    if let Some(subscription) = of_it.next() {
        subscription.is_flowing = consumer.is_flowing();
    }
}

/// Takes the first that `is_it` says out of a list whose order means nothing.
fn take_out<T>(items: &mut Vec<T>, is_it: impl FnMut(&T) -> bool) {
    if let Some(place) = items.iter().position(is_it) {
        items.swap_remove(place);
    }
}

fn check_codec(codec: &CodecTable) -> Result<(), CommandError> {
    let payload_types = [Some(codec.payload_type), codec.rtx_payload_type];
    let is_payload_type = payload_types.into_iter().flatten().all(|payload_type| payload_type.0 < 128);
    if is_payload_type && codec.clock_rate_hz != 0 { Ok(()) } else { Err(CommandError::BadTable) }
}

fn check_producer_table(table: &ProducerTable) -> Result<(), CommandError> {
    let is_sized =
        (1..=CODECS_MAX).contains(&table.codecs.len()) && (1..=ENCODINGS_MAX).contains(&table.encodings.len());
    if !is_sized {
        return Err(CommandError::BadTable);
    }
    table.codecs.iter().try_for_each(check_codec)
}

fn check_consumer_table(table: &ConsumerTable, producer: &ProducerTable) -> Result<(), CommandError> {
    let is_sized = (1..=CODECS_MAX).contains(&table.codecs.len()) && table.cname.len() <= CNAME_LEN_MAX;
    if !is_sized || table.kind != producer.kind {
        return Err(CommandError::BadTable);
    }
    table.codecs.iter().try_for_each(|mapping| check_codec(&mapping.codec))
}
