//! A shard that keeps books instead of forwarding, and finds fault with any command that makes no sense.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use shard_protocol::command::PauseReasons;
use shard_protocol::event::{DtlsState, IceState, TransportCloseReason};
use shard_protocol::ids::{ConsumerId, ProducerId, RouterId, TransportId};
use shard_protocol::tables::{ConsumerTable, ProducerTable};
use shard_protocol::{Command, CommandError, Event};

use crate::shards::{SendRefused, ShardLost, ShardPort};

#[derive(Default)]
pub(super) struct Books {
    /// How many commands the queue takes.
    pub(super) room: usize,
    pub(super) queue: VecDeque<Command>,
    events: VecDeque<Event>,
    /// The next command that creates is refused with this.
    pub(super) refuse_next: Option<CommandError>,
    pub(super) is_lost: bool,
    pub(super) routers: BTreeSet<RouterId>,
    pub(super) transports: BTreeMap<TransportId, (RouterId, bool)>,
    pub(super) producers: BTreeMap<ProducerId, (TransportId, PauseReasons)>,
    pub(super) consumers: BTreeMap<ConsumerId, (TransportId, ProducerId, PauseReasons)>,
    /// The tables that came last, of what lives or was refused.
    pub(super) last_producer: Option<ProducerTable>,
    pub(super) last_consumer: Option<ConsumerTable>,
    /// What each transport was given as its cap.
    pub(super) incoming_bitrates_max_bps: Vec<Option<u32>>,
    /// Whose publishers were to be asked for a key frame.
    pub(super) key_frames: Vec<ConsumerId>,
    /// Every id ever made or refused: none comes twice.
    seen: BTreeSet<(&'static str, u64)>,
    /// Ids that ended without a word from signaling, or never were: to close these is no fault.
    excused: BTreeSet<(&'static str, u64)>,
    pub(super) faults: Vec<String>,
}

/// Both ends of it: the port for signaling, the books for the test.
#[derive(Clone)]
pub(super) struct FakeShard(Arc<Mutex<Books>>);

impl FakeShard {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Books { room: 1000, ..Books::default() })))
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    /// Carries out the next `count` commands.
    pub(super) fn work(&self, count: usize) {
        let mut books = self.books();
        for _ in 0..count {
            let Some(command) = books.queue.pop_front() else { return };
            books.carry_out(command);
        }
    }

    /// Ends a transport as a failed handshake does.
    pub(super) fn fail_transport(&self, place: usize) {
        let mut books = self.books();
        let Some(&transport) = books.transports.keys().nth(place) else { return };
        books.close_transport(transport);
        books.excused.insert(("transport", transport.0));
        books.events.push_back(Event::TransportClosed { transport, reason: TransportCloseReason::DtlsFailed });
    }

    /// Says that a transport is connected.
    pub(super) fn complete_transport(&self, place: usize) {
        let mut books = self.books();
        let Some(&transport) = books.transports.keys().nth(place) else { return };
        let event = Event::TransportState { transport, ice: IceState::Completed, dtls: DtlsState::Connected };
        books.events.push_back(event);
    }

    pub(super) fn lose(&self) {
        let mut books = self.books();
        *books = Books { is_lost: true, faults: std::mem::take(&mut books.faults), ..Books::default() };
    }
}

impl ShardPort for FakeShard {
    fn try_send(&mut self, command: Command) -> Result<(), SendRefused> {
        let mut books = self.books();
        if books.is_lost {
            return Err(SendRefused::Lost(command));
        }
        if books.queue.len() >= books.room {
            return Err(SendRefused::Full(command));
        }
        books.queue.push_back(command);
        Ok(())
    }

    fn try_recv(&mut self) -> Result<Option<Event>, ShardLost> {
        let mut books = self.books();
        let event = books.events.pop_front();
        if event.is_none() && books.is_lost { Err(ShardLost) } else { Ok(event) }
    }
}

