//! The limit: the bare fan-out loop that no forwarder on this kernel can beat, unless it pads packets to one length.
//!
//! It takes a packet, opens it, and for every other member of the room copies it, seals the copy under that member's
//! expanded key and sends it. It finds nothing, rewrites nothing and keeps nothing, so what a service takes longer is the
//! service. [`Shape`] says who is in which room, [`Pace`] when packets come, `forwarder` is the loop, `sender` has the ways
//! to send, `far_end` is the rest of the network.
//!
//! Two ways to run it. Free-running, the input's queue is filled beforehand and the loop never waits: what a packet costs
//! where there is always a next one. Paced, packets come when speakers send them, and the loop sleeps between: what it
//! costs with its sleeps, which at moderate load are most of it.

mod far_end;
mod forwarder;
mod lens;
mod messages;
mod network;
mod pace;
mod report;
mod sender;
mod shape;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use socket2::{SockAddr, Socket};

use self::far_end::{FarEnd, Idle, Script};
use self::forwarder::Forwarder;
pub use self::lens::Lens;
use self::messages::{BATCH_MAX, MESSAGES_MAX, Outgoing, Wait};
use self::network::Cpus;
pub use self::network::Device;
pub use self::pace::Pace;
use self::report::Slice;
pub use self::report::{Report, VariantReport};
use self::sender::Sender;
pub use self::sender::Variant;
pub use self::shape::{DESTINATIONS_MAX, Shape, Visits};

/// Why there is no limit to report.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Rooms that cannot be.
    #[error("{0}")]
    Shape(String),
    /// The device can't be had.
    #[error("{0}")]
    Namespace(String),
    /// Too few descriptors.
    #[error(
        "a connected socket for each destination, and one for each of --sinks, need {needed} descriptors and {hard} are \
         allowed; raise the limit with `ulimit -Hn {needed}` as root, leave out the variants `connected` and \
         `connected-gso`, or ask for fewer members or sinks"
    )]
    Descriptors {
        /// How many are needed.
        needed: u64,
        /// How many may be had.
        hard: u64,
    },
    /// Too few CPUs.
    #[error(
        "the forwarder and the thread that drains need a CPU each, and this process may use only one (see `taskset`)"
    )]
    Cpus,
    /// A socket can't be had.
    #[error("{what}: {source}")]
    Socket {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// There is no ring.
    #[error(
        "an io_uring with SINGLE_ISSUER and DEFER_TASKRUN can't be had: {0}; it needs Linux 6.1, not forbidden by kernel.io_uring_disabled"
    )]
    Ring(io::Error),
    /// There is no thread.
    #[error("a thread can't be had: {0}")]
    Thread(io::Error),
    /// Receiving failed.
    #[error("receiving: {0}")]
    Receive(io::Error),
    /// A send was refused.
    #[error("sending: {0}")]
    Send(io::Error),
    /// A packet of somebody else.
    #[error("a packet came in that no speaker of this run has sent")]
    Alien,
    /// Cryptography failed.
    #[error("a packet can't be protected")]
    Key,
    /// Packets did not come in.
    #[error(
        "only {taken} of {expected} packets came in; a buffer was too small: run as root, or raise net.core.rmem_max"
    )]
    Lost {
        /// How many came.
        taken: usize,
        /// How many were sent.
        expected: usize,
    },
    /// The far end is gone.
    #[error("the thread that drains has ended")]
    FarEnd,
    /// The clock can't be read.
    #[error("the thread's CPU time can't be read: {0}")]
    Clock(nix::Error),
}

/// What to run.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Options {
    /// Rooms, visited in random order
    #[arg(long, default_value_t = 100)]
    pub rooms: usize,
    /// Members of each room; a packet goes to all but its speaker
    #[arg(long, default_value_t = 10)]
    pub members: usize,
    /// Members of each room who speak
    #[arg(long, default_value_t = 2)]
    pub speakers: usize,
    /// Bytes of a datagram: 12 of header, 16 of tag, and the payload; 100-160 for any from 100 to 160
    #[arg(long, value_name = "BYTES", default_value = "200")]
    pub packet_len: Lens,
    /// Packets that a speaker sends at once, as the packets of a video frame
    #[arg(long, default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=BATCH_MAX as u64))]
    pub burst: usize,
    /// Packets that one turn takes at most [default: the burst where free-running, 64 where paced]
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=BATCH_MAX as u64))]
    pub batch: Option<usize>,
    /// Where copies go
    #[arg(long, value_enum, default_value_t = Device::Lo)]
    pub device: Device,
    /// Sockets that copies on loopback are drained from; with few their state stays in the cache, and with one for each
    /// member, as participants have, the kernel has more to fetch for each copy
    #[arg(long, default_value_t = 8, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=20_000))]
    pub sinks: usize,
    /// Each speaker sends a burst this often, at a moment of its own, and the loop sleeps between; without it the loop
    /// never waits
    #[arg(long, value_name = "INTERVAL", value_parser = interval)]
    pub pace: Option<Duration>,
    /// How long packets gather after a turn before the next; 0ms: the loop wakes for each
    #[arg(long, value_name = "INTERVAL", default_value = "1ms", value_parser = humantime::parse_duration)]
    pub coalesce: Duration,
    /// How long a round of a variant lasts where paced
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub round: Duration,
    /// Rounds that count, in each of which every variant has its turn; one before them warms up
    #[arg(long, default_value_t = 7, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub rounds: usize,
    /// What random orders and moments are drawn by
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Ways to send, comma-separated [default: all that differ]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub variants: Vec<Variant>,
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("longer than nothing, please".into()),
        Ok(interval) => Ok(interval),
        Err(error) => Err(error.to_string()),
    }
}

