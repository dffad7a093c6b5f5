//! Whether a run's figures can be trusted, and whether they are good enough. Pure.

use serde::Serialize;

use super::{Generator, Joins, Media};
use crate::cli::LimitArgs;
use crate::lane::{RECEIVE_BUFFER_LEN, Rubbish};
use crate::measure::histogram::Summary;
use crate::observe::throttling::{THROTTLED_FACTOR, Throttling};

/// A lane that takes more of its core has no room left for bursts, and what it shows may be its own limit.
const LANE_CORES_MAX: f64 = 0.85;
/// The thread that makes joins may be so late, at 99 %: it adds as much to each of the few steps of a join.
const JOIN_LATENESS_MAX_MS: f64 = 250.0;

/// What a run is to keep.
pub type Limits = LimitArgs;

/// How a run came out, and with which exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// All is well.
    Passed,
    /// A threshold was missed.
    Missed,
    /// The tool was the bottleneck.
    Invalid,
    /// The server refused, ended or stopped.
    ServerFailed,
    /// The server sent what it should not.
    Rubbish,
    /// Somebody ended the run.
    Interrupted,
}

impl Outcome {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Missed => 1,
            Self::Invalid => 3,
            Self::ServerFailed => 4,
            Self::Rubbish => 5,
            Self::Interrupted => 130,
        }
    }
}

/// What a run means.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// How it came out.
    pub outcome: Outcome,
    /// The exit code.
    pub exit_code: u8,
    /// Its figures tell of the server, and not of this tool.
    pub is_valid: bool,
    /// Somebody ended the run before its time.
    pub is_interrupted: bool,
    /// Why it is not valid.
    pub invalid_because: Vec<String>,
    /// What the server failed at.
    pub failed_because: Vec<String>,
    /// What may have bent the figures without spoiling them.
    pub warnings: Vec<String>,
}

/// What was asked for, and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// The flag that asks for it.
    pub name: &'static str,
    /// What was asked for.
    pub limit: f64,
    /// What was found.
    pub found: f64,
    /// It was met.
    pub is_met: bool,
}

/// What is judged.
pub struct Judged<'a> {
    /// The ways in.
    pub joins: &'a Joins,
    /// What came of what was sent.
    pub media: &'a Media,
    /// What should never have arrived.
    pub rubbish: &'a Rubbish,
    /// The tool itself.
    pub generator: &'a Generator,
    /// Somebody ended the run.
    pub is_interrupted: bool,
}

/// Judges a run by `limits`.
pub fn judge(judged: &Judged<'_>, limits: &Limits) -> (Verdict, Vec<Threshold>) {
    let thresholds = thresholds(judged, limits);
    let invalid_because = invalid_because(judged, limits);
    let failed_because = failed_because(judged, invalid_because.is_empty());
    let is_valid = invalid_because.is_empty();
    let is_rubbish = judged.rubbish.total() > limits.max_rubbish;
    // Rubbish, and connections that the server ended, are no fault of a slow generator; missed thresholds may be.
    let outcome = match () {
        () if judged.is_interrupted => Outcome::Interrupted,
        () if is_rubbish => Outcome::Rubbish,
        () if !failed_because.is_empty() => Outcome::ServerFailed,
        () if !is_valid => Outcome::Invalid,
        () if thresholds.iter().any(|threshold| !threshold.is_met) => Outcome::Missed,
        () => Outcome::Passed,
    };
    let verdict = Verdict {
        outcome,
        exit_code: outcome.exit_code(),
        is_valid,
        is_interrupted: judged.is_interrupted,
        invalid_because,
        failed_because,
        warnings: warnings(judged),
    };
    (verdict, thresholds)
}

