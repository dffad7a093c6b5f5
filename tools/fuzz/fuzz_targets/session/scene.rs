//! A session and its model: every operation is carried out in both, then they are compared.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use netsim::{Conditions, Participant, World};
use shard_protocol::event::{DtlsState, IceState};
use shard_protocol::stats::ShardStats;
use shard_protocol::{Command, Event};

use crate::datagrams::{Sent, forged};
use crate::model::{Copy, Model};
use crate::operation::{Operation, Outcome, Span};
use crate::speech::Speech;

/// Addresses that are nobody's own.
const STRANGERS: u8 = 8;

/// What an operation must have come to.
#[derive(Default)]
pub(crate) struct Effect {
    /// RTP packets that the shard accepts.
    pub(crate) accepted: u64,
    pub(crate) copies: Vec<Copy>,
    /// Datagrams besides copies; `None` where time passed and reports may have gone out.
    pub(crate) others: Option<u64>,
    /// What the copies are of.
    pub(crate) speech: Option<Speech>,
    /// Whether cameras may have sent packets besides, so that packets are not counted.
    pub(crate) is_uncounted: bool,
}

impl Effect {
    pub(crate) fn none() -> Self {
        Self { others: Some(0), ..Self::default() }
    }

    pub(crate) fn others(count: u64) -> Self {
        Self { others: Some(count), ..Self::default() }
    }

    pub(crate) fn uncounted() -> Self {
        Self { is_uncounted: true, ..Self::default() }
    }
}

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) has_flooded: bool,
    pub(crate) sent: VecDeque<Sent>,
    stats: ShardStats,
    next_ssrc: u32,
    pub(crate) packets: u32,
    pub(crate) has_leapt: bool,
}

impl Scene {
    /// Two participants in one room: the first speaks, the second hears it.
    pub(crate) fn new() -> Self {
        let conditions = Conditions { delay: Duration::ZERO, ..Conditions::GOOD };
        let mut scene = Self {
            world: World::new(1, conditions),
            model: Model::default(),
            has_flooded: false,
            sent: VecDeque::new(),
            stats: ShardStats::default(),
            next_ssrc: 0x1_0000,
            packets: 0,
            has_leapt: false,
        };
        for operation in [
            Operation::AddRouter,
            Operation::Join { router: 0, outcome: Outcome::Keys },
            Operation::Join { router: 0, outcome: Outcome::Keys },
            Operation::Publish { link: 0, mid: 0, is_ssrc_told: true, is_paused: false },
            Operation::Consume { link: 1, producer: 0, takes_known_ssrc: false, is_paused: false },
            Operation::Speak { producer: 0, lost: 0, len: 10 },
        ] {
            scene.carry_out(&operation);
        }
        scene
    }

    /// Carries an operation out and checks what came of it. One that lacks what it needs does nothing.
    pub(crate) fn carry_out(&mut self, operation: &Operation) {
        let effect = self.perform(operation).unwrap_or_else(Effect::none);
        self.world.run_for(Duration::ZERO);
        self.compare(effect);
    }

    /// Closes all rooms, and nothing is left.
    pub(crate) fn close_everything(&mut self) {
        self.judge_watchers();
        for router in 0..self.model.routers.len() {
            self.close_router(router);
            self.compare(Effect::none());
        }
        assert_eq!(self.model.counts(), [0; 4]);
        self.carry_out(&Operation::Wait(Span::Consent));
    }

