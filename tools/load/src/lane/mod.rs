//! A lane: one thread that carries the media of many transports.
//!
//! Joins are made elsewhere; a transport that is connected comes here with its socket and keys. The lane looks at its
//! timers about once a millisecond, which is soon enough to send on time, and then reads a part of its sockets, so that
//! each has its turn every few milliseconds: when a packet came is told by the kernel's stamp, not by when it is read.
//! Nothing waits for a socket: over loopback whoever sends a packet pays for waking its receiver, and the service that is
//! measured would pay for this tool. A packet costs no lock, no allocation and no look-up but a short search by SSRC,
//! unless its transport is verified.

mod outcome;
mod receiver;
mod sender;
mod socket;
mod transport;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver as Orders, Sender as OrderSender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use peer::Established;

use crate::observe::thread_cpu;
use crate::observe::throttling::ThrottlingWatch;

pub use outcome::{ContentOutcome, Gauge, LaneOutcome, ProducerOutcome, Rubbish, StreamOutcome, Traffic};
pub use receiver::{Receiver, StreamStart};
pub use sender::{ProducerStart, Sender};
pub use socket::RECEIVE_BUFFER_LEN;
pub use transport::Side;

use socket::Reader;
use transport::{CHECK_INTERVAL, LaneTransport, REPORT_INTERVAL};

/// Between two looks at timers: a twentieth of a voice packet's time, and a thousand wakes a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Looks in which every socket is read once. Who hears two voices or more has a packet for most readings, so that few are
/// in vain; what is to be answered is at most so late, as on a way of 8 ms more.
const LOOKS_PER_ROUND: usize = 8;
/// Packets read in one look, so that a flood of arrivals does not keep packets from being sent.
const READS_MAX: usize = 2048;
/// A window of latency: as long as a processor is throttled at once. Where it is busy half of its time it needs as long again for
/// what it left undone, so that the window after a throttled one counts as throttled too.
const LATENCY_WINDOW: Duration = Duration::from_millis(100);
/// Between two updates of the gauge.
const GAUGE_INTERVAL: Duration = Duration::from_millis(250);

/// What a lane is told.
pub enum Order {
    /// Takes a transport over.
    Open {
        /// What later orders name it by.
        key: u64,
        /// The transport.
        established: Box<Established>,
        /// What it is for.
        side: Box<Side>,
    },
    /// Expects a stream on a transport.
    OpenStream {
        /// The transport.
        key: u64,
        /// The stream.
        start: StreamStart,
    },
    /// A stream has ended.
    CloseStream {
        /// The transport.
        key: u64,
        /// Its SSRC.
        ssrc: u32,
    },
    /// Ends a transport.
    Close {
        /// The transport.
        key: u64,
    },
    /// The measured time begins.
    BeginMeasured,
    /// The measured time ends, and with it all sending.
    EndMeasured,
    /// Ends the lane.
    Finish,
}

/// A running lane.
pub struct Lane {
    orders: OrderSender<Order>,
    gauge: Arc<Gauge>,
    thread: JoinHandle<LaneOutcome>,
}

/// Gives orders to a lane; an order to one that has ended is lost.
#[derive(Clone)]
pub struct LaneOrders(OrderSender<Order>);

impl LaneOrders {
    /// Gives an order.
    pub fn give(&self, order: Order) {
        // A lane ends only after everybody who gives orders.
        let _ = self.0.send(order);
    }
}

impl Lane {
    /// Starts a lane whose times count from `epoch`.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(number: usize, epoch: Instant, watch: Arc<ThrottlingWatch>) -> io::Result<Self> {
        let (orders, taken) = channel();
        let gauge = Arc::new(Gauge::default());
        let runner = Runner::new(taken, Arc::clone(&gauge), epoch, watch);
        let thread = thread::Builder::new().name(format!("lane-{number}")).spawn(|| runner.run())?;
        Ok(Self { orders, gauge, thread })
    }

    /// The way to give it orders.
    pub fn orders(&self) -> LaneOrders {
        LaneOrders(self.orders.clone())
    }

    /// Its gauge.
    pub fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Ends it and gives what it has measured; `None` where it has panicked.
    pub fn finish(self) -> Option<LaneOutcome> {
        // One that has ended needs no order.
        let _ = self.orders.send(Order::Finish);
        self.thread.join().ok()
    }
}

/// What is to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Check,
    Report,
    /// The producer at a place sends.
    Packet(usize),
}

