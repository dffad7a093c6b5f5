//! One publisher and its viewers in one room.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use netsim::decoder::{Verdict, judge};
use netsim::{
    Conditions, Feedback, LinkId, Published, Publisher, PublisherSetup, Receiver, ReceiverSetup, World, consumer,
};
use shard_protocol::Command;
use shard_protocol::command::PauseReason;
use shard_protocol::ids::{ConsumerId, ProducerId, RouterId};
use shard_protocol::tables::PayloadFormat;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// From frame to frame of a camera.
pub(crate) const FRAME: Duration = Duration::from_millis(34);

pub(crate) const FORMATS: [PayloadFormat; 4] =
    [PayloadFormat::Vp8, PayloadFormat::Vp9, PayloadFormat::H264, PayloadFormat::Av1];

/// A network of 50 ms round trip.
pub(crate) const FAR: Conditions = Conditions { delay: Duration::from_millis(25), ..Conditions::GOOD };

/// How far time may be off over a break: what a frame is delayed more than another on a network that loses nothing.
pub(crate) const SLACK: Duration = Duration::from_millis(50);

/// One who watches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    pub(crate) link: LinkId,
    pub(crate) consumer: ConsumerId,
    /// Which of its participant's receivers.
    pub(crate) place: usize,
}

/// A publisher and its viewers.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) router: RouterId,
    pub(crate) speaker: LinkId,
    pub(crate) producer: ProducerId,
    pub(crate) viewers: Vec<Viewer>,
    pub(crate) receiver_setup: ReceiverSetup,
    /// Whether those who come can be sent packets again.
    pub(crate) receivers_have_retransmission: bool,
    last_ssrc: u32,
}

impl Scene {
    /// A publisher that begins at once, and `viewers` who are there from the beginning.
    pub(crate) fn new(seed: u64, conditions: Conditions, setup: PublisherSetup, viewers: usize) -> Self {
        let mut world = World::new(seed, conditions);
        let router = world.add_router();
        let speaker = world.add_connected_link(router);
        let links: Vec<LinkId> = (0..viewers).map(|_| world.add_connected_link(router)).collect();
        let producer = world.add_publisher(speaker, setup);
        let receiver_setup = ReceiverSetup { round_trip: conditions.delay * 2, ..ReceiverSetup::default() };
        let last_ssrc = 0x0001_0000;
        let mut scene = Self {
            world,
            router,
            speaker,
            producer,
            viewers: Vec::new(),
            receiver_setup,
            receivers_have_retransmission: true,
            last_ssrc,
        };
        for link in links {
            scene.watch(link);
        }
        scene
    }

    /// Lets a participant watch.
    pub(crate) fn watch(&mut self, link: LinkId) -> Viewer {
        self.last_ssrc += 2;
        let ssrc = self.last_ssrc;
        let mid = format!("{ssrc:x}");
        let rtx_ssrc = self.receivers_have_retransmission.then_some(ssrc + 1);
        let table = consumer(self.publisher().setup().format, &mid, ssrc, rtx_ssrc);
        let consumer = self.world.add_receiver(link, self.producer, table, self.receiver_setup);
        let place = self.world.participant(link).receivers.len() - 1;
        let viewer = Viewer { link, consumer, place };
        self.viewers.push(viewer);
        viewer
    }

    /// Someone comes and watches.
    pub(crate) fn join(&mut self) -> Viewer {
        let link = self.world.add_connected_link(self.router);
        self.watch(link)
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.world.run_for(duration);
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(crate) fn publisher(&mut self) -> &mut Publisher {
        &mut self.world.participant(self.speaker).publishers[0]
    }

    /// What the service has said to the publisher.
    pub(crate) fn feedback(&mut self) -> &mut Feedback {
        &mut self.world.participant(self.speaker).feedback
    }

    pub(crate) fn receiver(&mut self, viewer: Viewer) -> &mut Receiver {
        &mut self.world.participant(viewer.link).receivers[viewer.place]
    }

    pub(crate) fn pause_producer(&mut self, reason: PauseReason) {
        self.world.command(Command::PauseProducer { producer: self.producer, reason });
    }

    pub(crate) fn resume_producer(&mut self, reason: PauseReason) {
        self.world.command(Command::ResumeProducer { producer: self.producer, reason });
    }

    pub(crate) fn pause_consumer(&mut self, viewer: Viewer) {
        self.world.command(Command::PauseConsumer { consumer: viewer.consumer, reason: PauseReason::Owner });
    }

    pub(crate) fn resume_consumer(&mut self, viewer: Viewer) {
        self.world.command(Command::ResumeConsumer { consumer: viewer.consumer, reason: PauseReason::Owner });
    }

    /// How often the publisher was asked for a key frame since `since`.
    pub(crate) fn key_frames_asked(&mut self, since: Instant) -> usize {
        self.feedback().key_frames.iter().filter(|(at, _)| *at >= since).count()
    }

    /// Judges what a viewer was sent.
    pub(crate) fn try_judge(&mut self, viewer: Viewer, slack: Duration) -> Result<Verdict, String> {
        let participant = self.world.participant(viewer.link);
        if participant.unopened > 0 {
            return Err(format!("{} packets did not open", participant.unopened));
        }
        // Each borrows the world, one mutably: the publisher is taken out and put back.
        let mut publishers = std::mem::take(&mut self.world.participant(self.speaker).publishers);
        let verdict = judge(&publishers[0], self.receiver(viewer), slack);
        self.world.participant(self.speaker).publishers.append(&mut publishers);
        verdict
    }

    /// Judges what a viewer was sent, which must be right.
    pub(crate) fn judge(&mut self, viewer: Viewer, slack: Duration) -> Verdict {
        match self.try_judge(viewer, slack) {
            Ok(verdict) => verdict,
            Err(fault) => panic!("{viewer:?}: {fault}"),
        }
    }

    /// Judges what all viewers were sent.
    pub(crate) fn judge_all(&mut self, slack: Duration) -> Vec<Verdict> {
        self.viewers.clone().into_iter().map(|viewer| self.judge(viewer, slack)).collect()
    }

    /// The share of packets that reached a viewer within `limit` of being published: of those from its first key frame on
    /// that have had the time.
    pub(crate) fn share_within(&mut self, viewer: Viewer, limit: Duration) -> f64 {
        let end = self.now() - limit;
        let mut came_at = HashMap::new();
        for arrival in self.receiver(viewer).arrivals.iter().filter(|arrival| !arrival.is_lost) {
            if let Some((label, _)) = arrival.content {
                came_at.entry((label.stream(), label.index)).or_insert(arrival.at);
            }
        }
        let first = came_at.keys().map(|(_, index)| *index).min().expect("something came");
        let log = &self.publisher().log;
        let is_due = |sent: &&Published| !sent.is_padding && sent.sent_at < end && sent.label.index >= first;
        let due: Vec<_> = log.iter().filter(is_due).collect();
        let in_time = due.iter().filter(|sent| {
            let at = came_at.get(&(sent.label.stream(), sent.label.index));
            at.is_some_and(|at| *at <= sent.sent_at + limit)
        });
        in_time.count() as f64 / due.len() as f64
    }

    /// When and of which encoding the frames were that a viewer could decode since `since`, the first of them first.
    pub(crate) fn decoded_since(&mut self, viewer: Viewer, since: Instant) -> Vec<netsim::decoder::Decoded> {
        let verdict = self.judge(viewer, SLACK);
        verdict.decoded.into_iter().filter(|frame| frame.at >= since).collect()
    }
}
