//! A receiver's copy of a packet, without its protection: written by a consumer, and by the rtp crate.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::hint::black_box;
use std::time::Instant;

use benches::{VIDEO_LEN, VOICE_LEN, packet};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use engine::media::{Arrival, COPY_HEADER_LEN_MAX, Consumer, Content, Departure, Incoming, RunId};
use engine::wire::extension::ExtensionValues;
use engine::wire::rtp::RtpHeader;
use engine::wire::sequence::{PacketIndex, Timestamp};
use netsim::{audio_consumer, audio_producer};
use rtp::packet::Packet;
use rtp_util::marshal::{Marshal, Unmarshal};
use shard_protocol::command::PauseReasons;
use shard_protocol::ids::ConsumerId;
use shard_protocol::tables::{HeaderExtensionIds, PayloadFormat};

fn incoming(datagram: &[u8], ids: &HeaderExtensionIds, index: u64) -> Incoming {
    let header = RtpHeader::parse(datagram).expect("a header");
    let extensions = ExtensionValues::parse(datagram, &header, ids);
    let content = Content::read(datagram, &header, extensions, PayloadFormat::Opus).expect("a payload");
    let arrival = Arrival {
        id: RunId { run: 0, clock: 0 },
        index: PacketIndex(index),
        timestamp: content.timestamp,
        captured_at: None,
        is_newest: true,
        begins_run: true,
        pictures: None,
    };
    Incoming { slot: 0, encoding: 0, arrival, content }
}

fn rewrite(criterion: &mut Criterion) {
    let ids = audio_producer("0", None).header_extensions;
    let departure = Departure { now: Instant::now(), abs_send_time: [1, 2, 3] };
    for len in [VOICE_LEN, VIDEO_LEN] {
        let datagram = packet(len, 7).marshal().expect("a packet");
        let mut group = criterion.benchmark_group(format!("rewrite/{len} B"));
        group.bench_function("parse, once a packet", |bencher| {
            bencher.iter(|| incoming(black_box(&datagram), &ids, 7));
        });

        let (first, start) = (PacketIndex(0), Timestamp(0));
        let table = audio_consumer("0", 0x1_0000);
        let mut consumer = Consumer::new(ConsumerId(1), (), (), table, PauseReasons::NONE, first, start);
        let mut out = vec![0; COPY_HEADER_LEN_MAX + len];
        let mut parsed = incoming(&datagram, &ids, 7);
        let mut transport_sequence = 0;
        group.bench_function("copy, once a receiver", |bencher| {
            bencher.iter(|| {
                parsed.arrival.index.0 += 1;
                consumer.copy(&parsed, black_box(&datagram), &departure, &mut transport_sequence, &mut out)
            });
        });

        group.bench_function("rtp crate: parse", |bencher| {
            bencher.iter(|| Packet::unmarshal(&mut black_box(&datagram).clone()).expect("a packet"));
        });
        let parsed = Packet::unmarshal(&mut datagram.clone()).expect("a packet");
        let mut sequence_number = 0_u16;
        group.bench_function("rtp crate: clone, edit and marshal", |bencher| {
            bencher.iter(|| {
                sequence_number = sequence_number.wrapping_add(1);
                edited(&parsed, sequence_number).marshal_to(&mut out).expect("room")
            });
        });
    }
}

/// The same changes that a consumer makes.
fn edited(packet: &Packet, sequence_number: u16) -> Packet {
    let mut copy = packet.clone();
    copy.header.ssrc = 0x1_0000;
    copy.header.payload_type = 100;
    copy.header.sequence_number = sequence_number;
    copy.header.timestamp = copy.header.timestamp.wrapping_add(5000);
    let level = copy.header.get_extension(1).unwrap_or_default();
    copy.header.extensions.clear();
    copy.header.set_extension(1, Bytes::from_static(b"0")).expect("a MID");
    copy.header.set_extension(10, level).expect("a level");
    copy
}

criterion_group!(benches, rewrite);
criterion_main!(benches);
