//! A shard's whole turn without sockets: a publisher's datagram in, a protected copy for each consumer out, with the room's
//! state in the cache or not; and the same turn put together from the rtp and webrtc-srtp crates.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::rooms::{Heat, Media, Rooms};
use benches::{VOICE_LEN, packet, reference_context};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::security::srtp::SrtpProfile;
use rtp::packet::Packet;
use rtp_util::marshal::{Marshal, Unmarshal};
use webrtc_srtp::context::Context;

/// Consumers of one publisher. The smallest stays in the fastest cache, the largest does not.
const CONSUMERS: [usize; 4] = [10, 100, 600, 3000];

/// A voice's turn with the crates: opened once, then for each consumer cloned, edited, marshalled and protected.
struct ReferenceRoom {
    participant: Context,
    speaker: Context,
    consumers: Vec<(Context, u16)>,
    sequence_number: u16,
}

impl ReferenceRoom {
    fn new(consumers: usize) -> Self {
        let context = || reference_context(SrtpProfile::AeadAes128Gcm);
        Self {
            participant: context(),
            speaker: context(),
            consumers: (0..consumers).map(|n| (context(), n as u16)).collect(),
            sequence_number: 0,
        }
    }

    fn turn(&mut self) -> Duration {
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let plain = packet(VOICE_LEN, self.sequence_number).marshal().expect("a packet");
        let datagram = self.participant.encrypt_rtp(&plain).expect("protected");
        let begun = Instant::now();
        let mut opened = self.speaker.decrypt_rtp(&datagram).expect("opened");
        let packet = Packet::unmarshal(&mut opened).expect("a packet");
        for (context, sequence_number) in &mut self.consumers {
            *sequence_number = sequence_number.wrapping_add(1);
            let mut copy = packet.clone();
            copy.header.ssrc = 0x1_0000;
            copy.header.payload_type = 100;
            copy.header.sequence_number = *sequence_number;
            let level = copy.header.get_extension(1).unwrap_or_default();
            copy.header.extensions.clear();
            copy.header.set_extension(1, Bytes::from_static(b"0")).expect("a MID");
            copy.header.set_extension(10, level).expect("a level");
            let copy = copy.marshal().expect("a packet");
            black_box(context.encrypt_rtp(&copy).expect("protected"));
        }
        begun.elapsed()
    }
}

fn shard(criterion: &mut Criterion) {
    for media in Media::ALL {
        let mut group = criterion.benchmark_group(format!("forward/{}", media.name()));
        for (consumers, heat) in CONSUMERS.into_iter().flat_map(|consumers| Heat::ALL.map(|heat| (consumers, heat))) {
            group.throughput(Throughput::Elements(consumers as u64));
            // Made only where it is not filtered out: many rooms take a second.
            let mut rooms = None;
            group.bench_function(BenchmarkId::new(format!("shard, {}", heat.name()), consumers), |bencher| {
                let rooms = rooms.get_or_insert_with(|| Rooms::new(media, consumers, heat));
                bencher.iter_custom(|turns| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..turns {
                        let arrival = rooms.next_arrival();
                        let begun = Instant::now();
                        rooms.take_measured_turn(&arrival);
                        spent += begun.elapsed();
                    }
                    spent
                });
            });
        }
    }
}

fn reference(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward/voice");
    for consumers in CONSUMERS {
        group.throughput(Throughput::Elements(consumers as u64));
        let mut room = ReferenceRoom::new(consumers);
        group.bench_function(BenchmarkId::new("rtp and webrtc-srtp, hot", consumers), |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| room.turn()).sum());
        });
    }
}

criterion_group!(benches, shard, reference);
criterion_main!(benches);
