//! The way to the media shards: a port for each, the requests that wait for an answer, the releases that wait for room.
//!
//! What creates may be refused: [`Shards::try_create`] says so at once where a shard's queue is full, where releases wait in
//! front of it, or where the shard is lost. What closes, holds back or asks a publisher is never refused: [`Shards::release`]
//! keeps it, in order, until the queue takes it. That backlog is bounded by the objects of the shard, because each has one
//! close, at most one word for each reason to pause, and at most one wish for a key frame.
//!
//! Not here: what an answer means. Whoever asks hands in a `T` that comes back with the answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use shard_protocol::command::PauseReason;
use shard_protocol::event::{DtlsState, IceState, TransportCloseReason};
use shard_protocol::ids::{ConsumerId, ProducerId, RequestId, ShardIndex, TransportId};
use shard_protocol::limits::EVENTS_MAX;
use shard_protocol::stats::ShardStats;
use shard_protocol::{Command, CommandError, Event};

/// How long a shard may take to answer. It takes milliseconds; a shard that needs seconds does no media either, and the
/// client should hear of it before it gives up itself.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How soon a waiting backlog is tried again. A shard empties its queue every turn, within milliseconds.
const BACKLOG_RETRY: Duration = Duration::from_millis(10);

/// The two bounded queues of one shard. Neither call blocks.
pub trait ShardPort: Send {
    /// Puts a command into the shard's queue, and wakes the shard.
    ///
    /// # Errors
    /// Gives the command back when the queue is full or the shard is gone.
    fn try_send(&mut self, command: Command) -> Result<(), SendRefused>;

    /// Takes the shard's next event, if there is one.
    ///
    /// # Errors
    /// When the shard is gone and all that it said has been taken.
    fn try_recv(&mut self) -> Result<Option<Event>, ShardLost>;
}

/// Why a command was not taken; it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendRefused {
    /// The queue is full.
    Full(Command),
    /// The shard is gone.
    Lost(Command),
}

/// The shard is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLost;

/// A shard takes nothing new at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// What came from a shard.
#[derive(Debug)]
pub enum News<T> {
    /// A request was answered.
    Answered {
        /// What was handed in with it.
        then: T,
        /// What came of it.
        result: Result<(), CommandError>,
    },
    /// A request for figures was answered.
    Stats {
        /// What was handed in with it.
        then: T,
        /// The figures.
        stats: Box<ShardStats>,
    },
    /// A request was not answered within [`ANSWER_TIMEOUT`]. Should the answer still come, it is dropped.
    TimedOut {
        /// What was handed in with it.
        then: T,
    },
    /// A transport's state changed.
    TransportState {
        /// The transport.
        transport: TransportId,
        /// Its ICE state now.
        ice: IceState,
        /// Its DTLS state now.
        dtls: DtlsState,
    },
    /// A transport ended by itself.
    TransportClosed {
        /// The transport.
        transport: TransportId,
        /// Why.
        reason: TransportCloseReason,
    },
    /// A shard is gone, with all that lived on it and all requests to it. Said once.
    Lost(ShardIndex),
}

struct Line {
    port: Box<dyn ShardPort>,
    /// Releases that found the queue full, in order.
    backlog: VecDeque<Command>,
    refused: u64,
    is_lost: bool,
    is_loss_told: bool,
}

struct Pending<T> {
    shard: ShardIndex,
    deadline: Instant,
    then: T,
}

/// All shards of the service.
pub struct Shards<T> {
    lines: Vec<Line>,
    /// Ids grow, and every request has the same time to live: the first is always the next to time out.
    pending: BTreeMap<RequestId, Pending<T>>,
    next_request: u64,
    /// The line that [`Self::poll`] asks first: the one behind that which spoke last.
    next_line: usize,
}

impl<T> Shards<T> {
    /// Takes the ports, in the order of the shards' indices.
    pub fn new(ports: Vec<Box<dyn ShardPort>>) -> Self {
        let line = |port| Line { port, backlog: VecDeque::new(), refused: 0, is_lost: false, is_loss_told: false };
        let lines = ports.into_iter().map(line).collect();
        Self { lines, pending: BTreeMap::new(), next_request: 0, next_line: 0 }
    }

    /// The shards that are not lost.
    pub fn alive(&self) -> impl Iterator<Item = ShardIndex> {
        let is_alive = |(index, line): (usize, &Line)| (!line.is_lost).then_some(ShardIndex(index as u16));
        self.lines.iter().enumerate().filter_map(is_alive)
    }

