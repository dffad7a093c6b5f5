//! Real shards on loopback: threads, executors, sockets and queues as in the service.

#![cfg(feature = "runtime")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use engine::runtime::host::{Host, HostPlan, PlacementRequest};
use engine::runtime::{Coalescing, Notify, ShardHandle, ShardLost, Shards, StartError, start};
use shard_protocol::ids::{RequestId, RouterId, ShardIndex};
use shard_protocol::stats::{DropReason, ShardStats};
use shard_protocol::{Command, Event};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Each shard binds the first free port of its slice, so that tests beside one another find their own.
const PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// No answer takes that long; it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

fn plan(shards: usize, ports: RangeInclusive<u16>) -> HostPlan {
    let host = Host::look().unwrap();
    let request = PlacementRequest {
        shards: Some(shards.min(host.topology.allowed.len())),
        cpuset: None,
        signal_cpuset: None,
        ports,
        listen_ip: Some(LOOPBACK),
    };
    HostPlan::new(&request, &host).unwrap()
}

fn start_shards(shards: usize) -> (Shards, Receiver<ShardIndex>) {
    let (sender, news) = channel();
    let notify: Notify = Arc::new(move |index| {
        let _ = sender.send(index);
    });
    (start(&plan(shards, PORTS), Coalescing::Adaptive, notify).unwrap(), news)
}

/// The next event of a shard, waited for as signaling does: woken by the callback, then taking all there is.
fn next_event(handle: &ShardHandle, news: &Receiver<ShardIndex>) -> Event {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = handle.try_recv().unwrap() {
            return event;
        }
        news.recv_timeout(until.saturating_duration_since(Instant::now())).expect("no event came: a wake was lost");
    }
}

fn stats(handle: &ShardHandle, news: &Receiver<ShardIndex>) -> ShardStats {
    handle.try_send(Command::ReportStats { request: RequestId(0) }).unwrap();
    match next_event(handle, news) {
        Event::Stats { stats, .. } => *stats,
        event => panic!("{event:?} instead of the figures"),
    }
}

fn create_router(handle: &ShardHandle, router: u64) {
    handle.try_send(Command::CreateRouter { request: RequestId(router), router: RouterId(router) }).unwrap();
}

fn await_end(handle: &ShardHandle) {
    let until = Instant::now() + PATIENCE;
    while handle.try_recv() != Err(ShardLost) {
        assert!(Instant::now() < until, "the shard lives on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn garbage_of_every_first_byte_and_length_is_dropped_and_the_shard_lives_on() {
    let (shards, news) = start_shards(1);
    let handle = &shards.handles[0];
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let lens = || [0, 1, 2, 4, 11, 12, 13, 20, 28, 100, 1600, 2048, 2049, 9000].into_iter();
    let mut sent = 0;
    for first in 0..=u8::MAX {
        for datagram in lens().map(|len| vec![first; len]).chain([vec![first; usize::from(first) * 6 + 1]]) {
            peer.send_to(&datagram, (LOOPBACK, handle.port())).unwrap();
            sent += 1;
        }
        // The kernel's buffer is finite, and a shard on the only CPU cannot run beside this thread.
        while first % 16 == 15 && stats(handle, &news).datagrams_in < sent {}
    }
    let stats = stats(handle, &news);
    assert_eq!(stats.datagrams_in, sent);
    assert_eq!(stats.drops.count(DropReason::Oversized), 2 * 256);
    assert_eq!(DropReason::ALL.iter().map(|&reason| stats.drops.count(reason)).sum::<u64>(), sent);
    assert_eq!(stats.datagrams_out, 0);
    drop(shards.handles);
    shards.threads.join();
}

#[test]
fn no_wake_is_lost_between_a_stream_of_datagrams_and_commands() {
    let (shards, news) = start_shards(1);
    let handle = &shards.handles[0];
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    // Each answer is awaited, so the shard goes to sleep again and again while a datagram or a command comes.
    let rounds = 3000;
    for router in 1..=rounds {
        for _ in 0..router % 4 {
            peer.send_to(&[0xff; 20], (LOOPBACK, handle.port())).unwrap();
        }
        create_router(handle, router);
        let answer = Event::Answered { request: RequestId(router), result: Ok(()) };
        assert_eq!(next_event(handle, &news), answer);
        handle.try_send(Command::CloseRouter { router: RouterId(router) }).unwrap();
    }
    let stats = stats(handle, &news);
    assert_eq!(stats.routers, 0);
    assert_eq!(stats.datagrams_in, (1..=rounds).map(|router| router % 4).sum::<u64>());
    drop(shards.handles);
    shards.threads.join();
}

#[test]
fn a_shard_with_nothing_to_do_sleeps_until_it_is_asked() {
    let (shards, news) = start_shards(2);
    for handle in &shards.handles {
        let before = stats(handle, &news).sleeps;
        std::thread::sleep(Duration::from_millis(500));
        let after = stats(handle, &news).sleeps;
        assert!(after - before <= 4, "{} wakes of an idle shard", after - before);
    }
    drop(shards.handles);
    shards.threads.join();
}

#[test]
fn shards_end_when_they_are_shut_down_or_nobody_holds_them() {
    let (Shards { mut handles, fingerprints, threads }, _news) = start_shards(2);
    assert!(!fingerprints.is_empty());
    let first = handles.remove(0);
    first.try_send(Command::Shutdown).unwrap();
    await_end(&first);
    assert!(first.try_send(Command::Shutdown).is_err());
    drop(handles);
    threads.join();
}

#[test]
fn a_shard_that_panics_is_lost_alone_and_signaling_is_told() {
    let (sender, news) = channel();
    let has_panicked = AtomicBool::new(false);
    let notify: Notify = Arc::new(move |index| {
        let _ = sender.send(index);
        assert!(index != ShardIndex(0) || has_panicked.swap(true, Ordering::SeqCst), "a panic that the test asks for");
    });
    let shards = start(&plan(2, PORTS), Coalescing::Adaptive, notify).unwrap();
    create_router(&shards.handles[0], 1);
    // The callback panics on the shard's thread once it is told of the answer, and is called again for the end.
    assert_eq!(news.recv_timeout(PATIENCE), Ok(ShardIndex(0)));
    assert_eq!(news.recv_timeout(PATIENCE), Ok(ShardIndex(0)));
    while shards.handles[0].try_recv() != Err(ShardLost) {}
    for other in shards.handles.iter().skip(1) {
        create_router(other, 2);
        assert!(matches!(next_event(other, &news), Event::Answered { result: Ok(()), .. }));
    }
    drop(shards.handles);
    shards.threads.join();
}

#[test]
fn a_start_that_fails_names_the_shard_and_leaves_nothing_behind() {
    let taken = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut plan = plan(2, PORTS);
    let last = plan.shards.len() - 1;
    plan.shards[last].ports = port..=port;
    let error = start(&plan, Coalescing::Adaptive, Arc::new(|_| {})).err().unwrap();
    assert!(matches!(error, StartError::Bind { index, .. } if index.0 as usize == last), "{error}");
    drop(taken);
    let shards = start(&plan, Coalescing::Adaptive, Arc::new(|_| {})).unwrap();
    assert_eq!(shards.handles[last].port(), port);
    drop(shards.handles);
    shards.threads.join();
}