impl Books {
    pub(super) fn is_empty(&self) -> bool {
        self.routers.is_empty() && self.transports.is_empty() && self.producers.is_empty() && self.consumers.is_empty()
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::CreateRouter { request, router } => {
                let result = self.create("router", router.0, true);
                if result.is_ok() {
                    self.routers.insert(router);
                }
                self.answer(request, result);
            }
            Command::CreateTransport { request, router, transport, incoming_bitrate_max_bps, .. } => {
                self.incoming_bitrates_max_bps.push(incoming_bitrate_max_bps);
                let result = self.create("transport", transport.0, self.routers.contains(&router));
                if result.is_ok() {
                    self.transports.insert(transport, (router, false));
                }
                self.answer(request, result);
            }
            Command::ConnectTransport { request, transport, .. } => {
                let result = match self.transports.get_mut(&transport) {
                    None => Err(CommandError::NotFound),
                    Some((_, true)) => Err(CommandError::AlreadyConnected),
                    Some((_, is_connected)) => {
                        *is_connected = true;
                        Ok(())
                    }
                };
                self.answer(request, result);
            }
            Command::CreateProducer { request, transport, producer, table, paused } => {
                self.last_producer = Some(*table);
                let result = self.create("producer", producer.0, self.transports.contains_key(&transport));
                if result.is_ok() {
                    self.producers.insert(producer, (transport, paused));
                }
                self.answer(request, result);
            }
            Command::CreateConsumer { request, transport, producer, consumer, table, paused } => {
                self.last_consumer = Some(*table);
                let has_parents = self.transports.contains_key(&transport) && self.producers.contains_key(&producer);
                let result = self.create("consumer", consumer.0, has_parents);
                if result.is_ok() {
                    self.consumers.insert(consumer, (transport, producer, paused));
                }
                self.answer(request, result);
            }
            Command::ReportStats { request } => self.events.push_back(Event::Stats { request, stats: Box::default() }),
            release => self.carry_out_release(release),
        }
    }

    fn carry_out_release(&mut self, command: Command) {
        match command {
            Command::CloseRouter { router } => {
                let lived = self.routers.remove(&router);
                self.check_release("router", router.0, lived);
                let inside = self.transports.iter().filter(|(_, (its_router, _))| *its_router == router);
                for transport in inside.map(|(&transport, _)| transport).collect::<Vec<_>>() {
                    self.close_transport(transport);
                }
            }
            Command::CloseTransport { transport } => {
                let lived = self.transports.contains_key(&transport);
                self.check_release("transport", transport.0, lived);
                self.close_transport(transport);
            }
            Command::CloseProducer { producer } => {
                let lived = self.producers.contains_key(&producer);
                self.check_release("producer", producer.0, lived);
                self.close_producer(producer);
            }
            Command::CloseConsumer { consumer } => {
                let lived = self.consumers.remove(&consumer).is_some();
                self.check_release("consumer", consumer.0, lived);
            }
            Command::PauseProducer { producer, reason } => match self.producers.get_mut(&producer) {
                Some((_, paused)) => *paused = paused.with(reason),
                None => self.check_release("producer", producer.0, false),
            },
            Command::ResumeProducer { producer, reason } => match self.producers.get_mut(&producer) {
                Some((_, paused)) => *paused = paused.without(reason),
                None => self.check_release("producer", producer.0, false),
            },
            Command::PauseConsumer { consumer, reason } => match self.consumers.get_mut(&consumer) {
                Some((.., paused)) => *paused = paused.with(reason),
                None => self.check_release("consumer", consumer.0, false),
            },
            Command::ResumeConsumer { consumer, reason } => match self.consumers.get_mut(&consumer) {
                Some((.., paused)) => *paused = paused.without(reason),
                None => self.check_release("consumer", consumer.0, false),
            },
            Command::RequestKeyFrame { consumer } => match self.consumers.contains_key(&consumer) {
                true => self.key_frames.push(consumer),
                false => self.check_release("consumer", consumer.0, false),
            },
            other => self.faults.push(format!("unexpected {other:?}")),
        }
    }

    fn create(&mut self, what: &'static str, id: u64, has_parents: bool) -> Result<(), CommandError> {
        if !self.seen.insert((what, id)) {
            self.faults.push(format!("{what} {id} is made twice"));
        }
        let result = match self.refuse_next.take() {
            Some(error) => Err(error),
            None if has_parents => Ok(()),
            None => Err(CommandError::NotFound),
        };
        if result.is_err() {
            self.excused.insert((what, id));
        }
        result
    }

    fn check_release(&mut self, what: &'static str, id: u64, lived: bool) {
        if !lived && !self.excused.contains(&(what, id)) {
            self.faults.push(format!("{what} {id} is released, but does not live"));
        }
    }

    fn answer(&mut self, request: shard_protocol::ids::RequestId, result: Result<(), CommandError>) {
        self.events.push_back(Event::Answered { request, result });
    }

    fn close_transport(&mut self, transport: TransportId) {
        self.transports.remove(&transport);
        let sent = self.producers.iter().filter(|(_, (its_transport, _))| *its_transport == transport);
        for producer in sent.map(|(&producer, _)| producer).collect::<Vec<_>>() {
            self.excused.insert(("producer", producer.0));
            self.close_producer(producer);
        }
        let received = self.consumers.iter().filter(|(_, (its_transport, ..))| *its_transport == transport);
        for consumer in received.map(|(&consumer, _)| consumer).collect::<Vec<_>>() {
            self.excused.insert(("consumer", consumer.0));
            self.consumers.remove(&consumer);
        }
    }

    fn close_producer(&mut self, producer: ProducerId) {
        self.producers.remove(&producer);
        let fed = self.consumers.iter().filter(|(_, (_, its_producer, _))| *its_producer == producer);
        for consumer in fed.map(|(&consumer, _)| consumer).collect::<Vec<_>>() {
            self.excused.insert(("consumer", consumer.0));
            self.consumers.remove(&consumer);
        }
    }
}
