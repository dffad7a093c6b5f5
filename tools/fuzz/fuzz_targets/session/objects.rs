//! What comes into being in a session, and goes.

use std::net::SocketAddr;

use engine::security::srtp::SrtpProfile;
use netsim::{HandshakeOutcome, audio_consumer, audio_producer};
use shard_protocol::Command;
use shard_protocol::command::{PauseReason, PauseReasons};
use shard_protocol::ids::{ConsumerId, ProducerId};

use crate::model::{Consumer, Link, Producer, Router};
use crate::operation::{Outcome, Switch};
use crate::scene::{Effect, Scene, choose};

/// Places of one session; more would only make it slower.
const ROUTERS_MAX: usize = 4;
const LINKS_MAX: usize = 8;
const CONSUMERS_MAX: usize = 24;

/// Names of media streams on one transport: one more than it may have producers, so that both limits are met.
const MIDS: u8 = 5;

impl Scene {
    pub(crate) fn add_router(&mut self) -> Option<Effect> {
        if self.model.counts()[0] == ROUTERS_MAX {
            return None;
        }
        let id = self.world.add_router();
        self.model.routers.push(Router { id, is_alive: true });
        Some(Effect::none())
    }

    pub(crate) fn close_router(&mut self, router: usize) {
        self.world.command(Command::CloseRouter { router: self.model.routers[router].id });
        self.model.close_router(router);
        self.bury_participants();
    }

    pub(crate) fn join(&mut self, router: u8, outcome: Outcome) -> Option<Effect> {
        let live: Vec<_> = (0..self.model.routers.len()).filter(|&n| self.model.routers[n].is_alive).collect();
        let router = live[choose(live.len(), router)?];
        if self.model.counts()[1] == LINKS_MAX {
            return None;
        }
        let (profile, outcome) = match outcome {
            Outcome::Keys => (SrtpProfile::AeadAes128Gcm, HandshakeOutcome::Keys),
            Outcome::KeysOfLongerGcm => (SrtpProfile::AeadAes256Gcm, HandshakeOutcome::Keys),
            Outcome::KeysOfHmac => (SrtpProfile::Aes128CmHmacSha1_80, HandshakeOutcome::Keys),
            Outcome::Failure => (SrtpProfile::AeadAes128Gcm, HandshakeOutcome::Failure),
            Outcome::Silence => (SrtpProfile::AeadAes128Gcm, HandshakeOutcome::Silence),
        };
        self.world.set_profile(profile);
        self.world.set_handshake_outcome(outcome);
        let id = self.world.add_link(self.model.routers[router].id);
        self.model.links.push(Link {
            id,
            transport: self.world.transport(id),
            router,
            is_alive: true,
            is_reachable: false,
            has_keys: false,
            is_handshaking: true,
            is_silent: false,
            is_lossy: false,
            is_diverted: false,
        });
        let link = self.model.links.len() - 1;
        let address = self.participant(link).address;
        let now = self.world.now();
        assert!(self.model.check(link, address, now));
        Some(Effect::others(1))
    }

    pub(crate) fn end_handshake(&mut self, link: u8, is_failure: bool) -> Option<Effect> {
        let link = choose(self.model.links.len(), link)?;
        let Link { id, is_alive, is_handshaking, .. } = self.model.links[link];
        // A handshake ends once; but that its transport is gone, its thread may learn too late.
        if is_alive && !is_handshaking {
            return None;
        }
        self.world.end_handshake(id, if is_failure { HandshakeOutcome::Failure } else { HandshakeOutcome::Keys });
        Some(Effect::none())
    }

    pub(crate) fn leave(&mut self, link: usize) -> Option<Effect> {
        self.world.command(Command::CloseTransport { transport: self.model.links[link].transport });
        self.model.close_link(link);
        self.bury_participants();
        Some(Effect::none())
    }

    /// Participants of closed transports say no more and have no address that another could come to have.
    pub(crate) fn bury_participants(&mut self) {
        self.rest_cameras();
        for link in 0..self.model.links.len() {
            if !self.model.links[link].is_alive {
                self.world.silence(self.model.links[link].id);
                self.participant(link).address = SocketAddr::from(([240, 0, 0, link as u8], 1));
            }
        }
    }

