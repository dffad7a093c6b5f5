//! What lives in a session and what must come of a packet, in the plainest way.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netsim::LinkId;
use shard_protocol::CommandError;
use shard_protocol::command::PauseReasons;
use shard_protocol::ids::{ConsumerId, ProducerId, RouterId, TransportId};
use shard_protocol::limits::PRODUCERS_PER_TRANSPORT_MAX;

use crate::cameras::{Camera, Watcher};

/// A packet of this age, counted in packets from the newest, is too old to be told from a replay.
const REPLAY_WINDOW: u64 = 128;

/// An address from which no check has come for this long may go to another.
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The farthest step from one copy to the next.
const STEP_MAX: u64 = 1 << 14;

pub(crate) struct Router {
    pub(crate) id: RouterId,
    pub(crate) is_alive: bool,
}

pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) transport: TransportId,
    pub(crate) router: usize,
    pub(crate) is_alive: bool,
    /// Whether the shard was told where to send, and consent holds.
    pub(crate) is_reachable: bool,
    pub(crate) has_keys: bool,
    pub(crate) is_handshaking: bool,
    pub(crate) is_silent: bool,
    /// Whether its line loses packets.
    pub(crate) is_lossy: bool,
    /// Whether what is sent to it has gone elsewhere for a time, because a check came from there.
    pub(crate) is_diverted: bool,
}

pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) link: usize,
    pub(crate) is_alive: bool,
    pub(crate) mid: String,
    pub(crate) paused: PauseReasons,
    /// What its packets say at the moment.
    pub(crate) ssrc: u32,
    /// The index of that SSRC's first packet, and of the next.
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// How often the SSRC has changed.
    pub(crate) restarts: u32,
    /// The SSRC that signaling told.
    told_ssrc: Option<u32>,
    /// The SSRC that the shard knows, with the indices that have come.
    stream: Option<(u32, BTreeSet<u64>)>,
    run: u32,
    clock: u32,
}

pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) link: usize,
    pub(crate) producer: usize,
    pub(crate) is_alive: bool,
    pub(crate) ssrc: u32,
    pub(crate) mid: String,
    pub(crate) paused: PauseReasons,
    run: Option<Run>,
    newest: Option<u64>,
    /// The number on the wire of the consumer's packet 0, once it was seen.
    pub(crate) first_sequence: Option<u16>,
    /// The clock of the publisher, and what is added to its timestamps.
    pub(crate) timestamp_offset: Option<(u32, u32)>,
}

/// Packets of a producer that a consumer gets one after another.
#[derive(Clone, Copy)]
struct Run {
    id: (u32, u32),
    first_in: u64,
    first_out: u64,
}

impl Run {
    /// The number of the copy of packet `index`; `None` for one that is older than the run.
    fn number(&self, index: u64) -> Option<u64> {
        Some(self.first_out + index.checked_sub(self.first_in)?)
    }
}

/// A copy that must go out.
pub(crate) struct Copy {
    pub(crate) consumer: usize,
    /// Its number, counted from the consumer's first packet.
    pub(crate) number: u64,
    pub(crate) clock: u32,
}

/// Whose an address is, and when the last check came from it.
struct Owner {
    link: usize,
    checked_at: Instant,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) routers: Vec<Router>,
    pub(crate) links: Vec<Link>,
    pub(crate) producers: Vec<Producer>,
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) watchers: Vec<Watcher>,
    /// Which transport an address was validated for.
    owners: HashMap<SocketAddr, Owner>,
}

impl Producer {
    pub(crate) fn new(
        id: ProducerId,
        link: usize,
        mid: String,
        (ssrc, is_told): (u32, bool),
        paused: PauseReasons,
    ) -> Self {
        let told_ssrc = is_told.then_some(ssrc);
        Self {
            id,
            link,
            is_alive: true,
            mid,
            paused,
            ssrc,
            first: 0,
            next: 0,
            restarts: 0,
            told_ssrc,
            stream: None,
            run: 0,
            clock: 0,
        }
    }

    /// Whether the shard knows the SSRC that packets say at the moment.
    fn has_begun(&self) -> bool {
        self.stream.as_ref().is_some_and(|(ssrc, _)| *ssrc == self.ssrc)
    }

