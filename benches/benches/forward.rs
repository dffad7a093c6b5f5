//! A shard's whole turn without sockets: a speaker's datagram in, a protected copy for each listener out; and the same
//! turn put together from the rtp and webrtc-srtp crates.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use benches::{VOICE_LEN, packet, reference_context};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::security::srtp::SrtpProfile;
use engine::shard::SendOutcome;
use netsim::{Conditions, LinkId, World, audio_consumer, audio_producer};
use rtp::packet::Packet;
use rtp_util::marshal::{Marshal, Unmarshal};
use webrtc_srtp::context::Context;

/// Listeners of one speaker. The smallest stays in the fastest cache, the largest does not.
const LISTENERS: [usize; 3] = [10, 100, 600];

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Time between two turns: so short that no consent runs out, however long the measurement takes.
const TURN: Duration = Duration::from_micros(1);

/// A shard with one speaker and its listeners.
struct Room {
    world: World,
    speaker: LinkId,
    source: SocketAddr,
    now: Instant,
    sequence_number: u16,
}

impl Room {
    fn new(listeners: usize) -> Self {
        let mut world = World::new(1, Conditions::GOOD);
        let router = world.add_router();
        let speaker = world.add_connected_link(router);
        let producer = world.publish(speaker, audio_producer("0", Some(0x5eed))).expect("a producer");
        for _ in 0..listeners {
            let listener = world.add_connected_link(router);
            world.consume(listener, producer, audio_consumer("0", 0x1_0000)).expect("a consumer");
        }
        let (source, now) = (world.participant(speaker).address, world.now());
        Self { world, speaker, source, now, sequence_number: 0 }
    }

    /// One packet through the shard; the time that the shard took, and the datagrams that it made.
    fn turn(&mut self) -> (Duration, u64) {
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let packet = packet(VOICE_LEN, self.sequence_number);
        let datagram = self.world.participant(self.speaker).protect(&packet);
        self.now += TURN;
        let (shard, now) = (&mut self.world.shard, self.now);
        let begun = Instant::now();
        assert!(shard.input_mut().push(&datagram, self.source, LOCAL, now));
        shard.handle_input(now);
        shard.handle_timeout(now);
        let mut made = 0;
        while let Some(output) = shard.poll_output(now) {
            let datagrams_sent = output.datagrams() as u64;
            black_box(output.messages().len());
            made += datagrams_sent;
            shard.handle_sent(now, SendOutcome { calls: 1, datagrams_sent, ..SendOutcome::default() });
        }
        (begun.elapsed(), made)
    }
}

/// The same with the crates: opened once, then for each listener cloned, edited, marshalled and protected.
struct ReferenceRoom {
    participant: Context,
    speaker: Context,
    listeners: Vec<(Context, u16)>,
    sequence_number: u16,
}

impl ReferenceRoom {
    fn new(listeners: usize) -> Self {
        let context = || reference_context(SrtpProfile::AeadAes128Gcm);
        Self {
            participant: context(),
            speaker: context(),
            listeners: (0..listeners).map(|n| (context(), n as u16)).collect(),
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
        for (context, sequence_number) in &mut self.listeners {
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

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    for listeners in LISTENERS {
        group.throughput(Throughput::Elements(listeners as u64));
        let mut room = Room::new(listeners);
        group.bench_function(BenchmarkId::new("shard", listeners), |bencher| {
            bencher.iter_custom(|turns| {
                let mut spent = Duration::ZERO;
                for _ in 0..turns {
                    let (time, made) = room.turn();
                    spent += time;
                    assert!(made >= listeners as u64, "{made} of {listeners} copies");
                }
                spent
            });
        });
        let mut room = ReferenceRoom::new(listeners);
        group.bench_function(BenchmarkId::new("rtp and webrtc-srtp", listeners), |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| room.turn()).sum());
        });
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