    pub(crate) fn publish(&mut self, link: u8, mid: u8, is_ssrc_told: bool, is_paused: bool) -> Option<Effect> {
        let link = self.choose_link(link)?;
        let mid = (mid % MIDS).to_string();
        let ssrc = self.fresh_ssrc();
        let producer = ProducerId(self.world.fresh_id());
        let paused = if is_paused { PauseReasons::NONE.with(PauseReason::State) } else { PauseReasons::NONE };
        let table = Box::new(audio_producer(&mid, is_ssrc_told.then_some(ssrc)));
        let transport = self.model.links[link].transport;
        let result =
            self.world.request(|request| Command::CreateProducer { request, transport, producer, table, paused });
        assert_eq!(result, self.model.may_publish(link, &mid));
        if result.is_ok() {
            self.model.producers.push(Producer::new(producer, link, mid, (ssrc, is_ssrc_told), paused));
            self.begin_counting(self.model.producers.len() - 1);
        }
        Some(Effect::none())
    }

    pub(crate) fn switch_producer(&mut self, producer: u8, switch: Switch) -> Option<Effect> {
        let producer = choose(self.model.producers.len(), producer)?;
        let own = &mut self.model.producers[producer];
        let (id, reason) = (own.id, reason(switch));
        own.set_paused(switched(own.paused, switch));
        self.world.command(if switch.is_pause {
            Command::PauseProducer { producer: id, reason }
        } else {
            Command::ResumeProducer { producer: id, reason }
        });
        Some(Effect::none())
    }

    pub(crate) fn consume(
        &mut self,
        link: u8,
        producer: u8,
        takes_known_ssrc: bool,
        is_paused: bool,
    ) -> Option<Effect> {
        let link = self.choose_link(link)?;
        let producer = choose(self.model.producers.len(), producer)?;
        if self.model.counts()[3] == CONSUMERS_MAX {
            return None;
        }
        let mut others = self.model.consumers.iter().filter(|other| other.is_alive && other.link == link);
        let known = if takes_known_ssrc { others.next().map(|other| other.ssrc) } else { None };
        let ssrc = known.unwrap_or_else(|| self.fresh_ssrc());
        let mid = self.model.consumers.len().to_string();
        let consumer = ConsumerId(self.world.fresh_id());
        let paused = if is_paused { PauseReasons::NONE.with(PauseReason::Owner) } else { PauseReasons::NONE };
        let table = Box::new(audio_consumer(&mid, ssrc));
        let (transport, source) = (self.model.links[link].transport, self.model.producers[producer].id);
        let result = self.world.request(|request| Command::CreateConsumer {
            request,
            transport,
            producer: source,
            consumer,
            table,
            paused,
        });
        assert_eq!(result, self.model.may_consume(link, producer, ssrc));
        if result.is_ok() {
            self.model.consumers.push(Consumer::new(consumer, (link, producer), ssrc, mid, paused));
        }
        Some(Effect::none())
    }

    pub(crate) fn switch_consumer(&mut self, consumer: u8, switch: Switch) -> Option<Effect> {
        let consumer = choose(self.model.consumers.len(), consumer)?;
        let own = &mut self.model.consumers[consumer];
        let (id, reason) = (own.id, reason(switch));
        own.set_paused(switched(own.paused, switch));
        self.world.command(if switch.is_pause {
            Command::PauseConsumer { consumer: id, reason }
        } else {
            Command::ResumeConsumer { consumer: id, reason }
        });
        Some(Effect::none())
    }
}

pub(crate) fn reason(switch: Switch) -> PauseReason {
    if switch.is_state { PauseReason::State } else { PauseReason::Owner }
}

fn switched(paused: PauseReasons, switch: Switch) -> PauseReasons {
    if switch.is_pause { paused.with(reason(switch)) } else { paused.without(reason(switch)) }
}
