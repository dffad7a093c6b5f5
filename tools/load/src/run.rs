//! A run from its beginning to its report: joins at their rate, the measured time with its comings and goings, the end.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Write, stderr};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use peer::DtlsIdentity;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::cli::{CaptureArgs, RunArgs};
use crate::error::LoadError;
use crate::join::{Call, Ended, Tally, participate};
use crate::lane::{Lane, LaneOrders, LaneOutcome, Order};
use crate::measure::histogram::Durations;
use crate::observe::metrics::{self, Scrape};
use crate::observe::process::ProcessSample;
use crate::observe::throttling::{Throttling, ThrottlingWatch};
use crate::progress::Progress;
use crate::report::{Generator, Joins, Judged, Media, Report, judge};
use crate::shape::{Seat, Shape};
use crate::source::{Library, Picture};

/// Participants that join at one time; more would wait for one another, and their times would tell of that.
const JOINING_MAX: usize = 64;
/// Descriptors of a participant: a WebSocket and two transports, which have some more while they connect.
const DESCRIPTORS_EACH: u64 = 3;
/// Descriptors of all else: of those who are joining, lanes, and what the process began with.
const DESCRIPTORS_REST: u64 = 512;
/// Turns are planned for so much longer than joins and the measured time should take.
const PLAN_SLACK: Duration = Duration::from_secs(120);
/// All that were sent have arrived where nothing came for so long.
const DRAIN: Duration = Duration::from_secs(1);
/// What comes later than this after the end is lost.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long those who leave may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at how the run goes.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Between two ticks that tell how late the thread is that makes joins.
const TICK_INTERVAL: Duration = Duration::from_millis(10);

/// Makes a run. `interrupted` is set by who wants it to end.
///
/// # Errors
/// Where the run can't be made at all; what goes wrong in it is in the report.
pub async fn run(args: &RunArgs, interrupted: Arc<AtomicBool>) -> Result<Report, LoadError> {
    let shape = args.shape.shape()?;
    raise_descriptor_limit(&shape)?;
    // What can't be seen, reached or written is told now, and not after the run.
    args.observe.pid.map(ProcessSample::take).transpose()?;
    args.target.check_url()?;
    if let Some(path) = args.json.as_deref().filter(|path| *path != Path::new("-")) {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        file.map_err(|error| LoadError::File { path: path.to_owned(), error })?;
    }
    // A command that gives no token is no fault of the server's.
    args.target.tokens()?.token("voice-load", "voice-load").await?;
    let mut stage = Stage::set(args, shape, interrupted)?;
    stage.join_all(args).await;
    Ok(stage.measure(args).await)
}

/// A participant's seat and what tells it to leave.
struct Present {
    seat: Arc<Seat>,
    attempt: u32,
    leave: Option<oneshot::Sender<()>>,
    task: JoinHandle<Ended>,
}

struct Stage {
    call: Arc<Call>,
    lanes: Vec<Lane>,
    watch: Arc<ThrottlingWatch>,
    seats: Vec<Arc<Seat>>,
    present: Vec<Present>,
    interrupted: Arc<AtomicBool>,
    progress: Progress,
    join_lateness: Arc<Mutex<Durations>>,
    ticker: JoinHandle<()>,
    rng: StdRng,
}

