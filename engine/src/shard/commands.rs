//! What signaling asks of a shard, carried out.

use std::time::Instant;

use shard_protocol::ids::{RouterId, TransportId};
use shard_protocol::tables::IceCredentials;
use shard_protocol::{Command, CommandError, Event};

use super::Shard;
use crate::transport::Transport;
use crate::wire::sequence::{PacketIndex, Timestamp};

impl Shard {
    /// Carries out one command.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::CreateRouter { request, router } => {
                let result = self.objects.create_router(router);
                self.answers.push_back(Event::Answered { request, result });
            }
            Command::CloseRouter { router } => self.close_router(router),
            Command::CreateTransport { request, router, transport, ice, incoming_bitrate_max_bps } => {
                let result = self.create_transport(router, transport, &ice, incoming_bitrate_max_bps);
                self.answers.push_back(Event::Answered { request, result });
            }
            Command::ConnectTransport { request, transport, dtls } => {
                let peer_key = self.objects.peer_key(transport);
                let peer = peer_key.and_then(|key| self.objects.peers.get_mut(key));
                let result = peer.map_or(Err(CommandError::NotFound), |peer| peer.transport.connect(dtls));
                self.answers.push_back(Event::Answered { request, result });
                if let Some(key) = peer_key {
                    self.after_change(key);
                }
            }
            Command::CloseTransport { transport } => {
                if let Some(peer_key) = self.objects.peer_key(transport) {
                    self.close_peer(peer_key);
                }
            }
            Command::CreateProducer { request, transport, producer, table, paused } => {
                let result = self.objects.create_producer(producer, transport, *table, paused).map(drop);
                self.answers.push_back(Event::Answered { request, result });
            }
            Command::CloseProducer { producer } => self.objects.close_producer(producer),
            Command::PauseProducer { producer, reason } => {
                if let Some(producer) = self.objects.producer_mut(producer) {
                    producer.pause(reason);
                }
            }
            Command::ResumeProducer { producer, reason } => {
                let Some(key) = self.objects.producer_key(producer) else { return };
                let Some(producer) = self.objects.producers.get_mut(key) else { return };
                producer.resume(reason);
                let publisher = producer.transport;
                self.wake_for_feedback(publisher, key, now);
            }
            Command::CreateConsumer { request, transport, producer, consumer, table, paused } => {
                let (first_index, first_timestamp) = self.first_numbers();
                let result = self.objects.create_consumer(
                    consumer,
                    transport,
                    producer,
                    *table,
                    paused,
                    first_index,
                    first_timestamp,
                );
                self.answers.push_back(Event::Answered { request, result: result.map(drop) });
                if let Ok(key) = result {
                    self.want_key_frame(key, now);
                }
            }
            Command::CloseConsumer { consumer } => self.objects.close_consumer(consumer),
            Command::PauseConsumer { consumer, reason } => {
                self.objects.pause_consumer(consumer, reason);
            }
            Command::ResumeConsumer { consumer, reason } => {
                if let Some(key) = self.objects.resume_consumer(consumer, reason) {
                    self.want_key_frame(key, now);
                }
            }
            Command::RequestKeyFrame { consumer } => {
                if let Some(key) = self.objects.consumer_key(consumer) {
                    self.want_key_frame(key, now);
                }
            }
            Command::ReportStats { request } => {
                self.stats.routers = self.objects.routers_len();
                self.stats.transports = self.objects.peers.len();
                self.stats.producers = self.objects.producers.len();
                self.stats.consumers = self.objects.consumers.len();
                self.answers.push_back(Event::Stats { request, stats: Box::new(self.stats.clone()) });
            }
            Command::Shutdown => self.is_shut_down = true,
        }
    }

    fn create_transport(
        &mut self,
        router: RouterId,
        id: TransportId,
        ice: &IceCredentials,
        incoming_bitrate_max_bps: Option<u32>,
    ) -> Result<(), CommandError> {
        let ufrag = ice.ufrag.as_bytes();
        if self.routes.by_ufrag(ufrag).is_some() {
            return Err(CommandError::BadTable);
        }
        let transport = Transport::new(id, ice).map_err(|_| CommandError::BadTable)?;
        let key = self.objects.create_peer(router, transport, incoming_bitrate_max_bps)?;
        self.routes.try_add_ufrag(ufrag, key);
        Ok(())
    }

    fn close_router(&mut self, router: RouterId) {
        let mut closed = Vec::new();
        self.objects.close_router(router, |key, peer| closed.push((key, peer)));
        for (key, peer) in closed {
            self.on_peer_closed(key, peer);
        }
    }

    /// Where a new consumer's numbers begin: anywhere, but below 2^15 for the sequence number, so that a receiver that
    /// misses the first packets cannot guess the roll-over counter wrong.
    fn first_numbers(&mut self) -> (PacketIndex, Timestamp) {
        let random = self.random.next();
        (PacketIndex(random & 0x7fff), Timestamp((random >> 32) as u32))
    }
}