fn thresholds(judged: &Judged<'_>, limits: &Limits) -> Vec<Threshold> {
    let (audio, video) = (&judged.media.audio, &judged.media.video);
    let mut both = audio.packets;
    both.add(&video.packets);
    let has_any = both.received > 0;
    // What was not measured keeps no threshold: not a number is neither more nor less than any.
    let known = |is_known: bool, value: f64| if is_known { value } else { f64::NAN };
    let percent = |count: u64| known(has_any, 100.0 * count as f64 / both.expected.max(1) as f64);
    // Pictures are judged where nobody has a voice.
    let judged_streams = if audio.streams > 0 { audio } else { video };
    let latency = |of: fn(&Summary) -> f64| known(judged_streams.latency.count > 0, of(&judged_streams.latency));
    let has_streams = judged_streams.packets.received > 0;
    let loss = audio.worst_loss_percent().max(video.worst_loss_percent());
    let most = |name, limit: Option<f64>, found: f64| {
        limit.map(|limit| Threshold { name, limit, found, is_met: found <= limit })
    };
    let least = |name, limit: Option<f64>, found: f64| {
        limit.map(|limit| Threshold { name, limit, found, is_met: found >= limit })
    };
    let asked = [
        most("--max-p50-ms", limits.max_p50_ms, latency(|latency| latency.p50_ms)),
        most("--max-p99-ms", limits.max_p99_ms, latency(|latency| latency.p99_ms)),
        most("--max-p999-ms", limits.max_p999_ms, latency(|latency| latency.p999_ms)),
        most("--max-loss", limits.max_loss, known(has_any, loss)),
        most("--max-repeats", limits.max_repeats, percent(both.repeats)),
        most("--max-reordered", limits.max_reordered, percent(both.reordered)),
        most("--max-jitter-ms", limits.max_jitter_ms, known(has_streams, judged_streams.jitter.p99)),
        most("--max-join-ms", limits.max_join_ms, known(judged.joins.total.count > 0, judged.joins.total.p99_ms)),
        least("--min-mos", limits.min_mos, known(audio.packets.received > 0, audio.mos.p1)),
        most("--max-stalled", Some(limits.max_stalled as f64), judged.media.stalled_streams as f64),
        most("--max-rubbish", Some(limits.max_rubbish as f64), judged.rubbish.total() as f64),
    ];
    asked.into_iter().flatten().collect()
}

fn invalid_because(judged: &Judged<'_>, limits: &Limits) -> Vec<String> {
    let generator = judged.generator;
    let mut reasons = Vec::new();
    if generator.lateness.p99_ms > limits.own_lateness_ms {
        reasons.push(format!(
            "1 % of packets were sent more than {:.1} ms late by this tool (--own-lateness-ms {}): give it more CPU",
            generator.lateness.p99_ms, limits.own_lateness_ms
        ));
    }
    for (number, cores) in generator.lane_cores.iter().enumerate().filter(|(_, cores)| **cores > LANE_CORES_MAX) {
        reasons.push(format!(
            "lane {number} took {:.0} % of a core, more than {:.0} %: give more --lanes",
            100.0 * cores,
            100.0 * LANE_CORES_MAX
        ));
    }
    if generator.join_lateness.p99_ms > JOIN_LATENESS_MAX_MS {
        reasons.push(format!(
            "the thread that makes joins was {:.0} ms late at 99 %, more than \
             {JOIN_LATENESS_MAX_MS} ms: lower --join-rate",
            generator.join_lateness.p99_ms
        ));
    }
    if generator.overflowed > 0 {
        reasons.push(format!(
            "the kernel threw away {} datagrams that this tool read too late: raise net.core.rmem_max, or --lanes",
            generator.overflowed
        ));
    }
    if generator.lanes_broken > 0 {
        reasons.push(format!("{} lanes ended by a fault of this tool", generator.lanes_broken));
    }
    reasons
}

fn failed_because(judged: &Judged<'_>, is_valid: bool) -> Vec<String> {
    let joins = judged.joins;
    let mut reasons = Vec::new();
    // What a slow tool waited for in vain says nothing of the server.
    let failed = if is_valid { joins.failed } else { joins.failed - joins.timed_out };
    if failed > 0 {
        reasons.push(format!("{failed} of {} joins failed", joins.attempted));
    }
    if joins.lost > 0 {
        reasons.push(format!("{} connections ended without our doing", joins.lost));
    }
    let not_taken: u64 = joins.consume_failures.iter().map(|reason| reason.count).sum();
    if not_taken > 0 {
        reasons.push(format!("{not_taken} streams could not be taken"));
    }
    if judged.media.missing_streams > 0 {
        reasons.push(format!(
            "{} streams were never announced to those who should have them",
            judged.media.missing_streams
        ));
    }
    if judged.generator.unanswered_transports > 0 && is_valid {
        reasons.push(format!("{} transports were no longer answered", judged.generator.unanswered_transports));
    }
    reasons
}