/// A task of the transport in a slot; void where the slot has another key by then. Times are nanoseconds since the
/// epoch.
type Timer = Reverse<(u64, Task, usize, u64)>;

struct Runner {
    orders: Orders<Order>,
    gauge: Arc<Gauge>,
    epoch: Instant,
    reader: Reader,
    slots: Vec<Option<LaneTransport>>,
    /// The first whose turn to be read is next.
    next_slot: usize,
    free: Vec<usize>,
    slot_of: HashMap<u64, usize>,
    timers: BinaryHeap<Timer>,
    outcome: LaneOutcome,
    is_sending: bool,
    measured_from: (Instant, Duration),
    watch: Arc<ThrottlingWatch>,
    window_began: Instant,
    gauged_at: Instant,
}

impl Runner {
    fn new(orders: Orders<Order>, gauge: Arc<Gauge>, epoch: Instant, watch: Arc<ThrottlingWatch>) -> Self {
        Self {
            orders,
            gauge,
            epoch,
            reader: Reader::new(),
            slots: Vec::new(),
            next_slot: 0,
            free: Vec::new(),
            slot_of: HashMap::new(),
            timers: BinaryHeap::new(),
            outcome: LaneOutcome::default(),
            is_sending: true,
            measured_from: (epoch, Duration::ZERO),
            watch,
            window_began: epoch,
            gauged_at: epoch,
        }
    }

