//! Compound packets as browsers send and get them once a second: read and written, and the same by the rtcp crate.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use engine::wire::rtcp::{
    CompactDelay, CompactNtp, Compound, CompoundWriter, NtpTimestamp, Packet, ReportBlock, SenderStatement,
};
use engine::wire::sequence::Timestamp;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtp_util::marshal::Marshal;
use shard_protocol::tables::Ssrc;

/// Streams that one report speaks of.
const BLOCKS: u32 = 10;

const STATEMENT: SenderStatement =
    SenderStatement { ntp: NtpTimestamp(1 << 63), timestamp: Timestamp(960), packets: 50, payload_len: 8000 };

fn blocks() -> impl ExactSizeIterator<Item = ReportBlock> {
    (0..BLOCKS).map(|n| ReportBlock {
        ssrc: Ssrc(0x1_0000 + n),
        fraction_lost: 3,
        lost: 7,
        extended_highest_sequence: 0x1_0010,
        jitter: 12,
        last_sender_report: CompactNtp(0xb705_2000),
        delay_since_last_sender_report: CompactDelay(0x5_4000),
    })
}

fn reference() -> (SenderReport, SourceDescription) {
    let report = |block: ReportBlock| ReceptionReport {
        ssrc: block.ssrc.0,
        fraction_lost: block.fraction_lost,
        total_lost: block.lost as u32,
        last_sequence_number: block.extended_highest_sequence,
        jitter: block.jitter,
        last_sender_report: block.last_sender_report.0,
        delay: block.delay_since_last_sender_report.0,
    };
    let sender_report = SenderReport {
        ssrc: 7,
        ntp_time: STATEMENT.ntp.0,
        rtp_time: STATEMENT.timestamp.0,
        packet_count: STATEMENT.packets,
        octet_count: STATEMENT.payload_len,
        reports: blocks().map(report).collect(),
        ..Default::default()
    };
    let item = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: Bytes::from_static(b"participant") };
    let chunk = SourceDescriptionChunk { source: 7, items: vec![item] };
    (sender_report, SourceDescription { chunks: vec![chunk] })
}

fn write(out: &mut [u8]) -> usize {
    let mut writer = CompoundWriter::new(out);
    let is_written = writer.try_sender_report(Ssrc(7), &STATEMENT, blocks())
        && writer.try_source_description(Ssrc(7), b"participant");
    assert!(is_written);
    writer.len()
}

/// What the shard does with a report: every block is looked at.
fn read(compound: &[u8]) -> u32 {
    let mut jitter = 0;
    for packet in Compound::parse(compound).expect("a compound packet").packets() {
        if let Packet::SenderReport(report) = packet {
            jitter += report.blocks.map(|block| block.jitter).sum::<u32>();
        }
    }
    jitter
}

fn rtcp_packets(criterion: &mut Criterion) {
    let mut out = [0; 1200];
    let len = write(&mut out);
    let compound = out[..len].to_vec();

    let mut group = criterion.benchmark_group("rtcp/read");
    group.bench_function("walk", |bencher| bencher.iter(|| read(black_box(&compound))));
    group.bench_function("rtcp crate", |bencher| {
        bencher.iter(|| rtcp::packet::unmarshal(&mut black_box(&compound[..])).expect("a compound packet"));
    });
    group.finish();

    let mut group = criterion.benchmark_group("rtcp/write");
    group.bench_function("in place", |bencher| bencher.iter(|| write(black_box(&mut out))));
    group.bench_function("rtcp crate", |bencher| {
        bencher.iter(|| {
            let (report, description) = reference();
            let len = report.marshal_to(&mut out).expect("room");
            len + description.marshal_to(&mut out[len..]).expect("room")
        });
    });
}

criterion_group!(benches, rtcp_packets);
criterion_main!(benches);