    /// Whether packets are found by their SSRC alone.
    pub(crate) fn is_ssrc_known(&self) -> bool {
        self.has_begun() || self.told_ssrc == Some(self.ssrc)
    }

    /// Goes on as another SSRC.
    pub(crate) fn restart(&mut self, ssrc: u32, first: u64) {
        (self.ssrc, self.first, self.next) = (ssrc, first, first);
        self.restarts += 1;
    }

    pub(crate) fn set_paused(&mut self, paused: PauseReasons) {
        if !self.paused.is_empty() && paused.is_empty() {
            self.run += 1;
        }
        self.paused = paused;
    }

    /// Takes an authentic packet: whether the shard accepts it, and whether it is the newest.
    fn accept(&mut self, index: u64) -> Option<bool> {
        if !self.has_begun() {
            // The receiver cannot know of roll-overs before its first packet.
            if index > u64::from(u16::MAX) {
                return None;
            }
            self.clock += u32::from(self.stream.is_some());
            self.stream = Some((self.ssrc, BTreeSet::from([index])));
            return Some(true);
        }
        let (_, came) = self.stream.as_mut()?;
        let newest = came.last().copied().unwrap_or_default();
        let is_too_old = newest.saturating_sub(index) >= REPLAY_WINDOW;
        (!is_too_old && came.insert(index)).then_some(index > newest)
    }
}

impl Consumer {
    pub(crate) fn new(
        id: ConsumerId,
        (link, producer): (usize, usize),
        ssrc: u32,
        mid: String,
        paused: PauseReasons,
    ) -> Self {
        Self {
            id,
            link,
            producer,
            is_alive: true,
            ssrc,
            mid,
            paused,
            run: None,
            newest: None,
            first_sequence: None,
            timestamp_offset: None,
        }
    }

    pub(crate) fn set_paused(&mut self, paused: PauseReasons) {
        if !self.paused.is_empty() && paused.is_empty() {
            self.run = None;
        }
        self.paused = paused;
    }

    /// The number of the copy of packet `index`; `None` where there is none.
    fn number(&mut self, id: (u32, u32), index: u64, is_newest: bool) -> Option<u64> {
        let next = self.newest.map_or(0, |newest| newest + 1);
        let run =
            self.run.filter(|run| run.id == id && run.number(index).is_none_or(|number| number < next + STEP_MAX));
        let run = match run {
            Some(run) => run,
            // Only the newest packet begins a run.
            None if is_newest => *self.run.insert(Run { id, first_in: index, first_out: next }),
            None => return None,
        };
        let number = run.number(index)?;
        self.newest = Some(self.newest.map_or(number, |newest| newest.max(number)));
        Some(number)
    }
}

impl Model {
    pub(crate) fn owner(&self, address: SocketAddr) -> Option<usize> {
        self.owners.get(&address).map(|owner| owner.link)
    }

    /// Whether another than `link` has left `address`, or has not: that depends on what else it has.
    pub(crate) fn may_be_left(&self, address: SocketAddr, link: usize, now: Instant) -> bool {
        let is_old = |owner: &Owner| owner.link != link && now - owner.checked_at >= CONSENT_TIMEOUT;
        self.owners.get(&address).is_some_and(is_old)
    }

    /// Takes an authentic fresh check; whether it is answered.
    pub(crate) fn check(&mut self, link: usize, address: SocketAddr, now: Instant) -> bool {
        if !self.links[link].is_alive {
            return false;
        }
        let owner = self.owners.entry(address).or_insert(Owner { link, checked_at: now });
        let is_own = owner.link == link;
        if is_own {
            owner.checked_at = now;
        }
        is_own
    }

    pub(crate) fn lose_addresses(&mut self, link: usize) {
        self.owners.retain(|_, owner| owner.link != link);
    }

