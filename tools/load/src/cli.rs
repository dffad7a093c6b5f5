//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use capture::Filter;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::LoadError;
use crate::shape::{Shape, Silent};
use crate::token::TokenSource;

/// Real participants by the thousand, against any server that speaks the signaling protocol.
#[derive(Debug, Parser)]
#[command(name = "voice-load", version, about, after_help = EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct Cli {
    /// What to do, if not a run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    all is well
  1    a threshold was missed
  2    an argument, a file or the system does not allow the run
  3    the run is invalid: this tool was the bottleneck, so its figures tell nothing of the server
  4    the server failed: it refused joins, ended connections or stopped answering
  5    the server sent rubbish: packets that were not authentic, altered or of nobody
  130  Ctrl-C; what was measured until then is shown";

/// What the tool can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join participants, let them talk, and measure: what is done without a command too.
    #[command(args_override_self = true)]
    Run(Box<RunArgs>),
    /// List the RTP streams of a capture: codec, rate, loss, duration.
    Inspect(InspectArgs),
    /// Join a channel as a listener, and write what is heard and seen to a capture.
    Record(RecordArgs),
}

/// A common shape; other flags change parts of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// One room of two who both speak.
    Pair,
    /// 10 rooms of 10, two of each speak at a time.
    #[value(name = "voice-100")]
    Voice100,
    /// 100 rooms of 10, two of each speak at a time: 90 000 packets a second are received.
    #[value(name = "voice-1000")]
    Voice1000,
    /// One room of 500 with two microphones, one speaks at a time.
    #[value(name = "stage-500")]
    Stage500,
    /// 20 rooms of 5, two of each speak at a time, three have cameras.
    #[value(name = "video-100")]
    Video100,
    /// 10 rooms of 10, one of each speaks at a time, one shares a screen.
    #[value(name = "screen-100")]
    Screen100,
}

/// Where to join, and as whom.
#[derive(Clone, Debug, Args)]
pub struct TargetArgs {
    /// The signaling address. Example: --url ws://127.0.0.1:3003/signaling
    #[arg(long, default_value = "ws://127.0.0.1:3003/signaling", value_name = "URL")]
    pub url: String,
    /// The secret that tokens are signed with (HS256). Example: JWT_SECRET=… voice-load
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, hide = true, value_name = "SECRET")]
    pub jwt_secret: Option<String>,
    /// A file that holds the secret, instead of JWT_SECRET. Example: --secret-file /run/secrets/jwt
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// A command that prints a token for {user} and {channel}. Example: --token-command 'issue-token {user}'
    #[arg(long, value_name = "COMMAND")]
    pub token_command: Option<String>,
    /// The address that sockets are bound on [default: for a server on loopback one for each participant from 127.1.0.1 on,
    /// else any]. Example: --local-ip 192.0.2.7
    #[arg(long, value_name = "IP")]
    pub local_ip: Option<IpAddr>,
}

/// The arguments of a run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Where to join.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The shape.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// What is played.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// What is looked at beside.
    #[command(flatten)]
    pub observe: ObserveArgs,
    /// What must be met.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Threads that carry media, each a share of the transports. Example: --lanes 2
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub lanes: u16,
    /// Write the result as JSON to a file, or to standard output with -. Example: --json result.json
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Show no progress. Example: --quiet
    #[arg(long)]
    pub quiet: bool,
}