impl Options {
    /// Packets that one turn takes at most.
    pub fn batch(&self) -> usize {
        self.batch.unwrap_or(if self.pace.is_some() { MESSAGES_MAX } else { self.burst })
    }

    /// The variants that are run.
    pub fn variants(&self) -> Vec<Variant> {
        if !self.variants.is_empty() {
            return self.variants.clone();
        }
        let mut variants = vec![Variant::Crypto, Variant::Sendto, Variant::Sendmmsg, Variant::Connected];
        if self.batch() > 1 {
            variants.extend([Variant::Gso, Variant::ConnectedGso]);
        }
        variants
    }

    /// Rounds of all variants, the first included: how often `run` tells its progress.
    pub fn steps(&self) -> usize {
        (self.rounds + 1) * self.variants().len()
    }
}

/// Runs every variant in every round, so that what disturbs the machine disturbs all. `on_step` is called after each.
///
/// # Errors
/// Something could not be had, or packets were lost on their way in.
pub fn run(options: &Options, mut on_step: impl FnMut()) -> Result<Report, LimitError> {
    let mut run = Run::new(options)?;
    let variants = options.variants();
    let mut slices = vec![Vec::new(); variants.len()];
    for round in 0..=options.rounds {
        for (variant, slices) in variants.iter().zip(&mut slices) {
            let slice = run.take_slice(*variant)?;
            if round > 0 {
                slices.push(slice);
            }
            on_step();
        }
    }
    let reports = variants.iter().zip(&slices).map(|(variant, slices)| VariantReport::new(*variant, slices));
    Ok(Report {
        options: options.clone(),
        variants: reports.collect(),
        datagrams_sent: run.datagrams_sent,
        datagrams_drained: (options.device == Device::Lo).then_some(run.datagrams_drained),
    })
}

/// Copies of one free-running slice: enough that its ends do not count.
const COPIES_PER_SLICE: usize = 20_000;

/// Packets that the input's queue holds at most, and at least where it can.
const INPUTS: std::ops::RangeInclusive<usize> = 64..=2000;

/// Turns without a packet after which no more come.
const EMPTY_TURNS_MAX: usize = 1000;

/// Between a paced slice's preparation and its first packet.
const HEAD_START: Duration = Duration::from_millis(20);

/// Waits of [`network::RECEIVE_TIMEOUT`] without a packet, and beyond the script's end, after which no more come.
const EMPTY_WAITS_MAX: u32 = 10;

struct Run {
    options: Options,
    shape: Shape,
    visits: Visits,
    /// Draws lengths.
    random: StdRng,
    forwarder: Forwarder,
    far_end: Option<FarEnd>,
    /// Fills the input's queue where free-running.
    source: Socket,
    input: SockAddr,
    inputs: usize,
    counter: u64,
    datagrams_sent: u64,
    datagrams_drained: u64,
}

impl Run {
    fn new(options: &Options) -> Result<Self, LimitError> {
        let shape = Shape::new(options.rooms, options.members, options.speakers)?;
        let cpus = Cpus::choose()?;
        network::enter(options.device)?;

        let (input_socket, input) = network::input()?;
        // Whole turns of whole bursts.
        let step = options.batch().next_multiple_of(options.burst);
        let inputs = (COPIES_PER_SLICE / shape.copies()).clamp(*INPUTS.start(), *INPUTS.end());
        let inputs = inputs.min(network::queue_len(&input_socket)).max(step) / step * step;
        let sinks = network::sinks(options.device, options.sinks)?;
        let destinations = network::destinations(options.device, &sinks, shape.destinations());
        let is_connected = |variant: &Variant| matches!(variant, Variant::Connected | Variant::ConnectedGso);
        let connected = if options.variants().iter().any(is_connected) {
            network::connect(&destinations, sinks.len())?
        } else {
            Vec::new()
        };
        let far_end = if options.device == Device::Lo || options.pace.is_some() {
            let cpu = cpus.far_end.ok_or(LimitError::Cpus)?;
            let idle = if options.pace.is_some() { Idle::Nap } else { Idle::Spin };
            Some(FarEnd::start(cpu, sinks, network::open()?, input.clone(), idle)?)
        } else {
            None
        };
        core_affinity::set_for_current(cpus.forwarder);
        let segments = Outgoing::segments_max(options.packet_len.max).min(options.batch());
        let sender = Sender::new(network::open()?, destinations, connected, options.packet_len.max, segments)?;
        Ok(Self {
            options: options.clone(),
            shape,
            visits: Visits::new(shape.streams(), options.seed),
            random: StdRng::seed_from_u64(options.seed),
            forwarder: Forwarder::new(shape, input_socket, sender, segments)?,
            far_end,
            source: network::open()?,
            input,
            inputs,
            counter: 0,
            datagrams_sent: 0,
            datagrams_drained: 0,
        })
    }

