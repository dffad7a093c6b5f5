//! Everything that is not the forwarder, on a CPU of its own: it drains what is sent on loopback, and in a paced run
//! sends the packets that come in.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{SockAddr, Socket};

use super::LimitError;
use super::messages::{Incoming, MESSAGES_MAX, Wait};

/// Bytes that are read of a drained datagram.
const SLOT_LEN: usize = 2048;

/// How long a paced run's drain naps: the sockets hold far more than comes in that time, and its CPU is not the forwarder's.
const NAP: Duration = Duration::from_millis(1);

/// Naps in which every socket is drained once: with a thousand of them a whole round would make what is due late.
const NAPS_PER_ROUND: usize = 8;

/// How long what was sent may take to be drained.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Packets to send at their times.
pub(super) struct Script {
    /// What the times count from.
    pub(super) begin: Instant,
    /// When each packet is due, and the packet; earliest first.
    pub(super) packets: Vec<(Duration, Vec<u8>)>,
}

/// What the thread does while nothing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// It looks again at once, so that its sockets never fill.
    Spin,
    /// It naps.
    Nap,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    drained: AtomicU64,
}

/// The thread's handle. It ends when this is dropped.
pub(super) struct FarEnd {
    shared: Arc<Shared>,
    scripts: mpsc::Sender<Script>,
    thread: Option<JoinHandle<()>>,
}

impl FarEnd {
    /// Starts the thread on `cpu`. It drains `sinks`, and sends scripts from `source` to `input`.
    pub(super) fn start(
        cpu: core_affinity::CoreId,
        sinks: Vec<Socket>,
        source: Socket,
        input: SockAddr,
        idle: Idle,
    ) -> Result<Self, LimitError> {
        let shared = Arc::<Shared>::default();
        let (scripts, coming) = mpsc::channel();
        let worker =
            Worker { shared: Arc::clone(&shared), sinks, source, input, idle, next_sink: 0, script: None, next: 0 };
        let run = move || {
            core_affinity::set_for_current(cpu);
            worker.run(&coming);
        };
        let thread = thread::Builder::new().name("far-end".into()).spawn(run).map_err(LimitError::Thread)?;
        Ok(Self { shared, scripts, thread: Some(thread) })
    }

    /// Sends `script` at its times.
    pub(super) fn play(&self, script: Script) -> Result<(), LimitError> {
        self.scripts.send(script).map_err(|_| LimitError::FarEnd)
    }

    /// Waits until `sent` datagrams are drained, or no more come; how many there were.
    pub(super) fn settle(&self, sent: u64) -> u64 {
        let end = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let drained = self.shared.drained.load(Ordering::Relaxed);
            if drained >= sent || Instant::now() > end {
                return drained;
            }
            thread::sleep(NAP);
        }
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // A panic was reported by the thread itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Worker {
    shared: Arc<Shared>,
    sinks: Vec<Socket>,
    source: Socket,
    input: SockAddr,
    idle: Idle,
    /// The first that is drained next.
    next_sink: usize,
    script: Option<Script>,
    /// The script's next packet.
    next: usize,
}

impl Worker {
    fn run(mut self, coming: &mpsc::Receiver<Script>) {
        let mut incoming = Incoming::new(SLOT_LEN);
        while !self.shared.is_over.load(Ordering::Relaxed) {
            self.drain(&mut incoming);
            if self.script.is_none()
                && let Ok(script) = coming.try_recv()
            {
                (self.script, self.next) = (Some(script), 0);
            }
            let due = self.send_due();
            if self.idle == Idle::Nap {
                let nap = due.map_or(NAP, |due| due.saturating_duration_since(Instant::now()).min(NAP));
                thread::sleep(nap);
            }
        }
    }

    /// Takes what the sockets have whose turn it is. One that fails is seen by what is missing at the end.
    fn drain(&mut self, incoming: &mut Incoming) {
        let count = match self.idle {
            Idle::Spin => self.sinks.len(),
            Idle::Nap => self.sinks.len().div_ceil(NAPS_PER_ROUND),
        };
        let end = self.sinks.len().min(self.next_sink + count);
        for sink in &self.sinks[self.next_sink..end] {
            let drained = incoming.receive(sink.as_fd(), MESSAGES_MAX, Wait::Never).unwrap_or(0);
            self.shared.drained.fetch_add(drained as u64, Ordering::Relaxed);
        }
        self.next_sink = if end == self.sinks.len() { 0 } else { end };
    }

    /// Sends what is due, and tells when the next is. What can't be sent is missed by the forwarder, which says so.
    fn send_due(&mut self) -> Option<Instant> {
        let script = self.script.as_ref()?;
        while let Some((time, packet)) = script.packets.get(self.next) {
            let due = script.begin + *time;
            if due > Instant::now() {
                return Some(due);
            }
            let _ = self.source.send_to(packet, &self.input);
            self.next += 1;
        }
        self.script = None;
        None
    }
}
