//! The binary against a server of the tests' own that loses, repeats, reorders, delays, alters, mixes up keys and
//! crashes: each fault is reported for what it is, and as often as it happened.

#![allow(clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]

mod server;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peer::{JoinOptions, Participant};
use serde_json::Value;
use server::{Faults, FaultyServer};

/// Packets at the edges of a stream that may be counted on one side alone: lost before the first arrival or after the
/// last.
const EDGE_PACKETS: u64 = 4;
/// A run of seconds has ended by itself long before.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// One room of four who all speak, every packet checked; patient with a busy host.
fn load(server: &FaultyServer) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voice-load"));
    command
        .args(["run", "--url", &server.url(), "--participants", "4", "--speakers", "4", "--verify", "1"])
        .args(["--duration", "4s", "--json", "-", "--own-lateness-ms", "5000"])
        .env("JWT_SECRET", "a secret that this server does not look at")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn start(command: &mut Command) -> Child {
    command.spawn().expect("the binary starts")
}

/// The exit code and the report.
fn conclude(output: &Output) -> (Option<i32>, Value) {
    let text = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("no report ({error}): {text}\n{words}"));
    (output.status.code(), report)
}

fn run(faults: Faults, arguments: &[&str]) -> (Option<i32>, Value, server::Injected) {
    let server = FaultyServer::start(faults);
    let output = start(load(&server).args(arguments)).wait_with_output().expect("it ends");
    let (code, report) = conclude(&output);
    (code, report, server.injected())
}

fn count(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} is no count in {report:#}"))
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} is no number in {report:#}"))
}

fn outcome(report: &Value) -> &str {
    report["verdict"]["outcome"].as_str().unwrap_or_default()
}

/// As many as were injected, but for the edges of the twelve streams.
fn assert_near(found: u64, injected: u64) {
    assert!(injected > 20, "the fault has hardly happened: {injected}");
    assert!(found.abs_diff(injected) <= 12 * EDGE_PACKETS, "{found} were found, {injected} injected");
}

#[test]
fn a_good_server_passes_with_everything_received_and_checked() {
    let (code, report, injected) = run(Faults::default(), &["--video", "1"]);
    assert_eq!((code, outcome(&report)), (Some(0), "passed"), "{report:#}");
    assert_eq!(count(&report, "/joins/joined"), 4);
    assert_eq!(count(&report, "/media/audio/streams"), 12);
    assert_eq!(count(&report, "/media/video/streams"), 3);
    assert_eq!(count(&report, "/media/received"), injected.forwarded);
    assert_eq!(count(&report, "/media/checked"), injected.forwarded);
    for kind in ["audio", "video"] {
        for what in ["lost", "contentLost", "packets/repeats", "packets/reordered"] {
            assert_eq!(count(&report, &format!("/media/{kind}/{what}")), 0, "{kind} {what}");
        }
    }
    for part in ["webSocket", "ice", "dtls", "total", "firstPacket", "roundTrip"] {
        assert!(count(&report, &format!("/joins/{part}/count")) >= 4, "{part}");
    }
    assert!(number(&report, "/media/audio/mos/min") > 4.0);
}

#[test]
fn a_server_with_bold_messages_alone_and_no_ids_is_measured_too() {
    let (code, report, injected) = run(Faults { is_simple: true, ..Faults::default() }, &[]);
    assert_eq!((code, outcome(&report)), (Some(0), "passed"), "{report:#}");
    assert_eq!(count(&report, "/media/audio/streams"), 12);
    assert!(injected.forwarded > 1000);
}

#[test]
fn loss_is_reported_as_it_was_injected() {
    let (code, report, injected) = run(Faults { lost: 50, ..Faults::default() }, &["--max-loss", "1"]);
    assert_near(count(&report, "/media/audio/lost"), injected.lost);
    assert_near(count(&report, "/media/audio/contentLost"), injected.lost);
    assert!((3.0..7.0).contains(&number(&report, "/media/audio/lossPercent")), "{report:#}");
    assert_eq!((code, outcome(&report)), (Some(1), "missed"), "a threshold of 1 % is missed");
    assert!(number(&report, "/media/audio/mos/p50") < 4.2, "five lost in a hundred are heard");
}

#[test]
fn repeats_are_reported_as_they_were_injected() {
    let (code, report, injected) = run(Faults { repeated: 80, ..Faults::default() }, &[]);
    assert_near(count(&report, "/media/audio/packets/repeats"), injected.repeated);
    assert_eq!((count(&report, "/media/audio/lost"), code), (0, Some(0)), "{report:#}");
}

