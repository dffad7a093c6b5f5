//! Peers that mean ill: nothing that they send breaks a handshake beside theirs, or is kept without bound.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use shard_protocol::ids::TransportId;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::DtlsRole;
use webrtc_dtls::cipher_suite::CipherSuiteId;

use super::network::{Direction, Fate, Service, call, library_panics, new_transport, table_of};
use super::peer::Behaviour;
use super::{HANDSHAKES_MAX, ROLES, deliver, tasks_left};
use crate::security::dtls::record::{content_type, fragments, message_type, records};
use crate::security::dtls::sample::{
    chromium_client_hello, client_hello, client_hello_records, extension, fragment, record, use_srtp, whole,
};
use crate::security::dtls::{DtlsRequest, DtlsResponse, HandshakeFilter};

/// An attacker on a transport of its own; the service's part is `role`.
struct Attacker<'a> {
    service: &'a Service,
    transport: TransportId,
    filter: HandshakeFilter,
    passed: usize,
}

impl<'a> Attacker<'a> {
    fn new(service: &'a Service, role: DtlsRole) -> Self {
        let peer = if role == DtlsRole::Server { DtlsRole::Client } else { DtlsRole::Server };
        let transport = new_transport();
        service.send(DtlsRequest::Start { transport, table: table_of(&Behaviour::browser(peer)) });
        Self { service, transport, filter: HandshakeFilter::new(), passed: 0 }
    }

    fn send(&mut self, datagram: &[u8]) {
        if self.filter.check(datagram).is_ok() {
            self.passed += 1;
            let (transport, bytes) = (self.transport, datagram.into());
            let _ = self.service.port.try_send(DtlsRequest::Datagram { transport, bytes });
        }
    }

    /// Lets the service do what there is to do, and gives what it said.
    async fn answers(&self) -> Vec<Vec<u8>> {
        tasks_left().await;
        let mut answers = Vec::new();
        while let Some(response) = self.service.port.try_recv() {
            if let DtlsResponse::Datagram { bytes, .. } = response {
                answers.push(bytes.into_vec());
            }
        }
        answers
    }

    async fn stop(self) {
        self.service.send(DtlsRequest::Stop { transport: self.transport });
        self.answers().await;
    }
}

fn is_hello_verify_request(datagram: &[u8]) -> bool {
    let record = records(datagram).next().unwrap().unwrap();
    fragments(record.payload).next().unwrap().unwrap().message == message_type::HELLO_VERIFY_REQUEST
}