    /// Takes an authentic packet of a publisher from `address`: `None` where the shard refuses it, else the copies.
    /// `is_sound` says whether it can be forwarded at all.
    pub(crate) fn speak(
        &mut self,
        producer: usize,
        index: u64,
        address: SocketAddr,
        is_sound: bool,
    ) -> Option<Vec<Copy>> {
        let Self { links, producers, consumers, owners, .. } = self;
        let own = &mut producers[producer];
        let is_open = own.is_alive
            && links[own.link].has_keys
            && owners.get(&address).is_some_and(|owner| owner.link == own.link);
        let is_newest = if is_open { own.accept(index)? } else { return None };
        if !own.paused.is_empty() || !is_sound {
            return Some(Vec::new());
        }
        let id = (own.run, own.clock);
        let mut copies = Vec::new();
        for (place, consumer) in consumers.iter_mut().enumerate() {
            if !consumer.is_alive || consumer.producer != producer || !consumer.paused.is_empty() {
                continue;
            }
            let link = &links[consumer.link];
            if !(link.is_reachable && link.has_keys) {
                // What was not sent leaves no gap.
                consumer.run = None;
            } else if let Some(number) = consumer.number(id, index, is_newest) {
                copies.push(Copy { consumer: place, number, clock: id.1 });
            }
        }
        Some(copies)
    }

    /// What comes of a `CreateProducer`.
    pub(crate) fn may_publish(&self, link: usize, mid: &str) -> Result<(), CommandError> {
        if !self.links[link].is_alive {
            return Err(CommandError::NotFound);
        }
        let own = || self.producers.iter().filter(|producer| producer.is_alive && producer.link == link);
        let cameras = self.cameras.iter().filter(|camera| camera.is_alive && camera.link == link);
        if own().count() + cameras.count() >= PRODUCERS_PER_TRANSPORT_MAX {
            return Err(CommandError::LimitReached);
        }
        if own().any(|producer| producer.mid == mid) { Err(CommandError::DuplicateSsrc) } else { Ok(()) }
    }

    /// What comes of a `CreateConsumer`.
    pub(crate) fn may_consume(&self, link: usize, producer: usize, ssrc: u32) -> Result<(), CommandError> {
        let (link_of, producer_of) = (&self.links[link], &self.producers[producer]);
        let is_one_room = link_of.router == self.links[producer_of.link].router;
        if !link_of.is_alive || !producer_of.is_alive || !is_one_room {
            return Err(CommandError::NotFound);
        }
        let mut own = self.consumers.iter().filter(|consumer| consumer.is_alive && consumer.link == link);
        if own.any(|consumer| consumer.ssrc == ssrc) { Err(CommandError::DuplicateSsrc) } else { Ok(()) }
    }

    pub(crate) fn close_router(&mut self, router: usize) {
        self.routers[router].is_alive = false;
        for link in 0..self.links.len() {
            if self.links[link].router == router {
                self.close_link(link);
            }
        }
    }

    pub(crate) fn close_link(&mut self, link: usize) {
        let closed = &mut self.links[link];
        closed.is_alive = false;
        closed.is_handshaking = false;
        self.lose_addresses(link);
        for producer in 0..self.producers.len() {
            if self.producers[producer].link == link {
                self.close_producer(producer);
            }
        }
        for consumer in &mut self.consumers {
            consumer.is_alive &= consumer.link != link;
        }
        for camera in 0..self.cameras.len() {
            if self.cameras[camera].link == link {
                self.close_camera(camera);
            }
        }
        for watcher in &mut self.watchers {
            watcher.is_alive &= watcher.link != link;
        }
    }

    pub(crate) fn close_camera(&mut self, camera: usize) {
        self.cameras[camera].is_alive = false;
        for watcher in &mut self.watchers {
            watcher.is_alive &= watcher.camera != camera;
        }
    }

    pub(crate) fn close_producer(&mut self, producer: usize) {
        self.producers[producer].is_alive = false;
        for consumer in &mut self.consumers {
            consumer.is_alive &= consumer.producer != producer;
        }
    }

    /// Live routers, transports, producers and consumers.
    pub(crate) fn counts(&self) -> [usize; 4] {
        [
            self.routers.iter().filter(|router| router.is_alive).count(),
            self.links.iter().filter(|link| link.is_alive).count(),
            self.producers.iter().filter(|producer| producer.is_alive).count()
                + self.cameras.iter().filter(|camera| camera.is_alive).count(),
            self.consumers.iter().filter(|consumer| consumer.is_alive).count()
                + self.watchers.iter().filter(|watcher| watcher.is_alive).count(),
        ]
    }
}