impl Stage {
    fn set(args: &RunArgs, shape: Shape, interrupted: Arc<AtomicBool>) -> Result<Self, LoadError> {
        let library = read_capture(&args.capture)?;
        let epoch = Instant::now();
        let ramp = Duration::from_secs_f64(shape.participants_total() as f64 / args.shape.join_rate);
        let horizon = 4 * ramp + shape.duration + PLAN_SLACK;
        let seats = shape.plan(horizon).into_iter().map(Arc::new).collect();
        let watch = ThrottlingWatch::start(epoch);
        let watch = watch.map_err(|error| LoadError::System(format!("no thread could be started: {error}")))?;
        let start = |number| Lane::start(number, epoch, Arc::clone(&watch));
        let started = (0..args.lanes.into()).map(start).collect::<Result<Vec<_>, _>>();
        let lanes = started.map_err(|error| LoadError::System(format!("a lane could not be started: {error}")))?;
        let join_lateness = Arc::new(Mutex::new(Durations::default()));
        let call = Call {
            url: args.target.url.clone(),
            tokens: args.target.tokens()?,
            local: args.target.local_ip,
            identity: DtlsIdentity::generate()?,
            lanes: lanes.iter().map(Lane::orders).collect(),
            epoch,
            camera: Picture::camera(args.shape.camera_kbps),
            screen: Picture::screen(args.shape.screen_kbps),
            name: format!("load-{:08x}", rand::random::<u32>()),
            joining: Semaphore::new(JOINING_MAX),
            tally: Tally::default(),
            publishers: Mutex::new(HashMap::new()),
            next_key: AtomicU64::new(0),
            is_flowing_at_once: AtomicBool::new(false),
            library,
            shape,
        };
        let ticker = tokio::spawn(run_ticker(Arc::clone(&join_lateness)));
        let rng = StdRng::seed_from_u64(call.shape.seed);
        Ok(Self {
            call: Arc::new(call),
            lanes,
            watch,
            seats,
            present: Vec::new(),
            interrupted,
            progress: Progress::new(args.quiet),
            join_lateness,
            ticker,
            rng,
        })
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn order_all(&self, order: fn() -> Order) {
        self.lanes.iter().map(Lane::orders).for_each(|lane: LaneOrders| lane.give(order()));
    }

    fn begin(&mut self, seat: Arc<Seat>, attempt: u32) -> Present {
        let (leave, left) = oneshot::channel();
        let task = tokio::spawn(participate(Arc::clone(&self.call), Arc::clone(&seat), attempt, left));
        Present { seat, attempt, leave: Some(leave), task }
    }

    /// Lets everybody join at the rate, and waits until each has, or has failed.
    async fn join_all(&mut self, args: &RunArgs) {
        let mut pace = interval(Duration::from_secs_f64(1.0 / args.shape.join_rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let total = self.seats.len() as f64;
        for seat in self.seats.clone() {
            while timeout(LOOK_INTERVAL, pace.tick()).await.is_err() {
                if self.is_interrupted() {
                    return;
                }
            }
            if self.is_interrupted() {
                return;
            }
            let present = self.begin(seat, 0);
            self.present.push(present);
            self.show(self.present.len() as f64 / total, "joining");
        }
        while !self.is_interrupted() {
            let (done, attempted) = {
                let figures = self.call.tally.figures();
                (figures.joined + figures.failed(), figures.attempted)
            };
            if done >= attempted && attempted >= self.seats.len() as u64 {
                return;
            }
            self.show(1.0, "joining");
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// The measured time, the end, and the report.
    async fn measure(mut self, args: &RunArgs) -> Report {
        let metrics_url = args.observe.metrics_url.clone().or_else(|| metrics::beside(&args.target.url));
        // A process that has gone since the beginning is the server's failure, and no reason to lose the rest.
        let process_before = args.observe.pid.and_then(|pid| ProcessSample::take(pid).ok());
        let scrape_before = scrape(metrics_url.as_deref()).await;
        if let (Some(url), None) = (&args.observe.metrics_url, &scrape_before) {
            // A closed standard error is no reason not to run.
            let _ = writeln!(stderr(), "warning: there are no metrics that are known at {url}");
        }
        // Joins that come later, where there is churn, are late by what comes later too.
        let joining_lateness = (args.shape.churn == 0.0).then(|| self.join_lateness());
        let began = self.call.epoch.elapsed();
        self.order_all(|| Order::BeginMeasured);
        self.pass_time(args).await;
        self.order_all(|| Order::EndMeasured);
        let throttling = self.watch.throttling(&(began..self.call.epoch.elapsed()));
        // A server that is gone has no figures of its end.
        let process = process_before
            .zip(args.observe.pid)
            .and_then(|(before, pid)| Some(before.until(&ProcessSample::take(pid).ok()?, pid)));
        let scrape_after = scrape(metrics_url.as_deref()).await;
        self.show(1.0, "ending");
        self.drain().await;
        self.ticker.abort();
        let lateness = joining_lateness.unwrap_or_else(|| self.join_lateness());
        let outcomes: Vec<Option<LaneOutcome>> = self.lanes.drain(..).map(Lane::finish).collect();
        self.leave_all().await;
        self.progress.clear();
        let is_interrupted = self.is_interrupted();
        let mut report = conclude(args, &self.call, &outcomes, &lateness, throttling, is_interrupted);
        report.process = process;
        report.metrics = scrape_before.zip(scrape_after).map(|(before, after)| before.until(&after));
        report
    }

    /// How late the thread has been that makes joins.
    fn join_lateness(&self) -> Durations {
        self.join_lateness.lock().map(|lateness| lateness.clone()).unwrap_or_default()
    }

    /// Waits until nothing comes any more of what was sent.
    async fn drain(&self) {
        let received = || self.lanes.iter().map(|lane| lane.gauge().received.load(Ordering::Relaxed)).sum::<u64>();
        let (began, mut before) = (Instant::now(), received());
        loop {
            sleep(DRAIN).await;
            let now = received();
            if now == before || began.elapsed() > DRAIN_MAX || self.is_interrupted() {
                return;
            }
            before = now;
        }
    }

    /// Waits for the measured time to pass, while some leave and come again.
    async fn pass_time(&mut self, args: &RunArgs) {
        let began = Instant::now();
        let mut churned = 0.0;
        while !self.is_interrupted() && began.elapsed() < self.call.shape.duration {
            let share = began.elapsed().as_secs_f64() / self.call.shape.duration.as_secs_f64();
            self.show(
                share,
                &format!("{:.0} s of {:.0} s", began.elapsed().as_secs_f64(), self.call.shape.duration.as_secs_f64()),
            );
            if self.present.iter().all(|present| present.task.is_finished()) {
                break;
            }
            while !self.is_interrupted() && churned + 1.0 <= began.elapsed().as_secs_f64() * args.shape.churn / 60.0 {
                churned += 1.0;
                self.churn_one().await;
            }
            sleep(LOOK_INTERVAL.min(self.call.shape.duration.saturating_sub(began.elapsed()))).await;
        }
    }

    /// One participant, chosen by chance, leaves and comes again.
    async fn churn_one(&mut self) {
        if self.present.is_empty() {
            return;
        }
        let place = self.rng.random_range(0..self.present.len());
        let present = &mut self.present[place];
        if present.task.is_finished() {
            return;
        }
        if let Some(leave) = present.leave.take() {
            // One that has ended by itself needs no word.
            let _ = leave.send(());
        }
        // It says good-bye before it comes again; a server that hangs is not waited for.
        let _ = timeout(LEAVE_TIMEOUT, &mut present.task).await;
        let (seat, attempt) = (Arc::clone(&present.seat), present.attempt + 1);
        self.present[place] = self.begin(seat, attempt);
    }

    async fn leave_all(&mut self) {
        let leaves = self.present.iter_mut().filter_map(|present| present.leave.take());
        // Those who have ended by themselves need no word.
        leaves.for_each(|leave| leave.send(()).unwrap_or_default());
        let all = futures_util::future::join_all(self.present.drain(..).map(|present| present.task));
        // Who does not get to say it in time leaves without a word.
        let _ = timeout(LEAVE_TIMEOUT, all).await;
    }

    fn show(&mut self, done: f64, stage: &str) {
        let sum = |of: fn(&crate::lane::Gauge) -> &AtomicU64| {
            self.lanes.iter().map(|lane| of(lane.gauge()).load(Ordering::Relaxed)).sum::<u64>()
        };
        let (joined, failed, lost) = {
            let figures = self.call.tally.figures();
            (figures.joined - figures.left.min(figures.joined), figures.failed(), figures.lost_total())
        };
        let words = format!(
            "{stage}: {joined} of {} in, {failed} failed, {lost} lost; {} streams; \
             packets {} sent, {} received, {} rubbish",
            self.seats.len(),
            sum(|gauge| &gauge.streams),
            sum(|gauge| &gauge.sent),
            sum(|gauge| &gauge.received),
            sum(|gauge| &gauge.rubbish),
        );
        self.progress.show(done, &words);
    }
}

/// Reads the capture that was asked for, and says what of it is not used.
fn read_capture(args: &CaptureArgs) -> Result<Option<Library>, LoadError> {
    let Some(path) = &args.capture else { return Ok(None) };
    let (library, warnings) = Library::read(path, &args.filter(), args.capture_scale)?;
    for warning in warnings {
        // A closed standard error is no reason not to run.
        let _ = writeln!(stderr(), "warning: {warning}");
    }
    Ok(Some(library))
}

/// Puts together what lanes and joins have measured.
fn conclude(
    args: &RunArgs,
    call: &Call,
    outcomes: &[Option<LaneOutcome>],
    join_lateness: &Durations,
    throttling: Throttling,
    is_interrupted: bool,
) -> Report {
    let mut all = LaneOutcome::default();
    outcomes.iter().flatten().for_each(|outcome| all.add(outcome));
    let lane_cores = outcomes.iter().flatten().map(LaneOutcome::cores).collect();
    let generator = Generator {
        lateness: all.lateness.summary(),
        join_lateness: join_lateness.summary(),
        lane_cores,
        cpu_per_received_packet_ns: all.cpu.as_nanos() as f64 / all.traffic_measured.received.max(1) as f64,
        overflowed: all.overflowed,
        receive_buffer_bytes: all.receive_buffer_len,
        send_failures: all.traffic.send_failures,
        unanswered_transports: all.unanswered_transports,
        lanes_broken: outcomes.iter().filter(|outcome| outcome.is_none()).count() as u64,
        throttling,
    };
    let joins = Joins::new(&call.tally.figures(), &all);
    let mut media = Media::new(&all);
    // Where some come and go, or did not get in, the streams are others at each moment.
    if args.shape.churn == 0.0 && joins.failed == 0 && joins.lost == 0 && !is_interrupted {
        media.missing_streams = call.shape.streams_total().saturating_sub(all.streams.len() as u64);
    }
    let judged = Judged { joins: &joins, media: &media, rubbish: &all.rubbish, generator: &generator, is_interrupted };
    let (verdict, thresholds) = judge(&judged, &args.limits);
    Report {
        version: env!("CARGO_PKG_VERSION"),
        url: args.target.url.clone(),
        shape: call.shape.clone(),
        measured_s: all.measured.as_secs_f64(),
        verdict,
        thresholds,
        rubbish: all.rubbish,
        joins,
        media,
        generator,
        process: None,
        metrics: None,
    }
}

async fn scrape(url: Option<&str>) -> Option<Scrape> {
    match url {
        Some(url) => Scrape::take(url).await,
        None => None,
    }
}

/// Notes how late a timer of this thread rings.
async fn run_ticker(lateness: Arc<Mutex<Durations>>) {
    loop {
        let began = Instant::now();
        sleep(TICK_INTERVAL).await;
        if let Ok(mut lateness) = lateness.lock() {
            lateness.note_expected(began.elapsed().saturating_sub(TICK_INTERVAL), TICK_INTERVAL);
        }
    }
}

/// Loopback for a server on loopback, which can't be reached from elsewhere; else any.
pub fn local_for(url: &str) -> IpAddr {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let is_loopback = authority.starts_with("localhost") || authority.starts_with("127.");
    IpAddr::V4(if is_loopback { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED })
}

/// The address on loopback that is a participant's own, as people have one: what the kernel keeps for a pair of addresses, such as
/// the number of the next datagram, the server shares with this tool otherwise. Where there are very many, some share one.
pub fn loopback_of(seat: &Seat) -> IpAddr {
    let number = (seat.room << 10 | seat.place) as u32 & 0x003f_ffff;
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + number).into()
}

/// Lets the process open as many descriptors as the shape needs.
fn raise_descriptor_limit(shape: &Shape) -> Result<(), LoadError> {
    let needed = shape.participants_total() as u64 * DESCRIPTORS_EACH + DESCRIPTORS_REST;
    let limits = getrlimit(Resource::RLIMIT_NOFILE);
    let (soft, hard) = limits.map_err(|error| LoadError::System(format!("the limit of descriptors: {error}")))?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(LoadError::System(format!(
            "{} participants need {needed} descriptors, and {hard} are allowed: ulimit -Hn {needed}",
            shape.participants_total()
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard)
        .map_err(|error| LoadError::System(format!("the limit of descriptors can't be raised to {needed}: {error}")))
}