/// What a run consists of.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Shape")]
pub struct ShapeArgs {
    /// A common shape, of which other flags change parts. Example: --preset voice-1000 --duration 60s
    #[arg(long)]
    pub preset: Option<Preset>,
    /// Rooms [default: 1]. Example: --rooms 100
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rooms: Option<u32>,
    /// Participants of each room [default: 2]. Example: --participants 10
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub participants: Option<u32>,
    /// Those of each room who have a microphone [default: all]. Example: --microphones 2
    #[arg(long, value_name = "COUNT")]
    pub microphones: Option<u32>,
    /// Those of each room who speak at any time; turns pass from one to another [default: 2]. Example: --speakers 2
    #[arg(long, value_name = "COUNT")]
    pub speakers: Option<u32>,
    /// Those of each room who send a camera [default: 0]. Example: --video 3
    #[arg(long, value_name = "COUNT")]
    pub video: Option<u32>,
    /// Those of each room who share a screen [default: 0]. Example: --screen 1
    #[arg(long, value_name = "COUNT")]
    pub screen: Option<u32>,
    /// A camera's rate in kbit/s. Example: --camera-kbps 1200
    #[arg(long, default_value_t = 800, value_name = "KBPS", value_parser = kbps())]
    pub camera_kbps: u64,
    /// A screen's rate in kbit/s. Example: --screen-kbps 2500
    #[arg(long, default_value_t = 1500, value_name = "KBPS", value_parser = kbps())]
    pub screen_kbps: u64,
    /// What those send who have a microphone and do not speak. Example: --silent none
    #[arg(long, value_enum, default_value_t = Silent::Dtx)]
    pub silent: Silent,
    /// Joins a second. Example: --join-rate 20
    #[arg(long, default_value_t = 50.0, value_name = "RATE", value_parser = join_rate)]
    pub join_rate: f64,
    /// Participants a minute who leave and join again. Example: --churn 30
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = churn)]
    pub churn: f64,
    /// How long to measure once all have joined. Example: --duration 2m
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub duration: Duration,
    /// What the chances of the plan follow from: the same seed, the same plan. Example: --seed 7
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Of the listeners, the share whose every packet is authenticated and checked; at least one of each room. Example:
    /// --verify 1
    #[arg(long, default_value_t = 0.1, value_name = "SHARE", value_parser = share)]
    pub verify: f64,
}

/// The capture that is played in place of synthetic streams.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Capture")]
pub struct CaptureArgs {
    /// Microphones and cameras play the streams of this capture, round and round; its own pauses take the place of
    /// --speakers. Example: --capture call.pcap
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// Only streams from or to this UDP port. Example: --capture-port 40000
    #[arg(long, value_name = "PORT")]
    pub capture_port: Option<u16>,
    /// Only the stream of this SSRC. Example: --capture-ssrc 0x1c2d3e4f
    #[arg(long, value_name = "SSRC", value_parser = ssrc)]
    pub capture_ssrc: Option<u32>,
    /// Play so many times as fast as it was captured. Example: --capture-scale 2
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = positive)]
    pub capture_scale: f64,
}

/// The arguments of an inspection.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// The capture (pcap or pcapng). Example: voice-load inspect call.pcap
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only streams from or to this UDP port; then RTP need not prove itself. Example: --port 40000
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only the stream of this SSRC. Example: --ssrc 0x1c2d3e4f
    #[arg(long, value_name = "SSRC", value_parser = ssrc)]
    pub ssrc: Option<u32>,
    /// Write the descriptions as JSON. Example: voice-load inspect call.pcap --json
    #[arg(long)]
    pub json: bool,
}

/// The arguments of a recording.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// Where to join.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The channel to listen to. Example: --channel standup
    #[arg(long, value_name = "CHANNEL")]
    pub channel: String,
    /// The user to join as. Example: --user recorder
    #[arg(long, default_value = "voice-load-recorder", value_name = "USER")]
    pub user: String,
    /// How long to record. Example: --duration 30s
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub duration: Duration,
    /// The capture to write: decrypted RTP in the pcap format, which Wireshark and --capture read. Example: --out
    /// call.pcap
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What is looked at beside the media.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct ObserveArgs {
    /// Measure this process of the server: CPU of each thread, memory, descriptors. Example: --pid $(pidof
    /// voice-service)
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Where the server's metrics are, if not at /metrics beside the signaling. Example: --metrics-url
    /// http://127.0.0.1:9100/metrics
    #[arg(long, value_name = "URL")]
    pub metrics_url: Option<String>,
}