    fn run(mut self) -> LaneOutcome {
        loop {
            let began = Instant::now();
            if self.handle_orders().is_break() {
                break;
            }
            if began.saturating_duration_since(self.window_began) >= LATENCY_WINDOW {
                self.end_window(began);
            }
            self.run_timers();
            self.receive();
            self.update_gauge(began);
            thread::sleep(LOOK_INTERVAL.saturating_sub(began.elapsed()));
        }
        if self.is_sending {
            self.end_measured();
        }
        self.end_window(Instant::now());
        for transport in self.slots.iter().flatten() {
            transport.conclude(false, &mut self.outcome);
        }
        self.outcome
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn handle_orders(&mut self) -> std::ops::ControlFlow<()> {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Open { key, established, side }) => self.open(key, *established, *side),
                Ok(Order::OpenStream { key, start }) => {
                    if let Some(Side::Receive(receiver)) = self.side_of(key) {
                        receiver.open(start);
                    }
                }
                Ok(Order::CloseStream { key, ssrc }) => {
                    if let Some(Side::Receive(receiver)) = self.side_of(key) {
                        receiver.close(ssrc);
                    }
                }
                Ok(Order::Close { key }) => self.close(key),
                Ok(Order::BeginMeasured) => self.begin_measured(),
                Ok(Order::EndMeasured) => self.end_measured(),
                Ok(Order::Finish) | Err(TryRecvError::Disconnected) => return std::ops::ControlFlow::Break(()),
                Err(TryRecvError::Empty) => return std::ops::ControlFlow::Continue(()),
            }
        }
    }

    fn side_of(&mut self, key: u64) -> Option<&mut Side> {
        let slot = *self.slot_of.get(&key)?;
        self.slots[slot].as_mut().map(|transport| &mut transport.side)
    }

    fn open(&mut self, key: u64, established: Established, side: Side) {
        let Ok((transport, buffer_len)) = LaneTransport::new(key, established, side) else {
            self.outcome.traffic.send_failures += 1;
            return;
        };
        let smallest = self.outcome.receive_buffer_len.unwrap_or(buffer_len);
        self.outcome.receive_buffer_len = Some(smallest.min(buffer_len));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let now_ns = self.now_ns();
        let soon = |interval: Duration| now_ns + rand::random_range(0..interval.as_nanos() as u64);
        self.timers.push(Reverse((soon(CHECK_INTERVAL), Task::Check, slot, key)));
        self.timers.push(Reverse((soon(REPORT_INTERVAL), Task::Report, slot, key)));
        if let Side::Send(sender) = &transport.side {
            for place in sender.places() {
                let due_ns = sender.due_ns(place);
                self.timers.extend(due_ns.map(|due_ns| Reverse((due_ns, Task::Packet(place), slot, key))));
            }
        }
        self.slots[slot] = Some(transport);
        self.slot_of.insert(key, slot);
    }

    fn close(&mut self, key: u64) {
        let Some(slot) = self.slot_of.remove(&key) else { return };
        if let Some(transport) = self.slots[slot].take() {
            transport.conclude(true, &mut self.outcome);
            self.free.push(slot);
        }
    }

    fn run_timers(&mut self) {
        let now_ns = self.now_ns();
        while let Some(&Reverse((due_ns, task, slot, key))) = self.timers.peek() {
            if due_ns > now_ns {
                break;
            }
            self.timers.pop();
            let Some(transport) = self.slots[slot].as_mut().filter(|transport| transport.key == key) else { continue };
            let next_ns = match task {
                Task::Check => {
                    transport.send_check(&mut self.outcome);
                    Some(now_ns + CHECK_INTERVAL.as_nanos() as u64)
                }
                Task::Report => {
                    transport.send_report(&mut self.outcome);
                    Some(now_ns + REPORT_INTERVAL.as_nanos() as u64)
                }
                Task::Packet(_) if !self.is_sending => None,
                Task::Packet(place) => {
                    transport.send_packet(place, &mut self.outcome);
                    let sent_ns = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    self.outcome.lateness.note_ns(sent_ns.saturating_sub(due_ns));
                    match &transport.side {
                        Side::Send(sender) => sender.due_ns(place),
                        Side::Receive(_) => None,
                    }
                }
            };
            self.timers.extend(next_ns.map(|next_ns| Reverse((next_ns, task, slot, key))));
        }
    }

    /// Reads what has arrived on the sockets whose turn it is.
    fn receive(&mut self) {
        let count = self.slots.len().div_ceil(LOOKS_PER_ROUND);
        if self.next_slot >= self.slots.len() {
            self.next_slot = 0;
        }
        let end = self.slots.len().min(self.next_slot + count);
        let mut reads = 0;
        while self.next_slot < end && reads < READS_MAX {
            if let Some(transport) = &mut self.slots[self.next_slot] {
                while reads < READS_MAX && transport.receive(&mut self.reader, &mut self.outcome) {
                    reads += 1;
                }
            }
            self.next_slot += 1;
        }
    }

    fn end_window(&mut self, now: Instant) {
        let since_epoch = |time: Instant| time.saturating_duration_since(self.epoch);
        let is_throttled =
            self.watch.is_throttled(&(since_epoch(self.window_began).saturating_sub(LATENCY_WINDOW)..since_epoch(now)));
        self.outcome.audio_latency.end_window(is_throttled);
        self.outcome.video_latency.end_window(is_throttled);
        self.window_began = now;
    }

    fn begin_measured(&mut self) {
        let outcome = &mut self.outcome;
        outcome.audio_latency.clear();
        outcome.video_latency.clear();
        outcome.lateness.clear();
        outcome.traffic_before = outcome.traffic;
        self.measured_from = (Instant::now(), thread_cpu());
    }

    fn end_measured(&mut self) {
        self.is_sending = false;
        self.outcome.traffic_measured = self.outcome.traffic.since(&self.outcome.traffic_before);
        self.outcome.measured = self.measured_from.0.elapsed();
        self.outcome.cpu = thread_cpu().saturating_sub(self.measured_from.1);
    }

    fn update_gauge(&mut self, now: Instant) {
        if now.saturating_duration_since(self.gauged_at) < GAUGE_INTERVAL {
            return;
        }
        self.gauged_at = now;
        let sides = self.slots.iter().flatten().map(|transport| &transport.side);
        let streams = sides.map(|side| match side {
            Side::Receive(receiver) => receiver.streams_open(),
            Side::Send(_) => 0,
        });
        let set = |counter: &AtomicU64, count: u64| counter.store(count, Ordering::Relaxed);
        set(&self.gauge.streams, streams.sum::<usize>() as u64);
        set(&self.gauge.sent, self.outcome.traffic.sent);
        set(&self.gauge.received, self.outcome.traffic.received);
        set(&self.gauge.rubbish, self.outcome.rubbish.total());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_window_and_the_next_are_kept_apart() {
        let ms = Duration::from_millis;
        let watch = Arc::new(ThrottlingWatch::default());
        watch.note(ms(0), Duration::from_micros(5));
        (110..=190).step_by(2).for_each(|at| watch.note(ms(at), Duration::from_micros(60)));
        let epoch = Instant::now();
        let mut runner = Runner::new(channel().1, Arc::default(), epoch, watch);
        for window in 1..=4 {
            runner.outcome.audio_latency.note_ns(window * 1_000_000);
            runner.end_window(epoch + ms(100) * window as u32);
        }
        let latency = &runner.outcome.audio_latency;
        assert_eq!((latency.all.summary().count, latency.unthrottled.summary().count), (4, 2));
        assert!((3.9..4.1).contains(&latency.unthrottled.summary().max_ms));
    }
}