    /// How many shards there are, lost ones included.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no shard at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many requests to `shard` were refused for want of room, so far.
    pub fn refused(&self, shard: ShardIndex) -> u64 {
        self.lines.get(usize::from(shard.0)).map_or(0, |line| line.refused)
    }

    /// How many releases wait for `shard`.
    pub fn backlog_len(&self, shard: ShardIndex) -> usize {
        self.lines.get(usize::from(shard.0)).map_or(0, |line| line.backlog.len())
    }

    /// How many requests wait for an answer.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Asks `shard` for something; `then` comes back with the answer.
    ///
    /// # Errors
    /// When the shard takes nothing new; nothing changed.
    pub fn try_create(
        &mut self,
        shard: ShardIndex,
        now: Instant,
        then: T,
        command: impl FnOnce(RequestId) -> Command,
    ) -> Result<RequestId, Unavailable> {
        let line = self.lines.get_mut(usize::from(shard.0)).ok_or(Unavailable)?;
        line.flush();
        let request = RequestId(self.next_request);
        // A request must not overtake a release: it may need the place that the release frees.
        if !line.backlog.is_empty() || line.send(command(request)).is_err() {
            line.refused += 1;
            return Err(Unavailable);
        }
        self.next_request += 1;
        self.pending.insert(request, Pending { shard, deadline: now + ANSWER_TIMEOUT, then });
        Ok(request)
    }

    /// Sends a command that closes, holds back or asks a publisher, as soon as there is room. To a lost shard there is nothing to say.
    pub fn release(&mut self, shard: ShardIndex, command: Command) {
        let Some(line) = self.lines.get_mut(usize::from(shard.0)) else { return };
        line.flush();
        if line.is_lost {
            return;
        }
        if line.backlog.is_empty() {
            if let Err(command) = line.send(command) {
                line.backlog.push_back(command);
            }
        } else {
            line.put_off(command);
        }
    }

    /// Gives up on an answer; it is dropped when it comes.
    pub fn cancel(&mut self, request: RequestId) -> Option<T> {
        self.pending.remove(&request).map(|pending| pending.then)
    }

    /// The next news; `None` when there is none for now. Shards that all have some to tell take turns.
    pub fn poll(&mut self, now: Instant) -> Option<News<T>> {
        let count = self.lines.len();
        for index in (self.next_line..count).chain(0..self.next_line) {
            if let Some(news) = self.poll_line(ShardIndex(index as u16)) {
                self.next_line = (index + 1) % count;
                return Some(news);
            }
        }
        let first = self.pending.first_entry()?;
        (first.get().deadline <= now).then(|| News::TimedOut { then: first.remove().then })
    }

    /// When [`Self::poll`] is due without a word from a shard.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let retry = self.lines.iter().any(|line| !line.backlog.is_empty()).then(|| now + BACKLOG_RETRY);
        let deadline = self.pending.first_key_value().map(|(_, pending)| pending.deadline);
        retry.into_iter().chain(deadline).min()
    }

    fn poll_line(&mut self, shard: ShardIndex) -> Option<News<T>> {
        let line = self.lines.get_mut(usize::from(shard.0))?;
        line.flush();
        // Answers that nobody waits for any more are passed over; no more than the queue can hold at once.
        for _ in 0..=EVENTS_MAX {
            let event = match line.port.try_recv() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(ShardLost) => {
                    line.is_lost = true;
                    break;
                }
            };
            if let Some(news) = Self::news(&mut self.pending, event) {
                return Some(news);
            }
        }
        if line.is_lost && !line.is_loss_told {
            line.is_loss_told = true;
            line.backlog = VecDeque::new();
            self.pending.retain(|_, pending| pending.shard != shard);
            return Some(News::Lost(shard));
        }
        None
    }

    fn news(pending: &mut BTreeMap<RequestId, Pending<T>>, event: Event) -> Option<News<T>> {
        match event {
            Event::Answered { request, result } => {
                pending.remove(&request).map(|pending| News::Answered { then: pending.then, result })
            }
            Event::Stats { request, stats } => {
                pending.remove(&request).map(|pending| News::Stats { then: pending.then, stats })
            }
            Event::TransportState { transport, ice, dtls } => Some(News::TransportState { transport, ice, dtls }),
            Event::TransportClosed { transport, reason } => Some(News::TransportClosed { transport, reason }),
        }
    }
}