/// What must be met; exit code 1 where it is not.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Thresholds")]
pub struct LimitArgs {
    /// The median latency of voice (of pictures where nobody has a microphone), in milliseconds. Example: --max-p50-ms 20
    #[arg(long, value_name = "MS")]
    pub max_p50_ms: Option<f64>,
    /// The latency that 99 % of the same keep. Example: --max-p99-ms 50
    #[arg(long, value_name = "MS")]
    pub max_p99_ms: Option<f64>,
    /// The latency that 99.9 % of the same keep. Example: --max-p999-ms 100
    #[arg(long, value_name = "MS")]
    pub max_p999_ms: Option<f64>,
    /// Lost packets in percent. Example: --max-loss 0.1
    #[arg(long, value_name = "PERCENT")]
    pub max_loss: Option<f64>,
    /// Repeated packets in percent. Example: --max-repeats 0
    #[arg(long, value_name = "PERCENT")]
    pub max_repeats: Option<f64>,
    /// Packets that came after a later one, in percent. Example: --max-reordered 1
    #[arg(long, value_name = "PERCENT")]
    pub max_reordered: Option<f64>,
    /// The greatest jitter that 99 % of the same streams keep. Example: --max-jitter-ms 10
    #[arg(long, value_name = "MS")]
    pub max_jitter_ms: Option<f64>,
    /// The join time that 99 % keep. Example: --max-join-ms 2000
    #[arg(long, value_name = "MS")]
    pub max_join_ms: Option<f64>,
    /// The mean opinion score that 99 % of voice streams reach. Example: --min-mos 4
    #[arg(long, value_name = "SCORE")]
    pub min_mos: Option<f64>,
    /// Streams that got nothing, or stopped, while their producer sent. Example: --max-stalled 5
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub max_stalled: u64,
    /// Not-authentic, altered and unknown packets (exit code 5). Example: --max-rubbish 10
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub max_rubbish: u64,
    /// A run is invalid where 1 % of packets were sent later than this by the tool itself. Example: --own-lateness-ms
    /// 20
    #[arg(long, default_value_t = 10.0, value_name = "MS", value_parser = positive)]
    pub own_lateness_ms: f64,
}

impl CaptureArgs {
    /// Which streams are wanted.
    pub fn filter(&self) -> Filter {
        Filter { port: self.capture_port, ssrc: self.capture_ssrc }
    }
}

impl TargetArgs {
    /// Whether the address is one of a WebSocket at all.
    pub fn check_url(&self) -> Result<(), LoadError> {
        let rest = self.url.strip_prefix("ws://").or_else(|| self.url.strip_prefix("wss://"));
        let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        has_host.then_some(()).ok_or_else(|| {
            LoadError::Arguments(format!(
                "--url {:?} is no address of a WebSocket: ws://127.0.0.1:3003/signaling",
                self.url
            ))
        })
    }

    /// Where tokens come from: the command, the file or the secret, the first that was given.
    pub fn tokens(&self) -> Result<TokenSource, LoadError> {
        if let Some(command) = &self.token_command {
            return Ok(TokenSource::Command(command.clone()));
        }
        if let Some(path) = &self.secret_file {
            let secret = std::fs::read_to_string(path);
            let secret = secret.map_err(|error| LoadError::File { path: path.clone(), error })?;
            return Ok(TokenSource::Secret(secret.trim_end_matches(['\r', '\n']).to_owned()));
        }
        self.jwt_secret.clone().filter(|secret| !secret.is_empty()).map(TokenSource::Secret).ok_or(LoadError::NoTokens)
    }
}

impl ShapeArgs {
    /// The shape that preset and flags give together.
    pub fn shape(&self) -> Result<Shape, LoadError> {
        // Rooms, participants, microphones, speakers, cameras, screens.
        let [rooms, participants, microphones, speakers, cameras, screens] = match self.preset {
            None => [1, 2, u32::MAX, 2, 0, 0],
            Some(Preset::Pair) => [1, 2, 2, 2, 0, 0],
            Some(Preset::Voice100) => [10, 10, 10, 2, 0, 0],
            Some(Preset::Voice1000) => [100, 10, 10, 2, 0, 0],
            Some(Preset::Stage500) => [1, 500, 2, 1, 0, 0],
            Some(Preset::Video100) => [20, 5, 5, 2, 3, 0],
            Some(Preset::Screen100) => [10, 10, 10, 1, 0, 1],
        };
        let participants = self.participants.unwrap_or(participants);
        let within = |name: &str, given: Option<u32>, preset: u32| match given {
            Some(count) if count > participants => Err(LoadError::Arguments(format!(
                "--{name} {count} is more than the {participants} participants of a room; see --participants"
            ))),
            Some(count) => Ok(count as usize),
            None => Ok(preset.min(participants) as usize),
        };
        let microphones = within("microphones", self.microphones, microphones)?;
        Ok(Shape {
            rooms: self.rooms.unwrap_or(rooms) as usize,
            participants: participants as usize,
            microphones,
            speakers: within("speakers", self.speakers, speakers)?.min(microphones),
            cameras: within("video", self.video, cameras)?,
            screens: within("screen", self.screen, screens)?,
            silent: self.silent,
            verified_share: self.verify,
            duration: self.duration,
            seed: self.seed,
        })
    }
}

