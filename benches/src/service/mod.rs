//! The real service under load, beside the limit of the same shape.
//!
//! [`Row`] says what is put on it, `Figures` what is read off: CPU time, packets and how long they stay from the service's
//! own metrics, memory from `/proc`, latency and loss from the load tool. The service has one shard on one CPU; its
//! signaling, the load and this program share another.

mod figures;
mod row;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use peer::{Metrics, PeerError, Service, ServiceOptions};
use serde_json::Value;
use tokio::process::{Child, Command as ChildCommand};
use tokio::time::{sleep, sleep_until};

use self::figures::{Figures, Limit, Reading, Round};
pub use self::row::{Crowd, Row};
pub use self::table::Table;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The service does not start, or does not answer.
    #[error(transparent)]
    Service(#[from] PeerError),
    /// A program can't be run.
    #[error("{program}: {reason}")]
    Program {
        /// Which.
        program: String,
        /// Why.
        reason: String,
    },
    /// Too few CPUs.
    #[error("the shard needs a CPU of its own and this process may use only one (see `taskset`)")]
    Cpus,
    /// The CPUs can't be chosen.
    #[error("the CPUs of this process can't be chosen: {0}")]
    Affinity(nix::Error),
    /// Participants did not get in.
    #[error("{row}: only {joined} of {expected} participants got in within {within:?}; the load tool says: {told}")]
    Joins {
        /// Of which row.
        row: &'static str,
        /// How many did.
        joined: usize,
        /// How many should have.
        expected: usize,
        /// In which time.
        within: Duration,
        /// What the load tool printed.
        told: String,
    },
}

/// What to run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Rows, comma-separated [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub rows: Vec<Row>,
    /// Rounds, in each of which every row and its limit have their turn
    #[arg(long, default_value_t = 3, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100))]
    pub rounds: usize,
    /// How long a row is measured in a round
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
}

/// A row and its limit are measured in slices of such a length, and the cost of a packet is their median: a processor that is
/// throttled for some tens of milliseconds every second or two spoils the fewer, the shorter they are.
const SLICE: Duration = Duration::from_millis(250);
/// The limit's slices of each way to send: an odd number, so that the median is one of them, of which some may be spoiled.
const LIMIT_ROUNDS: &str = "13";
/// Once all are in, streams that were just begun have settled after so long.
const SETTLING: Duration = Duration::from_secs(3);
/// All may take so long to get in: far more than a thousand need where a shard has no time left.
const JOINS_MAX: Duration = Duration::from_secs(120);
/// The load outlasts what is measured by so much, so that it ends only after.
const MARGIN: Duration = Duration::from_secs(3);
/// Joins a second where they are not what is measured.
const JOIN_RATE: u32 = 200;
/// Joins a second that are begun where the service is to be the bound.
const JOIN_RATE_MAX: u32 = 100_000;
/// Between two looks at who is in. Each is a request to the service.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// The same where the time of getting in is measured.
const CLOSE_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What takes half of the shard's CPU: a busy process that does nothing, for as long as this program lives. The load tool has
/// one CPU too, with which it cannot fill the shard's on every machine; half of that it can.
const COMPETITOR: &str = "parent=$PPID; while kill -0 $parent 2>/dev/null; do :; done";

/// Runs all rows and gives the table. `tell` is told what happens.
///
/// # Errors
/// Where a program can't be built or run, or does not do what it should.
pub fn run(options: &Options, tell: impl Fn(&str)) -> Result<Table, ServiceError> {
    let cpus = Cpus::choose()?;
    let programs = Programs::build(&tell)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed("tokio", &error))?;
    let rows = if options.rows.is_empty() { all_rows() } else { options.rows.clone() };
    let mut results: Vec<(Row, Vec<Round>)> = rows.iter().map(|row| (*row, Vec::new())).collect();
    for round in 1..=options.rounds {
        for (row, rounds) in &mut results {
            tell(&format!("round {round} of {}: {}", options.rounds, row.title()));
            let figures = runtime.block_on(measure(*row, options.duration, &programs, &cpus))?;
            cpus.use_all()?;
            let limit = programs.limit(*row, &figures)?;
            rounds.push(Round { figures, limit });
        }
    }
    Ok(Table::new(results))
}

fn all_rows() -> Vec<Row> {
    <Row as clap::ValueEnum>::value_variants().to_vec()
}