    fn perform(&mut self, operation: &Operation) -> Option<Effect> {
        match operation {
            Operation::AddRouter => self.add_router(),
            Operation::CloseRouter(router) => {
                let router = choose(self.model.routers.len(), *router)?;
                self.close_router(router);
                Some(Effect::none())
            }
            Operation::Join { router, outcome } => self.join(*router, *outcome),
            Operation::EndHandshake { link, is_failure } => self.end_handshake(*link, *is_failure),
            Operation::Leave(link) => self.leave(choose(self.model.links.len(), *link)?),
            Operation::Publish { link, mid, is_ssrc_told, is_paused } => {
                self.publish(*link, *mid, *is_ssrc_told, *is_paused)
            }
            Operation::CloseProducer(producer) => {
                let producer = choose(self.model.producers.len(), *producer)?;
                self.world.command(Command::CloseProducer { producer: self.model.producers[producer].id });
                self.model.close_producer(producer);
                Some(Effect::none())
            }
            Operation::SwitchProducer { producer, switch } => self.switch_producer(*producer, *switch),
            Operation::Consume { link, producer, takes_known_ssrc, is_paused } => {
                self.consume(*link, *producer, *takes_known_ssrc, *is_paused)
            }
            Operation::CloseConsumer(consumer) => {
                let consumer = choose(self.model.consumers.len(), *consumer)?;
                self.world.command(Command::CloseConsumer { consumer: self.model.consumers[consumer].id });
                self.model.consumers[consumer].is_alive = false;
                Some(Effect::none())
            }
            Operation::SwitchConsumer { consumer, switch } => self.switch_consumer(*consumer, *switch),
            Operation::Speak { producer, lost, len } => self.speak(*producer, *lost, *len),
            Operation::Straggle { producer, late } => self.straggle(*producer, *late),
            Operation::SpeakOddly { producer, form } => {
                let producer = choose(self.model.producers.len(), *producer)?;
                let index = self.take_index(producer, 0);
                let speech = Speech::odd(&self.model.producers[producer], index, form);
                self.send_speech(producer, index, speech)
            }
            Operation::ForgeSpeech { producer, place, bits } => self.forge_speech(*producer, *place, *bits),
            Operation::ChangeSsrc { producer, is_near_wrap } => self.change_ssrc(*producer, *is_near_wrap),
            Operation::Report { link, is_forged, place, body } => self.report(*link, *is_forged, *place, body),
            Operation::Repeat { sent } => self.repeat(*sent),
            Operation::Divert { sent, address } => self.divert(*sent, *address),
            Operation::Noise { address, bytes } => {
                let source = self.address(*address);
                self.world.send_from(source, bytes);
                Some(Effect::none())
            }
            Operation::Check { link, address } => self.check(*link, *address),
            Operation::ForgeCheck { link, address, place, bits } => {
                let link = choose(self.model.links.len(), *link)?;
                let check = self.participant(link).check();
                let source = self.address(*address);
                self.world.send_from(source, &forged(check, *place, *bits)?);
                Some(Effect::none())
            }
            Operation::Rebind { link, address } => self.rebind(*link, *address),
            Operation::FallSilent(link) => {
                let link = choose(self.model.links.len(), *link)?;
                self.world.silence(self.model.links[link].id);
                self.model.links[link].is_silent = true;
                Some(Effect::none())
            }
            Operation::Show { link, format, is_simulcast } => self.show(*link, *format, *is_simulcast),
            Operation::CloseCamera(camera) => self.close_camera(*camera),
            Operation::SwitchCamera { camera, switch } => self.switch_camera(*camera, *switch),
            Operation::Act { camera, act } => self.act(*camera, *act),
            Operation::Watch { link, camera } => self.watch(*link, *camera),
            Operation::CloseWatcher(watcher) => self.close_watcher(*watcher),
            Operation::SwitchWatcher { watcher, switch } => self.switch_watcher(*watcher, *switch),
            Operation::Ask { watcher, wish } => self.ask(*watcher, wish),
            Operation::ShowOddly { camera, oddity } => self.show_oddly(*camera, oddity),
            Operation::ChangeLine { link, loss } => self.change_line(*link, *loss),
            Operation::Wait(span) => Some(self.wait(*span)),
            Operation::Flood { link, kind } => self.flood(self.choose_link(*link)?, *kind),
        }
    }

    fn wait(&mut self, span: Span) -> Effect {
        self.world.run_for(match span {
            Span::Frame => Duration::from_millis(20),
            Span::Report => Duration::from_secs(1),
            Span::Check => Duration::from_millis(2500),
            Span::Consent => Duration::from_secs(31),
        });
        if self.model.cameras.is_empty() { Effect::default() } else { Effect::uncounted() }
    }