/// The turns of a whole run are planned before it.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a time with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let matching = units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, seconds) = matching.ok_or("a time has a unit: 500ms, 30s, 2m or 1h")?;
    let number: f64 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    let time = Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())?;
    match time {
        Duration::ZERO => Err("it must be longer than nothing".into()),
        time if time > DURATION_MAX => Err("a day is the longest".into()),
        time => Ok(time),
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| format!("{text:?} is no number"))
}

/// The rates of pictures: from a stamp's to the most that a browser sends.
fn kbps() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(50..=20_000)
}

/// Reads an SSRC, decimal or hexadecimal.
fn ssrc(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is no SSRC: 478000 or 0x1c2d3e4f"))
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| if number > 0.0 { Ok(number) } else { Err("it must be above zero".into()) })
}

/// From one in a quarter of an hour to more than any host begins.
fn join_rate(text: &str) -> Result<f64, String> {
    let range = 0.001..=1_000_000.0;
    let outside = || "it lies from 0.001 to 1000000".into();
    number(text).and_then(|rate| if range.contains(&rate) { Ok(rate) } else { Err(outside()) })
}

/// One leaves after another, each with a word to the server: more than this in a minute can't be kept.
fn churn(text: &str) -> Result<f64, String> {
    let range = 0.0..=6000.0;
    let outside = || "it lies from 0 to 6000".into();
    number(text).and_then(|rate| if range.contains(&rate) { Ok(rate) } else { Err(outside()) })
}

fn share(text: &str) -> Result<f64, String> {
    let range = 0.0..=1.0;
    number(text).and_then(|share| if range.contains(&share) { Ok(share) } else { Err("it lies from 0 to 1".into()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn shape(arguments: &[&str]) -> Result<Shape, LoadError> {
        let cli = Cli::try_parse_from(["voice-load", "run"].iter().chain(arguments)).expect("clap takes it");
        match cli.command {
            Some(Command::Run(run)) => run.shape.shape(),
            other => panic!("{other:?} is no run"),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_change_parts_of_a_preset() {
        let shape = shape(&["--preset", "voice-1000", "--rooms", "3", "--duration", "1.5m"]).expect("it fits");
        assert_eq!((shape.rooms, shape.participants, shape.speakers), (3, 10, 2));
        assert_eq!(shape.duration, Duration::from_secs(90));
    }

    #[test]
    fn a_run_is_made_without_a_command_too() {
        let cli = Cli::try_parse_from(["voice-load", "--preset", "voice-1000", "--rooms", "7"]).expect("clap takes it");
        assert!(cli.command.is_none());
        assert_eq!(cli.run.shape.shape().expect("it fits").rooms, 7);
        let inspect = Cli::try_parse_from(["voice-load", "inspect", "call.pcap"]).expect("clap takes it");
        assert!(matches!(inspect.command, Some(Command::Inspect(_))));
    }

    #[test]
    fn more_speakers_than_participants_are_refused_with_the_way_to_mend_it() {
        let error = shape(&["--participants", "3", "--speakers", "4"]).expect_err("it is refused");
        assert!(error.to_string().contains("--participants"), "{error}");
    }

    #[test]
    fn a_join_rate_that_no_clock_can_keep_is_refused() {
        for (rate, is_taken) in [("1000000", true), ("0.001", true), ("0", false), ("1e-30", false), ("1e9", false)] {
            let arguments = ["voice-load", "--join-rate", rate];
            assert_eq!(Cli::try_parse_from(arguments).is_ok(), is_taken, "{rate}");
        }
    }

    #[test]
    fn a_time_needs_its_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["30", "s", "-1s", "0s", "1e99h", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