#[test]
fn reordering_is_reported_as_it_was_injected() {
    let (code, report, injected) = run(Faults { reordered: 80, ..Faults::default() }, &[]);
    assert_near(count(&report, "/media/audio/packets/reordered"), injected.reordered);
    assert_near(count(&report, "/media/audio/content/reordered"), injected.reordered);
    assert_eq!((count(&report, "/media/audio/packets/repeats"), code), (0, Some(0)), "{report:#}");
}

#[test]
fn a_delay_is_in_every_latency_and_misses_a_threshold_below_it() {
    let delay = Duration::from_millis(100);
    let (code, report, _) = run(Faults { delay, ..Faults::default() }, &["--max-p50-ms", "90"]);
    assert!(number(&report, "/media/audio/latency/minMs") >= 99.9, "{report:#}");
    assert_eq!((code, outcome(&report)), (Some(1), "missed"));
}

#[test]
fn a_server_that_announces_nothing_to_those_who_are_there_has_failed() {
    let arguments = ["--max-loss", "0", "--join-rate", "2"];
    let (code, report, _) = run(Faults { is_silent: true, ..Faults::default() }, &arguments);
    assert_eq!((code, outcome(&report)), (Some(4), "serverFailed"), "{report:#}");
    // Who comes hears of those who are there, and those never of who comes.
    assert_eq!((count(&report, "/media/missingStreams"), count(&report, "/media/audio/streams")), (6, 6));
}

#[test]
fn what_nobody_can_use_is_refused_before_anybody_joins() {
    let server = FaultyServer::start(Faults::default());
    for (arguments, word) in [
        (["--json", "/nowhere/result.json"], "/nowhere/result.json"),
        (["--url", "http://127.0.0.1:3003"], "no address of a WebSocket"),
        (["--token-command", "echo why >&2; false"], "why"),
        (["--churn", "1e8"], "6000"),
        (["--duration", "1000000h"], "a day"),
    ] {
        let output = start(load(&server).args(arguments)).wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(word), "{arguments:?}: {:?} {said}", output.status);
    }
}

#[test]
fn altered_content_fails_the_run() {
    let (code, report, injected) = run(Faults { altered: 20, ..Faults::default() }, &[]);
    assert_eq!((code, outcome(&report)), (Some(5), "rubbish"));
    assert_near(count(&report, "/rubbish/altered"), injected.altered);
    assert_eq!(count(&report, "/rubbish/unauthenticated"), 0);
}

#[test]
fn packets_under_foreign_keys_fail_the_run() {
    let (code, report, injected) = run(Faults { foreign_keys: 20, ..Faults::default() }, &[]);
    assert_eq!((code, outcome(&report)), (Some(5), "rubbish"));
    assert_near(count(&report, "/rubbish/unauthenticated"), injected.foreign_keys);
    assert_eq!(count(&report, "/rubbish/altered"), 0);
}

#[test]
fn refused_connections_are_failed_joins_with_their_reason() {
    let (code, report, _) = run(Faults { refused_every: 4, ..Faults::default() }, &[]);
    assert_eq!((code, outcome(&report)), (Some(4), "serverFailed"));
    assert_eq!((count(&report, "/joins/joined"), count(&report, "/joins/failed")), (3, 1));
    assert!(report["joins"]["failures"][0]["reason"].as_str().is_some_and(|reason| reason.contains("WebSocket")));
}

/// A participant who speaks in the room called `stage` for as long as `recorded` takes.
fn with_a_speaker<T>(server: &FaultyServer, recorded: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let speaking = runtime.block_on(async {
        let mut speaker = Participant::join(JoinOptions::new(&server.url(), "any token", "stage")).await?;
        let publisher = speaker.publish_audio().await?;
        Ok::<_, peer::PeerError>((speaker, publisher))
    });
    let _speaking = speaking.expect("one speaks");
    recorded()
}