fn warnings(judged: &Judged<'_>) -> Vec<String> {
    let generator = judged.generator;
    let mut warnings = Vec::new();
    if let Some(len) = generator.receive_buffer_bytes.filter(|len| *len < RECEIVE_BUFFER_LEN) {
        warnings.push(format!(
            "the kernel allows receive buffers of {len} bytes, not {RECEIVE_BUFFER_LEN}: \
             sysctl net.core.rmem_max={RECEIVE_BUFFER_LEN}"
        ));
    }
    if judged.media.audio.verified_streams + judged.media.video.verified_streams == 0 {
        warnings.push("no stream was verified, so nothing is known of latency and content: see --verify".into());
    }
    if generator.throttling.periods > 0 {
        let Throttling { percent, periods, longest_ms } = generator.throttling;
        warnings.push(format!(
            "the processor under this tool was throttled to less than 1/{THROTTLED_FACTOR} of its pace for {percent:.2} % of the time, \
             {periods} times and for {longest_ms:.0} ms at the longest: see the latency of the other times"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::JoinFigures;
    use crate::lane::LaneOutcome;

    struct Case {
        joins: Joins,
        media: Media,
        rubbish: Rubbish,
        generator: Generator,
    }

    impl Case {
        fn good() -> Self {
            let outcome = LaneOutcome::default();
            Self {
                joins: Joins::new(&JoinFigures::default(), &outcome),
                media: Media::new(&outcome),
                rubbish: Rubbish::default(),
                generator: Generator {
                    lateness: Summary::default(),
                    join_lateness: Summary::default(),
                    lane_cores: vec![0.2],
                    cpu_per_received_packet_ns: 0.0,
                    overflowed: 0,
                    receive_buffer_bytes: None,
                    send_failures: 0,
                    unanswered_transports: 0,
                    lanes_broken: 0,
                    throttling: Throttling::default(),
                },
            }
        }

        fn outcome(&self, limits: &Limits) -> Outcome {
            let Self { joins, media, rubbish, generator } = self;
            judge(&Judged { joins, media, rubbish, generator, is_interrupted: false }, limits).0.outcome
        }
    }

    fn limits() -> Limits {
        Limits { own_lateness_ms: 10.0, ..Limits::default() }
    }

    #[test]
    fn each_fault_has_its_outcome() {
        assert_eq!(Case::good().outcome(&limits()), Outcome::Passed);
        let changed = |change: fn(&mut Case)| {
            let mut case = Case::good();
            change(&mut case);
            case.outcome(&limits())
        };
        assert_eq!(changed(|case| case.generator.lateness.p99_ms = 11.0), Outcome::Invalid);
        assert_eq!(changed(|case| case.generator.lane_cores.push(0.9)), Outcome::Invalid);
        assert_eq!(changed(|case| case.generator.overflowed = 1), Outcome::Invalid);
        assert_eq!(changed(|case| case.generator.join_lateness.p99_ms = 300.0), Outcome::Invalid);
        assert_eq!(changed(|case| case.joins.lost = 1), Outcome::ServerFailed);
        assert_eq!(changed(|case| case.joins.failed = 1), Outcome::ServerFailed);
        assert_eq!(changed(|case| case.rubbish.altered = 1), Outcome::Rubbish);
        assert_eq!(changed(|case| case.media.missing_streams = 1), Outcome::ServerFailed);
        assert_eq!(changed(|case| case.media.stalled_streams = 1), Outcome::Missed);
    }

    #[test]
    fn a_throttled_processor_is_told_and_spoils_nothing() {
        let mut case = Case::good();
        case.generator.throttling = Throttling { percent: 3.0, periods: 2, longest_ms: 70.4 };
        let Case { joins, media, rubbish, generator } = &case;
        let (verdict, _) = judge(&Judged { joins, media, rubbish, generator, is_interrupted: false }, &limits());
        assert_eq!((verdict.outcome, verdict.is_valid), (Outcome::Passed, true));
        let told = "for 3.00 % of the time, 2 times and for 70 ms at the longest";
        assert!(verdict.warnings.iter().any(|warning| warning.contains(told)), "{:?}", verdict.warnings);
    }

    #[test]
    fn a_slow_tool_is_not_an_excuse_for_rubbish_but_for_what_was_waited_for() {
        let mut case = Case::good();
        case.generator.overflowed = 1;
        (case.joins.failed, case.joins.timed_out) = (3, 3);
        assert_eq!(case.outcome(&limits()), Outcome::Invalid);
        case.joins.failed = 4;
        assert_eq!(case.outcome(&limits()), Outcome::ServerFailed);
        case.rubbish.unauthenticated = 1;
        assert_eq!(case.outcome(&limits()), Outcome::Rubbish);
    }

    #[test]
    fn a_threshold_is_missed_only_where_it_was_asked_for() {
        let mut case = Case::good();
        assert_eq!(
            case.outcome(&Limits { max_p99_ms: Some(50.0), ..limits() }),
            Outcome::Missed,
            "nothing was measured that could keep it"
        );
        case.media.audio.latency = Summary { count: 1, p99_ms: 60.0, ..Summary::default() };
        case.media.audio.streams = 1;
        assert_eq!(case.outcome(&limits()), Outcome::Passed);
        assert_eq!(case.outcome(&Limits { max_p99_ms: Some(50.0), ..limits() }), Outcome::Missed);
        assert_eq!(case.outcome(&Limits { max_p99_ms: Some(70.0), ..limits() }), Outcome::Passed);
    }
}
