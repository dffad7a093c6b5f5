//! A datagram told apart and its transport found by its source, beside the standard library's map.
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;

use benches::limit::Visits;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::ingress::{DatagramClass, Routes};

/// Addresses that are known; the last is what a shard takes (`TRANSPORTS_MAX`).
const ADDRESSES: [usize; 4] = [10, 100, 1000, 8192];

/// The first bytes of a voice packet.
const DATAGRAM: [u8; 12] = [0x90, 111, 0, 1, 0, 0, 3, 192, 0, 0, 0x5e, 0xed];

/// A participant's address: behind one of a few hundred home routers, each with its own port.
fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, (number % 251) as u8, (number / 251) as u8], 30_000 + (number * 7919 % 30_000) as u16))
}

fn demux(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("demux");
    for count in ADDRESSES {
        let mut routes = Routes::with_capacity(count);
        let mut map = HashMap::with_capacity(count);
        for number in 0..count {
            routes.add_address(address(number), number);
            map.insert(address(number), number);
        }
        assert_eq!(routes.addresses(), count);
        // In random order: each address once, before any comes again.
        let mut visits = Visits::new(count, 1).map(address);
        let mut next = || visits.next().unwrap_or_else(|| address(0));
        group.bench_function(BenchmarkId::new("class", count), |bencher| {
            bencher.iter(|| DatagramClass::of(black_box(&DATAGRAM)));
        });
        group.bench_function(BenchmarkId::new("class and route", count), |bencher| {
            bencher.iter_batched(
                &mut next,
                |source| (DatagramClass::of(black_box(&DATAGRAM)), routes.by_address(black_box(&source))),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("class and a stranger's route", count), |bencher| {
            bencher.iter_batched(
                || SocketAddr::new(next().ip(), 1),
                |source| (DatagramClass::of(black_box(&DATAGRAM)), routes.by_address(black_box(&source))),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("std HashMap", count), |bencher| {
            bencher.iter_batched(&mut next, |source| map.get(black_box(&source)).copied(), BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, demux);
criterion_main!(benches);