    /// Compares the shard with the model, and what came with what must come.
    fn compare(&mut self, effect: Effect) {
        self.take_events();
        let stats = self.world.stats();
        let counts = [stats.routers, stats.transports, stats.producers, stats.consumers];
        assert_eq!(counts, self.model.counts(), "what lives");
        if !effect.is_uncounted {
            assert_eq!(stats.rtp_in - self.stats.rtp_in, effect.accepted, "accepted");
            assert_eq!(stats.rtp_out - self.stats.rtp_out, effect.copies.len() as u64, "copies");
        }
        // What participants of cameras are told besides comes when it comes.
        if let Some(others) = effect.others.filter(|_| self.model.cameras.is_empty()) {
            let expected = effect.copies.len() as u64 + others;
            assert_eq!(stats.datagrams_out - self.stats.datagrams_out, expected, "datagrams");
        }
        self.stats = stats;
        self.take_received(effect);
    }

    fn take_events(&mut self) {
        for event in std::mem::take(&mut self.world.events) {
            let (Event::TransportState { transport, .. } | Event::TransportClosed { transport, .. }) = event else {
                panic!("an answer that nobody waits for: {event:?}");
            };
            let link = self.model.links.iter().position(|link| link.transport == transport).expect("a known one");
            let own = &mut self.model.links[link];
            assert!(own.is_alive, "an event of a closed transport: {event:?}");
            let Event::TransportState { ice, dtls, .. } = event else {
                assert!(own.is_handshaking);
                self.model.close_link(link);
                self.bury_participants();
                continue;
            };
            own.is_reachable = matches!(ice, IceState::Connected | IceState::Completed);
            own.has_keys = dtls == DtlsState::Connected;
            own.is_handshaking &= !own.has_keys;
            if ice == IceState::Disconnected {
                assert!(own.is_silent || own.is_lossy, "consent ran out while checks came");
                self.model.lose_addresses(link);
            }
        }
    }

    /// Takes what participants have received; a copy whose receiver is elsewhere at the moment does not come.
    fn take_received(&mut self, effect: Effect) {
        let mut copies = effect.copies;
        for link in 0..self.model.links.len() {
            let participant = self.participant(link);
            participant.reports.clear();
            assert_eq!((participant.unopened, participant.repeated), (0, 0));
            for received in std::mem::take(&mut participant.received) {
                let speech = effect.speech.as_ref().expect("nobody has spoken");
                let consumers = &mut self.model.consumers;
                let place = copies.iter().position(|copy| {
                    let consumer = &consumers[copy.consumer];
                    consumer.link == link && consumer.ssrc == received.packet.header.ssrc
                });
                let copy = copies.swap_remove(place.expect("a copy that must not have gone out"));
                speech.check_copy(&received.packet, &copy, &mut consumers[copy.consumer]);
            }
        }
    }

    pub(crate) fn participant(&mut self, link: usize) -> &mut Participant {
        self.world.participant(self.model.links[link].id)
    }

    /// A participant whose datagrams come.
    pub(crate) fn choose_link(&self, number: u8) -> Option<usize> {
        choose(self.model.links.len(), number).filter(|link| !self.model.links[*link].is_lossy)
    }

    /// An address of somebody, or of nobody.
    pub(crate) fn address(&mut self, number: u8) -> SocketAddr {
        match choose(self.model.links.len(), number) {
            Some(link) if number >= 128 => self.participant(link).address,
            _ => stranger(number),
        }
    }

    pub(crate) fn fresh_ssrc(&mut self) -> u32 {
        self.next_ssrc += 1;
        self.next_ssrc
    }
}

pub(crate) fn stranger(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number % STRANGERS], 5000))
}

/// One of `count`, if there is any.
pub(crate) fn choose(count: usize, number: u8) -> Option<usize> {
    usize::from(number).checked_rem(count)
}