/// Starts the service, puts a row on it, and reads the figures.
async fn measure(row: Row, duration: Duration, programs: &Programs, cpus: &Cpus) -> Result<Figures, ServiceError> {
    cpus.use_all()?;
    let arguments = [("--cpuset", cpus.shard), ("--signal-cpuset", cpus.others)];
    let arguments = arguments.into_iter().flat_map(|(flag, cpu)| [flag.to_owned(), cpu.to_string()]).collect();
    let service = Service::start(&ServiceOptions { binary: programs.service.clone(), shards: 1, arguments }).await?;
    let idle_bytes = service.resident_bytes()?;
    cpus.use_others()?;
    let crowd = row.crowd();
    let mut load = programs.load(&service, crowd, JOIN_RATE, duration + SETTLING + MARGIN)?;
    wait_until_in(row, &service, crowd.participants(), JOINS_MAX, &mut load).await?;
    let _competitor = if row.is_saturated() { Some(cpus.compete()?) } else { None };
    sleep(SETTLING).await;
    let loaded_bytes = service.resident_bytes()?;

    let mut readings = vec![Reading::new(service.metrics().await?)];
    let mut joins_per_s = None;
    if let Some(newcomers) = row.newcomers() {
        let mut joining = programs.load(&service, newcomers, JOIN_RATE_MAX, Duration::from_secs(1))?;
        let began = Instant::now();
        let all = crowd.participants() + newcomers.participants();
        wait_until_in(row, &service, all, JOINS_MAX, &mut joining).await?;
        joins_per_s = Some(newcomers.participants() as f64 / began.elapsed().as_secs_f64());
        // What is measured ends with the last join.
        readings.push(Reading::new(service.metrics().await?));
        finish(joining).await?;
    } else {
        let began = tokio::time::Instant::now();
        let slices = duration.div_duration_f64(SLICE).round().max(1.0) as u32;
        for slice in 1..=slices {
            sleep_until(began + duration * slice / slices).await;
            readings.push(Reading::new(service.metrics().await?));
        }
    }
    let told = finish(load).await?;
    let bytes_each = loaded_bytes.saturating_sub(idle_bytes) as f64 / crowd.participants() as f64;
    Ok(Figures { joins_per_s, ..Figures::new(&readings, &told, bytes_each) })
}

/// Waits until as many participants are in channels with media that can flow.
async fn wait_until_in(
    row: Row,
    service: &Service,
    expected: usize,
    within: Duration,
    load: &mut Child,
) -> Result<(), ServiceError> {
    let began = Instant::now();
    let interval = if row.newcomers().is_some() { CLOSE_LOOK_INTERVAL } else { LOOK_INTERVAL };
    loop {
        let joined = service.metrics().await.map(|metrics| connected(&metrics))?;
        if joined >= expected {
            return Ok(());
        }
        let has_ended = load.try_wait().is_ok_and(|status| status.is_some());
        if has_ended || began.elapsed() > within {
            let told = format!("its process {}", if has_ended { "has ended" } else { "still runs" });
            return Err(ServiceError::Joins { row: row.title(), joined, expected, within, told });
        }
        sleep(interval).await;
    }
}

fn connected(metrics: &Metrics) -> usize {
    metrics.sum("voice_active_connections", &[]) as usize
}

/// Waits for the load tool and reads its report.
async fn finish(load: Child) -> Result<Value, ServiceError> {
    let output = load.wait_with_output().await.map_err(|error| failed("voice-load", &error))?;
    let report = serde_json::from_slice(&output.stdout);
    report.map_err(|error| {
        failed("voice-load", &format!("no report ({error}): {}", String::from_utf8_lossy(&output.stderr)))
    })
}

fn failed(program: &str, reason: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::Program { program: program.to_owned(), reason: reason.to_string() }
}

/// The CPU of the shard, and that of all else.
struct Cpus {
    all: CpuSet,
    shard: usize,
    others: usize,
}

