//! A connectivity check: turned away, authenticated, answered; and the same by stun-rs alone.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]
#![allow(missing_docs, reason = "what the macros of the harness make has none")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use engine::security::ice::IceAgent;
use engine::wire::stun::{ANSWER_LEN_MAX, BindingRequest, IntegrityKey};
use shard_protocol::tables::IceCredentials;
use stun_rs::attributes::ice::{IceControlling, Priority, UseCandidate};
use stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, UserName, XorMappedAddress};
use stun_rs::methods::BINDING;
use stun_rs::{
    DecoderContextBuilder, HMACKey, MessageClass, MessageDecoderBuilder, MessageEncoderBuilder, StunMessageBuilder,
};

const UFRAG: &str = "local";
const PASSWORD: &str = "password/of/22+characters";

fn key() -> HMACKey {
    HMACKey::new_short_term(PASSWORD).expect("a password")
}

fn check() -> Vec<u8> {
    let message = StunMessageBuilder::new(BINDING, MessageClass::Request)
        .with_attribute(UserName::new(format!("{UFRAG}:peer")).expect("a user name"))
        .with_attribute(Priority::from(0x6e7f_00ff))
        .with_attribute(IceControlling::from(1))
        .with_attribute(UseCandidate::default())
        .with_attribute(MessageIntegrity::new(key()))
        .with_attribute(Fingerprint::default())
        .build();
    let mut datagram = vec![0; 256];
    let len = MessageEncoderBuilder::default().build().encode(&mut datagram, &message).expect("room");
    datagram.truncate(len);
    datagram
}

fn read(criterion: &mut Criterion) {
    let datagram = check();
    let mut group = criterion.benchmark_group("stun/read");
    group.bench_function("parse alone, as for a stranger", |bencher| {
        bencher.iter(|| BindingRequest::parse(black_box(&datagram)).expect("a request").local_ufrag().len());
    });
    let key_of_agent = IntegrityKey::new(PASSWORD).expect("a password");
    group.bench_function("parse and authenticate", |bencher| {
        bencher.iter(|| {
            let request = BindingRequest::parse(black_box(&datagram)).expect("a request");
            request.authenticate(&key_of_agent).expect("authentic")
        });
    });
    let context = DecoderContextBuilder::default().with_key(key()).with_validation().build();
    let decoder = MessageDecoderBuilder::default().with_context(context).build();
    group.bench_function("stun-rs, decode with validation", |bencher| {
        bencher.iter(|| decoder.decode(black_box(&datagram)).expect("authentic"));
    });
}

fn answer(criterion: &mut Criterion) {
    let datagram = check();
    let source = SocketAddr::from(([198, 51, 100, 1], 40_000));
    let local = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    let now = Instant::now();
    let mut answer = [0; ANSWER_LEN_MAX];
    let mut group = criterion.benchmark_group("stun/answer");
    let mut agent =
        IceAgent::new(&IceCredentials { ufrag: UFRAG.into(), password: PASSWORD.into() }).expect("credentials");
    group.bench_function("the agent's whole turn", |bencher| {
        bencher.iter(|| {
            let request = BindingRequest::parse(black_box(&datagram)).expect("a request");
            agent.handle_check(now, &request, source, local, &mut answer).expect("an answer").answer_len
        });
    });
    let context = DecoderContextBuilder::default().with_key(key()).with_validation().build();
    let decoder = MessageDecoderBuilder::default().with_context(context).build();
    group.bench_function("stun-rs, decode and encode", |bencher| {
        bencher.iter(|| {
            let (request, _) = decoder.decode(black_box(&datagram)).expect("authentic");
            let message = StunMessageBuilder::new(BINDING, MessageClass::SuccessResponse)
                .with_transaction_id(*request.transaction_id())
                .with_attribute(XorMappedAddress::from(source))
                .with_attribute(MessageIntegrity::new(key()))
                .with_attribute(Fingerprint::default())
                .build();
            MessageEncoderBuilder::default().build().encode(&mut answer, &message).expect("room")
        });
    });
}

criterion_group!(benches, read, answer);
criterion_main!(benches);