#[tokio::test(start_paused = true)]
async fn a_browsers_hello_cut_in_two_is_answered_in_either_order() {
    let service = Service::new(HANDSHAKES_MAX);
    for order in [[0, 1], [1, 0]] {
        let datagrams = client_hello_records(&chromium_client_hello(), 1200);
        let mut peer = Attacker::new(&service, DtlsRole::Server);
        peer.send(&datagrams[order[0]]);
        assert!(peer.answers().await.is_empty());
        peer.send(&datagrams[order[1]]);
        let answers = peer.answers().await;
        assert!(answers.iter().all(|answer| is_hello_verify_request(answer)) && !answers.is_empty());
        peer.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn hellos_whose_extensions_do_not_tile_are_not_answered_and_break_nothing() {
    let service = Service::new(HANDSHAKES_MAX);
    let before = tasks_left().await;
    let hello = chromium_client_hello();
    let mut malformed: Vec<Vec<u8>> = (0..hello.len()).map(|len| hello[..len].to_vec()).collect();
    let right = use_srtp(&[7]);
    for block in [&[0][..], &[0, 23], &[0, 23, 0], &[0, 10, 0, 3, 0, 2], &[0, 10, 0xff, 0xff], &extension(14, &[0])] {
        malformed.push(client_hello(block));
        malformed.push(client_hello(&[&right[..], block].concat()));
    }
    let mut passed = 0;
    for body in malformed {
        let mut attacker = Attacker::new(&service, DtlsRole::Server);
        attacker.send(&record(content_type::HANDSHAKE, 0, &whole(message_type::CLIENT_HELLO, 0, &body)));
        assert!(attacker.answers().await.is_empty(), "{} bytes", body.len());
        passed += attacker.passed as u64;
        attacker.stop().await;
    }
    assert!(passed > 1300, "all but those too short to be a hello");
    assert_eq!(service.port.drops().count(DropReason::DtlsMalformed), passed);
    assert_eq!(tasks_left().await, before);
    assert_eq!(library_panics(), 0);
}

#[tokio::test(start_paused = true)]
async fn floods_of_tiny_empty_and_random_records_end_at_the_filter() {
    let service = Service::new(HANDSHAKES_MAX);
    let before = tasks_left().await;
    let mut random = StdRng::seed_from_u64(1);
    let mut noise = move || {
        let mut bytes = vec![0; random.random_range(1..60)];
        random.fill_bytes(&mut bytes);
        bytes
    };
    let mut floods: [Box<dyn FnMut(usize) -> Vec<u8>>; 5] = [
        Box::new(|at| record(22, 0, &fragment(message_type::CLIENT_HELLO, 8000, 0, at % 8000, &[at as u8]))),
        Box::new(|at| record(22, 0, &fragment(message_type::CLIENT_HELLO, 8000, 0, at % 8000, &[]))),
        Box::new(|_| record(22, 1, &[0x5a; 64])),
        Box::new(|_| record(20, 0, &[1])),
        Box::new(move |at| record(20 + (at % 4) as u8, (at % 3) as u16, &noise())),
    ];
    for role in [DtlsRole::Server, DtlsRole::Client] {
        for flood in &mut floods {
            let mut attacker = Attacker::new(&service, role);
            for at in 0..40_000 {
                attacker.send(&flood(at));
            }
            assert!(attacker.passed <= 160, "{} passed", attacker.passed);
            attacker.answers().await;
            // While it lives: its own task and the library's two.
            assert!(tasks_left().await <= before + 3);
            let behaviour = Behaviour::browser(DtlsRole::Client);
            attacker.stop().await;
            call(&service, table_of(&behaviour), &behaviour, deliver).await.keys();
        }
    }
    assert_eq!(tasks_left().await, before);
    assert_eq!(library_panics(), 0);
}

#[tokio::test(start_paused = true)]
async fn alerts_and_data_in_the_clear_from_anyone_do_not_end_a_handshake() {
    let service = Service::new(HANDSHAKES_MAX);
    for role in ROLES {
        let behaviour = Behaviour::browser(role);
        for forged in [record(21, 0, &[2, 40]), record(21, 0, &[1, 0]), record(23, 0, &[0; 9])] {
            // The peer's second datagram is lost, and the forgery comes in its place.
            let outcome = call(&service, table_of(&behaviour), &behaviour, |direction, number, _| match direction {
                Direction::ToService if number == 1 => Fate::Change(forged.clone()),
                _ => Fate::Deliver,
            });
            let outcome = outcome.await;
            outcome.keys();
            assert_eq!(outcome.drops.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_knows_only_weak_ciphers_fails() {
    let service = Service::new(HANDSHAKES_MAX);
    let behaviour = Behaviour {
        cipher_suites: vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_256_Cbc_Sha],
        ..Behaviour::browser(DtlsRole::Client)
    };
    let outcome = call(&service, table_of(&behaviour), &behaviour, deliver).await;
    assert!(outcome.service.is_some_and(|result| result.is_err()));
}

/// What a change does to a datagram.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

impl Change {
    fn apply(&self, datagram: &mut Vec<u8>) {
        if datagram.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, mask) => {
                let at = at.index(datagram.len());
                datagram[at] ^= mask;
            }
            Self::Cut(at) => datagram.truncate(at.index(datagram.len())),
            Self::Insert(at, bytes) => {
                let at = at.index(datagram.len());
                datagram.splice(at..at, bytes.iter().copied());
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        8 => (at(), 1..=255u8).prop_map(|(at, mask)| Change::Flip(at, mask)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..30)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The peer's own flights, changed on their way: each is still fresh enough to be read to its end.
    #[test]
    fn changed_flights_end_in_keys_or_a_failure_and_never_in_a_panic(
        is_client in any::<bool>(),
        changes in prop::collection::vec((0usize..8, change()), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let service = Service::new(HANDSHAKES_MAX);
            let before = tasks_left().await;
            let behaviour = Behaviour::browser(if is_client { DtlsRole::Client } else { DtlsRole::Server });
            let outcome = call(&service, table_of(&behaviour), &behaviour, |direction, number, datagram| {
                let mut changed = datagram.to_vec();
                if direction == Direction::ToService {
                    let due = changes.iter().filter(|(at, _)| *at == number);
                    due.for_each(|(_, change)| change.apply(&mut changed));
                }
                Fate::Change(changed)
            });
            assert!(outcome.await.service.is_some(), "it comes to an end");
            assert_eq!(tasks_left().await, before);
            assert_eq!(library_panics(), 0);
        });
    }
}