impl Cpus {
    fn choose() -> Result<Self, ServiceError> {
        let all = sched_getaffinity(Pid::from_raw(0)).map_err(ServiceError::Affinity)?;
        let mut allowed = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false));
        match (allowed.next(), allowed.next()) {
            // The limit forwards on the first too: what one CPU costs another need not.
            (Some(shard), Some(others)) => Ok(Self { all, shard, others }),
            _ => Err(ServiceError::Cpus),
        }
    }

    /// Lets this process, and those that it starts from now on, use all CPUs that it was given.
    fn use_all(&self) -> Result<(), ServiceError> {
        sched_setaffinity(Pid::from_raw(0), &self.all).map_err(ServiceError::Affinity)
    }

    /// Keeps this process, and those that it starts from now on, off the shard's CPU.
    fn use_others(&self) -> Result<(), ServiceError> {
        use_only(self.others)
    }

    /// Starts a process that takes half of the shard's CPU, until it is dropped.
    fn compete(&self) -> Result<Child, ServiceError> {
        use_only(self.shard)?;
        let competitor =
            ChildCommand::new("sh").args(["-c", COMPETITOR]).stdin(Stdio::null()).kill_on_drop(true).spawn();
        self.use_others()?;
        competitor.map_err(|error| failed("sh", &error))
    }
}

/// Keeps this process, and those that it starts from now on, on one CPU.
fn use_only(cpu: usize) -> Result<(), ServiceError> {
    let mut one = CpuSet::new();
    one.set(cpu).map_err(ServiceError::Affinity)?;
    sched_setaffinity(Pid::from_raw(0), &one).map_err(ServiceError::Affinity)
}

/// The programs that are run.
struct Programs {
    service: PathBuf,
    load: PathBuf,
    limit: PathBuf,
}

impl Programs {
    /// Builds them, and finds them beside this one.
    fn build(tell: &impl Fn(&str)) -> Result<Self, ServiceError> {
        tell("building voice-service, voice-load and limit");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let arguments = ["build", "--release", "--locked", "--bins", "-p", "signaling", "-p", "load", "-p", "benches"];
        let status = Command::new(cargo).args(arguments).status().map_err(|error| failed("cargo", &error))?;
        if !status.success() {
            return Err(failed("cargo build", &status));
        }
        let own = std::env::current_exe().map_err(|error| failed("service", &error))?;
        let folder = own.parent().unwrap_or(Path::new("."));
        Ok(Self { service: folder.join("voice-service"), load: folder.join("voice-load"), limit: folder.join("limit") })
    }

    /// Starts the load tool with a crowd in which nobody sends comfort noise.
    fn load(&self, service: &Service, crowd: Crowd, join_rate: u32, duration: Duration) -> Result<Child, ServiceError> {
        let Crowd { rooms, members, speakers, microphones, cameras } = crowd;
        ChildCommand::new(&self.load)
            .args(["run", "--quiet", "--json", "-", "--silent", "none", "--url", &service.url()])
            .args(["--rooms", &rooms.to_string(), "--participants", &members.to_string()])
            .args(["--microphones", &microphones.to_string(), "--speakers", &speakers.to_string()])
            .args(["--video", &cameras.to_string(), "--join-rate", &join_rate.to_string()])
            .args(["--duration", &format!("{}ms", duration.as_millis())])
            .env("JWT_SECRET", service.secret())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("voice-load", &error))
    }

    /// Runs the limit of the same shape, with datagrams of the same length and at the same pace.
    fn limit(&self, row: Row, figures: &Figures) -> Result<Option<Limit>, ServiceError> {
        if row.newcomers().is_some() {
            return Ok(None);
        }
        let crowd = row.crowd();
        let Crowd { rooms, members, speakers, cameras, .. } = crowd;
        let producers = speakers + cameras;
        let (len_min, len_max) = figures.datagram_lens(cameras == 0);
        let mut command = Command::new(&self.limit);
        command
            .args(["--json", "--rounds", LIMIT_ROUNDS])
            .args(["--rooms", &rooms.to_string(), "--members", &members.to_string()])
            .args(["--speakers", &producers.to_string(), "--sinks", &crowd.participants().to_string()])
            .args(["--packet-len", &format!("{len_min}-{len_max}")]);
        if row.is_saturated() {
            command.args(["--batch", &row.limit_batch().to_string()]);
        } else {
            let pace = Duration::from_secs_f64((rooms * producers) as f64 / figures.taken_per_s.max(1.0));
            let (pace, slice) = (format!("{}us", pace.as_micros()), format!("{}ms", SLICE.as_millis()));
            command.args(["--pace", &pace, "--round", &slice]);
        }
        let output = command.output().map_err(|error| failed("limit", &error))?;
        let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
            failed("limit", &format!("no report ({error}): {}", String::from_utf8_lossy(&output.stderr)))
        })?;
        Ok(Limit::read(&report))
    }
}
