//! The load tool against the real service: a small shape of voice and pictures, every packet of it checked, with the
//! service's process and metrics looked at beside.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use load::cli::Cli;
use load::report::Outcome;
use peer::{Service, ServiceOptions};

#[tokio::test]
async fn people_who_talk_show_themselves_and_come_and_go_lose_nothing() {
    let service = Service::start(&ServiceOptions::new(env!("CARGO_BIN_EXE_voice-service"))).await.expect("it runs");
    let (url, pid, secret) = (service.url(), service.pid().to_string(), service.secret());
    // The tool's own lateness tells of the host here, which tests share with others.
    let arguments = [
        "voice-load",
        "--lanes",
        "2",
        "--url",
        &url,
        "--jwt-secret",
        secret,
        "--pid",
        &pid,
        "--rooms",
        "2",
        "--participants",
        "4",
        "--speakers",
        "2",
        "--video",
        "2",
        "--screen",
        "1",
        "--verify",
        "1",
        "--churn",
        "60",
        "--duration",
        "4s",
        "--own-lateness-ms",
        "10000",
        "--quiet",
    ];
    let cli = Cli::try_parse_from(arguments).expect("clap takes it");
    let report = load::run::run(&cli.run, Arc::new(AtomicBool::new(false))).await.expect("a report");
    assert_eq!(report.verdict.outcome, Outcome::Passed, "{}", load::report::render(&report));
    assert!(report.joins.joined >= 8 && report.media.checked > 1000);
    let (audio, video) = (&report.media.audio, &report.media.video);
    assert_eq!((audio.lost, audio.content_lost, audio.packets.repeats, audio.packets.reordered), (0, 0, 0, 0));
    assert_eq!((video.lost, video.packets.repeats, video.packets.reordered), (0, 0, 0));
    assert!(audio.latency.count > 0 && audio.latency_unthrottled.count <= audio.latency.count);
    assert!(report.joins.first_key_frame.count > 0, "pictures begin with a key frame");
    let process = report.process.expect("the process was looked at");
    assert!(process.resident_after_bytes > 0 && !process.threads.is_empty());
    let metrics = report.metrics.expect("the service has metrics");
    assert!(metrics.rtp_out > metrics.rtp_in);
    assert!(metrics.shards["0"].busy_ratio.is_some_and(|ratio| ratio > 0.0 && ratio < 1.0));
}