    /// Lets one variant forward.
    fn take_slice(&mut self, variant: Variant) -> Result<Slice, LimitError> {
        self.forwarder.sender.variant = variant;
        self.forwarder.sender.sent = sender::Sent::default();
        let slice = match self.options.pace {
            None => self.forward_freely(),
            Some(interval) => self.forward_paced(interval),
        }?;
        if variant.is_sending() {
            self.datagrams_sent += slice.packets;
        }
        if let (Device::Lo, Some(far_end)) = (self.options.device, &self.far_end) {
            self.datagrams_drained = far_end.settle(self.datagrams_sent);
        }
        Ok(slice)
    }

    fn forward_freely(&mut self) -> Result<Slice, LimitError> {
        for _ in 0..self.inputs / self.options.burst {
            let stream = self.visits.next().unwrap_or_default();
            for _ in 0..self.options.burst {
                let packet = self.packet(stream)?;
                self.source.send_to(&packet, &self.input).map_err(LimitError::Send)?;
            }
        }
        let batch = self.options.batch();
        let meter = Meter::start()?;
        let (mut taken, mut empty) = (0, 0);
        while taken < self.inputs {
            match self.forwarder.take_turn(batch, Wait::Never)? {
                0 if empty == EMPTY_TURNS_MAX => return Err(LimitError::Lost { taken, expected: self.inputs }),
                0 => empty += 1,
                packets => taken += packets,
            }
        }
        self.finish_slice(&meter, taken)
    }

    /// Forwards what the far end sends at its times. The cheapest way to wait: a receiving call that sleeps until the first
    /// packet and takes all that are there; and after a turn, a sleep in which more gather.
    fn forward_paced(&mut self, interval: Duration) -> Result<Slice, LimitError> {
        let script = self.script(interval)?;
        let (expected, begin) = (script.packets.len(), script.begin);
        self.far_end.as_ref().ok_or(LimitError::FarEnd)?.play(script)?;
        let (batch, coalesce) = (self.options.batch(), self.options.coalesce);
        thread::sleep(begin.saturating_duration_since(Instant::now()));
        let meter = Meter::start()?;
        let (mut taken, mut empty) = (0, 0);
        while taken < expected {
            let packets = self.forwarder.take_turn(batch, Wait::ForOne)?;
            taken += packets;
            if packets == 0 {
                empty += 1;
                let is_over = begin.elapsed() > self.options.round && empty > EMPTY_WAITS_MAX;
                if is_over {
                    return Err(LimitError::Lost { taken, expected });
                }
            } else if packets < batch && !coalesce.is_zero() {
                thread::sleep(coalesce);
            }
        }
        self.finish_slice(&meter, taken)
    }

    fn script(&mut self, interval: Duration) -> Result<Script, LimitError> {
        let pace = Pace::new(self.shape, interval, self.options.seed);
        let mut script = Script { begin: Instant::now(), packets: Vec::new() };
        for (time, stream) in pace.arrivals(self.options.round) {
            for _ in 0..self.options.burst {
                script.packets.push((time, self.packet(stream)?));
            }
        }
        script.begin = Instant::now() + HEAD_START;
        Ok(script)
    }

    /// The next packet of a stream.
    fn packet(&mut self, stream: usize) -> Result<Vec<u8>, LimitError> {
        self.counter += 1;
        let mut packet = vec![1; self.options.packet_len.draw(&mut self.random)];
        self.forwarder.protect(stream, self.counter, &mut packet)?;
        Ok(packet)
    }

    fn finish_slice(&self, meter: &Meter, taken: usize) -> Result<Slice, LimitError> {
        let (cpu, wall, sleeps) = meter.stop()?;
        let sender::Sent { calls, messages } = self.forwarder.sender.sent;
        Ok(Slice { cpu, wall, packets: (taken * self.shape.copies()) as u64, messages, calls, sleeps })
    }
}

/// What the calling thread uses.
struct Meter {
    cpu: Duration,
    sleeps: u64,
    begin: Instant,
}

impl Meter {
    fn start() -> Result<Self, LimitError> {
        Ok(Self { sleeps: sleeps()?, begin: Instant::now(), cpu: cpu()? })
    }

    /// CPU time, time, and sleeps since the start.
    fn stop(&self) -> Result<(Duration, Duration, u64), LimitError> {
        let cpu = cpu()? - self.cpu;
        Ok((cpu, self.begin.elapsed(), sleeps()? - self.sleeps))
    }
}

fn cpu() -> Result<Duration, LimitError> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).map_err(LimitError::Clock)
}

/// How often the thread has given up its CPU by itself.
fn sleeps() -> Result<u64, LimitError> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).map_err(LimitError::Clock)?;
    Ok(usage.voluntary_context_switches().try_into().unwrap_or_default())
}