impl Line {
    /// Sends past the backlog; gives the command back when it was not taken.
    fn send(&mut self, command: Command) -> Result<(), Command> {
        if self.is_lost {
            return Err(command);
        }
        match self.port.try_send(command) {
            Ok(()) => Ok(()),
            Err(SendRefused::Full(command)) => Err(command),
            Err(SendRefused::Lost(command)) => {
                self.is_lost = true;
                Err(command)
            }
        }
    }

    fn flush(&mut self) {
        while let Some(command) = self.backlog.pop_front() {
            if let Err(command) = self.send(command) {
                self.backlog.push_front(command);
                return;
            }
        }
    }

    /// Puts a release at the end of the backlog. An earlier word on the same reason of the same object is void then, and so is
    /// an earlier wish; without that a client could make the backlog long by muting and unmuting.
    fn put_off(&mut self, command: Command) {
        if let Some(subject) = Subject::of(&command) {
            self.backlog.retain(|earlier| Subject::of(earlier) != Some(subject));
        }
        self.backlog.push_back(command);
    }
}

/// What a command is about that the next one of its kind makes void.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Producer(ProducerId, PauseReason),
    Consumer(ConsumerId, PauseReason),
    KeyFrame(ConsumerId),
}

impl Subject {
    fn of(command: &Command) -> Option<Self> {
        match *command {
            Command::PauseProducer { producer, reason } | Command::ResumeProducer { producer, reason } => {
                Some(Self::Producer(producer, reason))
            }
            Command::PauseConsumer { consumer, reason } | Command::ResumeConsumer { consumer, reason } => {
                Some(Self::Consumer(consumer, reason))
            }
            Command::RequestKeyFrame { consumer } => Some(Self::KeyFrame(consumer)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use shard_protocol::ids::RouterId;

    use super::*;

    #[derive(Default)]
    struct Queue {
        room: usize,
        taken: Vec<Command>,
        events: VecDeque<Event>,
        is_gone: bool,
    }

    #[derive(Clone, Default)]
    struct Port(Arc<Mutex<Queue>>);

    impl ShardPort for Port {
        fn try_send(&mut self, command: Command) -> Result<(), SendRefused> {
            let mut queue = self.0.lock().unwrap();
            if queue.is_gone {
                return Err(SendRefused::Lost(command));
            }
            if queue.room == 0 {
                return Err(SendRefused::Full(command));
            }
            queue.room -= 1;
            queue.taken.push(command);
            Ok(())
        }

        fn try_recv(&mut self) -> Result<Option<Event>, ShardLost> {
            let mut queue = self.0.lock().unwrap();
            let event = queue.events.pop_front();
            if event.is_none() && queue.is_gone { Err(ShardLost) } else { Ok(event) }
        }
    }

    const SHARD: ShardIndex = ShardIndex(0);

    fn shards(room: usize) -> (Shards<&'static str>, Port) {
        let port = Port::default();
        port.0.lock().unwrap().room = room;
        (Shards::new(vec![Box::new(port.clone())]), port)
    }

    fn create(shards: &mut Shards<&'static str>, now: Instant, then: &'static str) -> Result<RequestId, Unavailable> {
        shards.try_create(SHARD, now, then, |request| Command::CreateRouter { request, router: RouterId(1) })
    }

    fn pause(producer: u64) -> Command {
        Command::PauseProducer { producer: ProducerId(producer), reason: PauseReason::State }
    }

    fn resume(producer: u64) -> Command {
        Command::ResumeProducer { producer: ProducerId(producer), reason: PauseReason::State }
    }

    #[test]
    fn what_creates_is_refused_when_the_queue_is_full_and_what_releases_waits() {
        let (mut shards, port) = shards(1);
        let now = Instant::now();
        assert!(create(&mut shards, now, "first").is_ok());
        assert_eq!(create(&mut shards, now, "second"), Err(Unavailable));
        shards.release(SHARD, pause(1));
        shards.release(SHARD, Command::CloseProducer { producer: ProducerId(1) });
        assert_eq!((shards.backlog_len(SHARD), shards.refused(SHARD)), (2, 1));
        port.0.lock().unwrap().room = 1;
        assert_eq!(create(&mut shards, now, "behind a release"), Err(Unavailable));
        port.0.lock().unwrap().room = 1;
        assert!(shards.poll(now).is_none());
        assert_eq!(port.0.lock().unwrap().taken[1..], [pause(1), Command::CloseProducer { producer: ProducerId(1) }]);
        assert_eq!(shards.poll_timeout(now), Some(now + ANSWER_TIMEOUT));
    }

    #[test]
    fn the_last_word_on_a_pause_is_the_one_that_waits() {
        let (mut shards, port) = shards(0);
        for _ in 0..1000 {
            shards.release(SHARD, pause(1));
            shards.release(SHARD, resume(1));
            shards.release(SHARD, pause(2));
        }
        assert_eq!(shards.backlog_len(SHARD), 2);
        port.0.lock().unwrap().room = 9;
        assert!(shards.poll(Instant::now()).is_none());
        assert_eq!(port.0.lock().unwrap().taken, [resume(1), pause(2)]);
    }

    #[test]
    fn a_wish_for_a_key_frame_waits_once_a_consumer() {
        let (mut shards, port) = shards(0);
        let wish = |consumer| Command::RequestKeyFrame { consumer: ConsumerId(consumer) };
        for _ in 0..1000 {
            shards.release(SHARD, wish(1));
            shards.release(SHARD, wish(2));
        }
        port.0.lock().unwrap().room = 9;
        assert!(shards.poll(Instant::now()).is_none());
        assert_eq!(port.0.lock().unwrap().taken, [wish(1), wish(2)]);
    }

    #[test]
    fn an_answer_finds_its_request_once() {
        let (mut shards, port) = shards(9);
        let now = Instant::now();
        let request = create(&mut shards, now, "mine").unwrap();
        let answer = Event::Answered { request, result: Err(CommandError::LimitReached) };
        port.0.lock().unwrap().events.extend([answer.clone(), answer]);
        let Some(News::Answered { then: "mine", result: Err(CommandError::LimitReached) }) = shards.poll(now) else {
            panic!("the answer is lost");
        };
        assert!(shards.poll(now).is_none());
        assert_eq!(shards.pending_len(), 0);
    }

    #[test]
    fn a_silent_shard_times_out_and_its_late_answer_is_dropped() {
        let (mut shards, port) = shards(9);
        let now = Instant::now();
        let request = create(&mut shards, now, "mine").unwrap();
        assert!(shards.poll(now + ANSWER_TIMEOUT / 2).is_none());
        assert!(matches!(shards.poll(now + ANSWER_TIMEOUT), Some(News::TimedOut { then: "mine" })));
        port.0.lock().unwrap().events.push_back(Event::Answered { request, result: Ok(()) });
        assert!(shards.poll(now + ANSWER_TIMEOUT).is_none());
    }

    #[test]
    fn a_shard_with_much_to_tell_lets_the_next_one_speak() {
        let ports = [Port::default(), Port::default()];
        let mut shards: Shards<()> = Shards::new(ports.iter().map(|port| Box::new(port.clone()) as _).collect());
        for (port, transport) in ports.iter().zip(1..) {
            let event =
                Event::TransportClosed { transport: TransportId(transport), reason: TransportCloseReason::DtlsFailed };
            port.0.lock().unwrap().events.extend(vec![event; 3]);
        }
        let told = std::iter::from_fn(|| match shards.poll(Instant::now())? {
            News::TransportClosed { transport, .. } => Some(transport.0),
            other => panic!("no such news: {other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn a_lost_shard_is_told_once_after_its_last_words() {
        let (mut shards, port) = shards(9);
        let now = Instant::now();
        let request = create(&mut shards, now, "answered").unwrap();
        create(&mut shards, now, "never answered").unwrap();
        {
            let mut queue = port.0.lock().unwrap();
            queue.is_gone = true;
            queue.events.push_back(Event::Answered { request, result: Ok(()) });
        }
        assert!(matches!(shards.poll(now), Some(News::Answered { then: "answered", .. })));
        assert!(matches!(shards.poll(now), Some(News::Lost(SHARD))));
        assert!(shards.poll(now + ANSWER_TIMEOUT).is_none());
        assert_eq!(shards.alive().count(), 0);
        assert_eq!(create(&mut shards, now, "too late"), Err(Unavailable));
        shards.release(SHARD, pause(1));
        assert_eq!(shards.backlog_len(SHARD), 0);
    }
}