#[test]
fn what_is_recorded_is_listed_and_played_again_and_every_payload_of_it_is_checked() {
    let server = FaultyServer::start(Faults::default());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("stage.pcap");
    let tool = || Command::new(env!("CARGO_BIN_EXE_voice-load"));
    let recorded = with_a_speaker(&server, || {
        tool()
            .args(["record", "--url", &server.url(), "--channel", "stage", "--duration", "3s", "--out"])
            .arg(&file)
            .env("JWT_SECRET", "a secret that this server does not look at")
            .output()
            .expect("it runs")
    });
    assert_eq!(recorded.status.code(), Some(0), "{recorded:?}");

    let listed = tool().arg("inspect").arg(&file).arg("--json").output().expect("it runs");
    let streams: Value = serde_json::from_slice(&listed.stdout).expect("a list");
    assert_eq!((streams[0]["codec"].as_str(), streams[0]["lost"].as_u64()), (Some("opus"), Some(0)), "{streams:#}");
    assert!(streams[0]["packets"].as_u64().is_some_and(|packets| packets > 20), "{streams:#}");

    let played = ["--capture", file.to_str().expect("a path of words")];
    let (code, report, injected) = run(Faults::default(), &played);
    assert_eq!((code, outcome(&report)), (Some(0), "passed"), "{report:#}");
    assert_eq!(count(&report, "/media/checked"), injected.forwarded);
    assert_eq!((count(&report, "/media/audio/lost"), count(&report, "/media/audio/contentLost")), (0, 0));
    let (code, report, injected) = run(Faults { altered: 20, ..Faults::default() }, &played);
    assert_eq!((code, outcome(&report)), (Some(5), "rubbish"));
    assert_near(count(&report, "/rubbish/altered"), injected.altered);

    // Cut within its last record: the error says where, and what is whole is listed.
    let whole = std::fs::read(&file).expect("it is there");
    std::fs::write(&file, &whole[..whole.len() - 7]).expect("it can be cut");
    let listed = tool().arg("inspect").arg(&file).output().expect("it runs");
    assert_eq!(listed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&listed.stdout).contains("opus"));
    assert!(String::from_utf8_lossy(&listed.stderr).contains("at byte"), "{listed:?}");
}

/// Waits until the progress lines say that packets arrive; the rest of them are read by a thread.
fn wait_until_flowing(child: &mut Child) {
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let (flowing_tx, flowing) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if line.contains("s of") && !line.contains(" 0 received") {
                let _ = flowing_tx.send(());
            }
        }
    });
    flowing.recv_timeout(END_TIMEOUT).expect("packets flow");
}

#[test]
fn a_crash_ends_the_run_with_what_was_measured() {
    let mut server = FaultyServer::start(Faults::default());
    let mut child = start(load(&server).args(["--duration", "10m"]));
    wait_until_flowing(&mut child);
    server.crash();
    let crashed = Instant::now();
    let (code, report) = conclude(&child.wait_with_output().expect("it ends"));
    assert!(crashed.elapsed() < END_TIMEOUT, "it does not wait for the end of ten minutes");
    assert_eq!((code, outcome(&report)), (Some(4), "serverFailed"), "{report:#}");
    assert_eq!(count(&report, "/joins/lost"), 4);
    assert!(count(&report, "/media/received") > 0);
}

#[test]
fn an_interrupt_ends_the_run_with_what_was_measured() {
    let server = FaultyServer::start(Faults::default());
    let mut child = start(load(&server).args(["--duration", "10m"]));
    wait_until_flowing(&mut child);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    let (code, report) = conclude(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, outcome(&report)), (Some(130), "interrupted"), "{report:#}");
    assert!(count(&report, "/media/received") > 0 && count(&report, "/joins/lost") == 0);
}

#[test]
fn people_who_come_and_go_lose_nothing() {
    let (code, report, _) = run(Faults::default(), &["--churn", "120", "--speakers", "2"]);
    assert_eq!((code, outcome(&report)), (Some(0), "passed"), "{report:#}");
    assert!(count(&report, "/joins/joined") >= 7, "{report:#}");
    assert_eq!((count(&report, "/media/audio/lost"), count(&report, "/joins/lost")), (0, 0));
}

/// A loop that takes all it is given of one processor, until it is dropped.
struct Spinner(Child);

impl Spinner {
    fn start(processor: &str) -> Self {
        let spinning = Command::new("taskset").args(["-c", processor, "sh", "-c", "while :; do :; done"]).spawn();
        Self(spinning.expect("taskset is there"))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_generator_that_is_starved_of_its_processor_says_that_the_run_is_invalid() {
    let server = FaultyServer::start(Faults::default());
    let _spinners: Vec<Spinner> = (0..4).map(|_| Spinner::start("0")).collect();
    let mut command = Command::new("taskset");
    command
        .args(["-c", "0", "nice", "-n", "19", env!("CARGO_BIN_EXE_voice-load"), "run", "--url", &server.url()])
        .args(["--participants", "4", "--speakers", "4", "--duration", "3s", "--json", "-", "--max-p99-ms", "1"])
        .env("JWT_SECRET", "a secret that this server does not look at")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (code, report) = conclude(&start(&mut command).wait_with_output().expect("it ends"));
    assert_eq!((code, outcome(&report)), (Some(3), "invalid"), "{report:#}");
    assert_eq!(report["verdict"]["isValid"], false);
    assert!(report["verdict"]["invalidBecause"][0].as_str().is_some_and(|reason| reason.contains("late")));
}
