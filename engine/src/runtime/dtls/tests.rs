//! Handshakes with the library itself as the peer, on a clock that stands still while anything is left to do.

mod hostile;
mod network;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shard_protocol::event::TransportCloseReason;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{DtlsRole, Fingerprint};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time;

use self::network::{Direction, Fate, Service, call, new_transport, table_of};
use self::peer::Behaviour;
use super::dispatcher::HANDSHAKE_TIMEOUT;
use super::{DtlsThread, DtlsWaker, HANDSHAKES_MAX};
use crate::security::dtls::{DtlsRequest, DtlsResponse};
use crate::security::srtp::SrtpProfile;

const ROLES: [DtlsRole; 2] = [DtlsRole::Client, DtlsRole::Server];

fn deliver(_: Direction, _: usize, _: &[u8]) -> Fate {
    Fate::Deliver
}

/// Waits until nothing is left to do, and tells how many tasks there are then.
async fn tasks_left() -> usize {
    time::sleep(Duration::from_secs(1)).await;
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn both_roles_give_both_sides_the_same_keys() {
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        let behaviour = Behaviour::browser(role);
        let outcome = call(&service, table_of(&behaviour), &behaviour, deliver).await;
        let keys = outcome.keys();
        // As client, the service's peer here takes the first of the service's list, which is GCM-128 too.
        assert_eq!(keys.profile, SrtpProfile::AeadAes128Gcm, "peer as {role:?}");
        assert_eq!((keys.local.key.len(), keys.local.salt.len()), (16, 12));
        assert_eq!(outcome.drops, [], "nothing of a good handshake is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn every_profile_that_a_peer_knows_alone_is_agreed_on() {
    let service = Service::new(HANDSHAKES_MAX);
    let lengths = [
        (SrtpProfile::AeadAes128Gcm, 16, 12),
        (SrtpProfile::AeadAes256Gcm, 32, 12),
        (SrtpProfile::Aes128CmHmacSha1_80, 16, 14),
    ];
    for role in ROLES {
        for (profile, key_len, salt_len) in lengths {
            let behaviour = Behaviour::browser(role).with_profiles(&[profile]);
            let outcome = call(&service, table_of(&behaviour), &behaviour, deliver).await;
            let keys = outcome.keys();
            assert_eq!(keys.profile, profile);
            for master in [&keys.local, &keys.remote] {
                assert_eq!((master.key.len(), master.salt.len()), (key_len, salt_len));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_offers_no_srtp_fails_at_once() {
    let service = Service::new(HANDSHAKES_MAX);
    let behaviour = Behaviour::browser(DtlsRole::Client).with_profiles(&[]);
    let outcome = call(&service, table_of(&behaviour), &behaviour, deliver).await;
    assert_eq!(outcome.service.as_ref().map(|result| result.is_err()), Some(true));
    assert_eq!(outcome.sent(Direction::ToPeer), 0);
    assert_eq!(outcome.service_took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_without_an_announced_fingerprint_fails_with_that_reason() {
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        let behaviour = Behaviour::browser(role);
        for wrong in [Fingerprint::Sha256([7; 32]), Fingerprint::Sha384([7; 48]), Fingerprint::Sha512([7; 64])] {
            let mut table = table_of(&behaviour);
            table.fingerprints = vec![wrong];
            let outcome = call(&service, table, &behaviour, deliver).await;
            assert!(matches!(outcome.service, Some(Err(TransportCloseReason::FingerprintMismatch))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_one_of_the_announced_fingerprints_is_enough() {
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        let behaviour = Behaviour::browser(role);
        for right in table_of(&behaviour).fingerprints {
            let mut table = table_of(&behaviour);
            let wrong = [Fingerprint::Sha256([7; 32]), Fingerprint::Sha384([7; 48]), Fingerprint::Sha512([7; 64])];
            table.fingerprints = [&wrong[..], &[right], &wrong[..2]].concat();
            call(&service, table, &behaviour, deliver).await.keys();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_certificate_fails() {
    let service = Service::new(HANDSHAKES_MAX);
    let behaviour = Behaviour { has_certificate: false, ..Behaviour::browser(DtlsRole::Client) };
    let outcome = call(&service, table_of(&behaviour), &behaviour, deliver).await;
    assert!(matches!(outcome.service, Some(Err(TransportCloseReason::DtlsFailed))));
}

#[tokio::test(start_paused = true)]
async fn one_lost_datagram_anywhere_is_recovered_in_both_roles() {
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        // Also with every flight in many datagrams.
        for mtu in [1200, 200] {
            let behaviour = Behaviour::browser(role).with_mtu(mtu);
            let whole = call(&service, table_of(&behaviour), &behaviour, deliver).await;
            whole.keys();
            for lost in [Direction::ToService, Direction::ToPeer] {
                assert!(whole.sent(lost) >= 2);
                for number in 0..whole.sent(lost) {
                    let outcome = call(&service, table_of(&behaviour), &behaviour, |direction, at, _| {
                        if direction == lost && at == number { Fate::Lose } else { Fate::Deliver }
                    });
                    let began = time::Instant::now();
                    outcome.await.keys();
                    let took = began.elapsed();
                    assert!(took <= Duration::from_millis(250), "{role:?}, {lost:?} {number} lost: {took:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_and_overtaken_datagrams_change_nothing() {
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        for mtu in [1200, 200] {
            let behaviour = Behaviour::browser(role).with_mtu(mtu);
            for fate in [Fate::Repeat, Fate::Overtaken] {
                call(&service, table_of(&behaviour), &behaviour, |_, number, _| {
                    if fate == Fate::Repeat || number % 2 == 0 { fate.clone() } else { Fate::Deliver }
                })
                .await
                .keys();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_loses_repeats_and_reorders_a_third_is_survived() {
    let service = Service::new(HANDSHAKES_MAX);
    for seed in 0..40 {
        let behaviour = Behaviour::browser(ROLES[seed as usize % 2]).with_mtu(400);
        let mut random = StdRng::seed_from_u64(seed);
        let outcome = call(&service, table_of(&behaviour), &behaviour, |_, _, _| match random.random_range(0..9) {
            0 => Fate::Lose,
            1 => Fate::Repeat,
            2 => Fate::Overtaken,
            _ => Fate::Deliver,
        });
        let outcome = outcome.await;
        assert!(outcome.service.as_ref().is_some_and(Result::is_ok), "seed {seed}");
        outcome.keys();
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_joins_at_once_succeed_and_leave_nothing_behind() {
    let before = Handle::current().metrics().num_alive_tasks();
    let ports: Vec<_> = (0..1000).map(|_| Service::new(HANDSHAKES_MAX)).collect();
    let mut calls = tokio::task::JoinSet::new();
    for (number, service) in ports.into_iter().enumerate() {
        calls.spawn(async move {
            let behaviour = Behaviour::browser(ROLES[number % 2]);
            call(&service, table_of(&behaviour), &behaviour, deliver).await.keys();
            service.close().await;
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    drop(calls);
    assert_eq!(tasks_left().await, before);
}

#[tokio::test(start_paused = true)]
async fn handshakes_that_are_over_leave_no_task_behind() {
    let service = Service::new(HANDSHAKES_MAX);
    let before = tasks_left().await;
    for number in 0..250 {
        let behaviour = Behaviour::browser(ROLES[number % 2]);
        call(&service, table_of(&behaviour), &behaviour, deliver).await.keys();
    }
    assert_eq!(tasks_left().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_fails_after_the_timeout_and_leaves_nothing_behind() {
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        let before = tasks_left().await;
        let behaviour = Behaviour::browser(role);
        let outcome = call(&service, table_of(&behaviour), &behaviour, |direction, number, _| match direction {
            Direction::ToService if number > 0 => Fate::Lose,
            _ => Fate::Deliver,
        });
        let outcome = outcome.await;
        assert!(matches!(outcome.service, Some(Err(TransportCloseReason::DtlsFailed))));
        assert_eq!(outcome.service_took, HANDSHAKE_TIMEOUT);
        assert_eq!(tasks_left().await, before, "the peer as {role:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_talks_to_costs_no_task_and_no_time() {
    let service = Service::new(HANDSHAKES_MAX);
    let before = tasks_left().await;
    let transport = new_transport();
    let table = table_of(&Behaviour::browser(DtlsRole::Client));
    service.send(DtlsRequest::Start { transport, table });
    assert_eq!(tasks_left().await, before);
    time::sleep(10 * HANDSHAKE_TIMEOUT).await;
    assert!(service.port.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_handshake_says_nothing_more_and_leaves_nothing_behind() {
    let service = Service::new(HANDSHAKES_MAX);
    let before = tasks_left().await;
    let transport = new_transport();
    let table = table_of(&Behaviour::browser(DtlsRole::Server));
    service.send(DtlsRequest::Start { transport, table });
    assert!(matches!(service.recv().await, DtlsResponse::Datagram { .. }));
    assert!(tasks_left().await > before);
    service.send(DtlsRequest::Stop { transport });
    assert_eq!(tasks_left().await, before);
    while service.port.try_recv().is_some() {}
    time::sleep(2 * HANDSHAKE_TIMEOUT).await;
    assert!(service.port.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_dropped_ends_its_handshakes() {
    let before = Handle::current().metrics().num_alive_tasks();
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        let table = table_of(&Behaviour::browser(role));
        service.send(DtlsRequest::Start { transport: new_transport(), table });
    }
    assert!(tasks_left().await > before + 1);
    service.close().await;
    assert_eq!(tasks_left().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_over_the_limit_waits_for_its_turn() {
    let service = Service::new(1);
    let silent = new_transport();
    let table = table_of(&Behaviour::browser(DtlsRole::Server));
    service.send(DtlsRequest::Start { transport: silent, table: table.clone() });
    time::sleep(HANDSHAKE_TIMEOUT - Duration::from_secs(2)).await;
    let waiting = new_transport();
    service.send(DtlsRequest::Start { transport: waiting, table });
    let mut failed_at = None;
    let answered = time::timeout(Duration::from_secs(4), async {
        loop {
            match service.recv().await {
                DtlsResponse::Datagram { transport, .. } if transport == waiting => break,
                DtlsResponse::Failed { transport, .. } if transport == silent => failed_at = Some(time::Instant::now()),
                _ => {}
            }
        }
    });
    answered.await.expect("the second begins");
    assert!(failed_at.is_some(), "not before the first is over");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_datagrams_and_still_takes_what_starts_and_stops() {
    let service = Service::new(HANDSHAKES_MAX);
    let transport = new_transport();
    // The dispatcher has no turn in here: nothing is awaited.
    let datagram = || DtlsRequest::Datagram { transport, bytes: [22].into() };
    let taken = (0..5000).filter(|_| service.port.try_send(datagram()).is_ok()).count();
    assert_eq!(taken, super::REQUEST_DATAGRAMS_MAX);
    let stops = (0..20_000).filter(|_| service.port.try_send(DtlsRequest::Stop { transport }).is_ok()).count();
    assert_eq!(stops, super::REQUESTS_MAX - super::REQUEST_DATAGRAMS_MAX);
    time::sleep(Duration::from_secs(1)).await;
    assert!(service.port.try_send(datagram()).is_ok(), "emptied, it takes datagrams again");
    let unexpected = service.port.drops().count(DropReason::DtlsUnexpected);
    assert_eq!(unexpected, taken as u64, "no handshake wanted them");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_does_not_listen_loses_datagrams_and_no_result() {
    let service = Service::new(HANDSHAKES_MAX);
    let table = table_of(&Behaviour::browser(DtlsRole::Server));
    let transports: Vec<_> = (0..2000).map(|_| new_transport()).collect();
    for &transport in &transports {
        service.send(DtlsRequest::Start { transport, table: table.clone() });
    }
    time::sleep(2 * HANDSHAKE_TIMEOUT).await;
    assert_eq!(service.port.responses.len(), super::RESPONSES_MAX, "the queue is as full as it gets");
    let mut failed = std::collections::HashSet::new();
    let mut datagrams = 0;
    while failed.len() < transports.len() {
        match service.recv().await {
            DtlsResponse::Failed { transport, .. } => assert!(failed.insert(transport)),
            _ => datagrams += 1,
        }
    }
    assert_eq!(datagrams, super::RESPONSE_DATAGRAMS_MAX);
    assert!(service.port.drops().count(DropReason::DtlsOverload) > 0);
}

#[tokio::test]
async fn the_thread_serves_every_port_and_ends_with_the_last() {
    let wakes = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let wakers = wakes.iter().map(|wake| {
        let wake = Arc::clone(wake);
        Arc::new(move || wake.notify_one()) as DtlsWaker
    });
    let (started_tx, started_rx) = std::sync::mpsc::channel();
    let on_start = move || started_tx.send(std::thread::current().name().map(str::to_owned)).unwrap();
    let (thread, ports) = DtlsThread::start(wakers.collect(), on_start).unwrap();
    assert_eq!(started_rx.recv().unwrap().as_deref(), Some("dtls"));
    let fingerprints = thread.fingerprints().to_vec();
    for (port, wake) in ports.into_iter().zip(wakes) {
        let service = Service::around(port, fingerprints.clone(), wake);
        for role in ROLES {
            let behaviour = Behaviour::browser(role);
            call(&service, table_of(&behaviour), &behaviour, deliver).await.keys();
        }
    }
    thread.join();
}
