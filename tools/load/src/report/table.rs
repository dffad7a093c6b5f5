//! The result as a table for people.

use std::fmt::{self, Write};

use super::{Reason, Report, StreamsSummary};
use crate::measure::histogram::Summary;
use crate::measure::mos;
use crate::observe::metrics::MetricsUse;
use crate::observe::process::ProcessUse;

/// Reasons that are shown of many.
const REASONS_SHOWN: usize = 5;
/// Threads that are shown of many: the busiest.
const THREADS_SHOWN: usize = 8;

/// The whole table.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(text: &mut String, report: &Report) -> fmt::Result {
    let shape = &report.shape;
    writeln!(
        text,
        "{} × {} participants, {} speaking, {} cameras, {} screens a room; measured {:.1} s; seed {}; {}",
        shape.rooms,
        shape.participants,
        shape.speakers,
        shape.cameras,
        shape.screens,
        report.measured_s,
        shape.seed,
        report.url
    )?;
    write_joins(text, report)?;
    write_media(text, report)?;
    write_generator(text, report)?;
    if let Some(process) = &report.process {
        write_process(text, process)?;
    }
    if let Some(metrics) = &report.metrics {
        write_metrics(text, metrics)?;
    }
    write_verdict(text, report)
}

fn heading(text: &mut String, title: &str) -> fmt::Result {
    writeln!(text, "\n{title:<22}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}", "count", "p50", "p90", "p99", "p99.9", "max")
}

fn row(text: &mut String, name: &str, summary: &Summary) -> fmt::Result {
    if summary.count == 0 {
        return writeln!(text, "  {name:<20}{:>9}", "–");
    }
    writeln!(
        text,
        "  {name:<20}{:>9}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
        summary.count, summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.p999_ms, summary.max_ms
    )
}

fn write_joins(text: &mut String, report: &Report) -> fmt::Result {
    let joins = &report.joins;
    heading(text, "Joins (ms)")?;
    for (name, summary) in [
        ("WebSocket", &joins.web_socket),
        ("ICE, a transport", &joins.ice),
        ("DTLS, a transport", &joins.dtls),
        ("joined", &joins.total),
        ("first packet", &joins.first_packet),
        ("first key frame", &joins.first_key_frame),
        ("stream asked for", &joins.consume),
        ("signaling round trip", &joins.round_trip),
    ] {
        row(text, name, summary)?;
    }
    writeln!(
        text,
        "  {} joined of {} begun, {} failed, {} connections lost",
        joins.joined, joins.attempted, joins.failed, joins.lost
    )?;
    write_reasons(text, "join failed", &joins.failures)?;
    write_reasons(text, "connection lost", &joins.losses)?;
    write_reasons(text, "stream not taken", &joins.consume_failures)
}

fn write_reasons(text: &mut String, what: &str, reasons: &[Reason]) -> fmt::Result {
    for reason in reasons.iter().take(REASONS_SHOWN) {
        writeln!(text, "    {what} {} ×: {}", reason.count, reason.reason)?;
    }
    if let Some(more) = reasons.len().checked_sub(REASONS_SHOWN).filter(|more| *more > 0) {
        writeln!(text, "    and {more} other reasons")?;
    }
    Ok(())
}

fn write_media(text: &mut String, report: &Report) -> fmt::Result {
    let media = &report.media;
    heading(text, "One-way latency (ms)")?;
    for (name, kind) in [("voice", &media.audio), ("pictures", &media.video)] {
        row(text, &format!("{name}, verified"), &kind.latency)?;
        if report.generator.throttling.periods > 0 && kind.latency.count > 0 {
            row(text, "  not throttled", &kind.latency_unthrottled)?;
        }
    }
    writeln!(
        text,
        "\nMedia\n  sent {:.0} packets/s, received {:.0} packets/s ({:.1} Mbit/s)",
        media.sent_per_s,
        media.received_per_s,
        media.received_kbps / 1000.0
    )?;
    for (name, kind) in [("voice", &media.audio), ("pictures", &media.video)] {
        if kind.streams > 0 {
            write_streams(text, name, kind)?;
        }
    }
    if media.audio.streams > 0 {
        let mos = &media.audio.mos;
        writeln!(
            text,
            "  MOS (G.107, R0 {}, Ie {}, Bpl {}, buffer {} × jitter): median {:.2}, worst 1 % {:.2}, worst {:.2}",
            mos::RATING_BASIC,
            mos::CODEC_IMPAIRMENT,
            mos::LOSS_ROBUSTNESS,
            mos::BUFFER_JITTERS,
            mos.p50,
            mos.p1,
            mos.min
        )?;
    }
    writeln!(
        text,
        "  {} streams stalled, {} missing; {} key frames asked for; {} packets sent again, {} received again",
        media.stalled_streams, media.missing_streams, media.key_frames_asked, media.resent, media.retransmissions
    )?;
    let rubbish = &report.rubbish;
    writeln!(
        text,
        "  {} packets checked: {} not authentic, {} altered, {} unknown",
        media.checked, rubbish.unauthenticated, rubbish.altered, rubbish.unknown
    )
}

fn write_streams(text: &mut String, name: &str, streams: &StreamsSummary) -> fmt::Result {
    let packets = &streams.packets;
    writeln!(
        text,
        "  {name}: {} streams ({} verified), {} packets, {} lost ({:.3} %), {} repeated, {} reordered; \
         jitter {:.2} ms, 99 % within {:.2} ms",
        streams.streams,
        streams.verified_streams,
        packets.received,
        streams.lost,
        streams.loss_percent,
        packets.repeats,
        packets.reordered,
        streams.jitter.p50,
        streams.jitter.p99
    )?;
    let content = &streams.content;
    writeln!(
        text,
        "    by content of verified streams: {} packets, {} lost, {} repeated, {} reordered",
        content.received, streams.content_lost, content.repeats, content.reordered
    )
}

fn write_generator(text: &mut String, report: &Report) -> fmt::Result {
    let generator = &report.generator;
    heading(text, "This tool (ms late)")?;
    row(text, "packets sent", &generator.lateness)?;
    row(text, "joins", &generator.join_lateness)?;
    let lanes: Vec<String> = generator.lane_cores.iter().map(|cores| format!("{:.1} %", 100.0 * cores)).collect();
    writeln!(
        text,
        "  lanes took {} of a core, {:.0} ns a received packet; {} datagrams overflowed, {} not sent",
        lanes.join(", "),
        generator.cpu_per_received_packet_ns,
        generator.overflowed,
        generator.send_failures
    )
}

fn write_process(text: &mut String, process: &ProcessUse) -> fmt::Result {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(
        text,
        "\nServer process {}\n  CPU {:.1} % of a core; memory {:.1} → {:.1} MiB; descriptors {} → {}",
        process.pid,
        100.0 * process.cores,
        mebibytes(process.resident_before_bytes),
        mebibytes(process.resident_after_bytes),
        process.descriptors_before,
        process.descriptors_after
    )?;
    for thread in process.threads.iter().take(THREADS_SHOWN).filter(|thread| thread.cores > 0.0) {
        writeln!(text, "  {:<20}{:>8.1} %", thread.name, 100.0 * thread.cores)?;
    }
    Ok(())
}

fn write_metrics(text: &mut String, metrics: &MetricsUse) -> fmt::Result {
    writeln!(text, "\nServer metrics\n  RTP packets: {:.0} in, {:.0} out", metrics.rtp_in, metrics.rtp_out)?;
    for (shard, used) in &metrics.shards {
        write!(
            text,
            "  shard {shard}: datagrams {:.0}/s in, {:.0}/s out; {:.0} send calls/s, {:.0} sleeps/s",
            used.datagrams_in_per_s, used.datagrams_out_per_s, used.send_calls_per_s, used.sleeps_per_s
        )?;
        match used.busy_ratio {
            Some(ratio) => writeln!(text, "; busy {:.1} %", 100.0 * ratio)?,
            None => writeln!(text)?,
        }
    }
    for (reason, count) in &metrics.drops {
        writeln!(text, "  dropped, {reason}: {count:.0}")?;
    }
    Ok(())
}

fn write_verdict(text: &mut String, report: &Report) -> fmt::Result {
    let verdict = &report.verdict;
    writeln!(text)?;
    for threshold in &report.thresholds {
        let word = if threshold.is_met { "met   " } else { "MISSED" };
        writeln!(text, "{word}  {} {}: {:.3}", threshold.name, threshold.limit, threshold.found)?;
    }
    for warning in &verdict.warnings {
        writeln!(text, "warning: {warning}")?;
    }
    for reason in &verdict.invalid_because {
        writeln!(text, "INVALID: {reason}")?;
    }
    for reason in &verdict.failed_because {
        writeln!(text, "FAILED: {reason}")?;
    }
    let (outcome, exit_code) = (verdict.outcome, verdict.exit_code);
    writeln!(text, "{outcome:?} (exit code {exit_code})")
}
