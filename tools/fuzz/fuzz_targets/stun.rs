//! STUN binding requests and the ICE-lite agent that answers them.
//!
//! Holds: bytes of no key are never authentic; a check that was changed in one byte is refused and changes nothing; an
//! authentic one is answered with what fits its room; the agent keeps a bounded number of addresses, sends to one of
//! them or nowhere, and moves only when it is nominated to.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use engine::security::ice::{CONSENT_TIMEOUT, IceAgent, TUPLES_MAX};
use engine::wire::stun::{ANSWER_LEN_MAX, BindingRequest, IntegrityKey};
use libfuzzer_sys::fuzz_target;
use shard_protocol::tables::IceCredentials;

const UFRAG: &str = "service+";
const PASSWORD: &str = "password/of/22+characters";
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// What a stranger sends.
    Bytes(&'a [u8]),
    /// What a peer sends over time.
    Steps(Vec<Step>),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Check(Check),
    /// The check before once more, from any address.
    Repeat {
        from: u8,
    },
    Wait {
        seconds: u8,
    },
}

#[derive(Arbitrary, Debug)]
struct Check {
    from: u8,
    attributes: Vec<Attribute>,
    /// What stands between MESSAGE-INTEGRITY and FINGERPRINT.
    behind: Option<Attribute>,
    /// The place and the bits of a forgery.
    forgery: Option<(u16, u8)>,
}

#[derive(Arbitrary, Clone, Debug)]
enum Attribute {
    UseCandidate,
    Nomination(u8),
    Priority(u32),
    Controlling(u64),
    Controlled(u64),
    SecondUsername(Vec<u8>),
    /// Of a kind that need not be known.
    Unknown(u8, Vec<u8>),
}

impl Attribute {
    fn encode(&self) -> (u16, Vec<u8>) {
        match self {
            Self::UseCandidate => (0x0025, Vec::new()),
            Self::Nomination(value) => (0xc001, u32::from(*value).to_be_bytes().into()),
            Self::Priority(value) => (0x0024, value.to_be_bytes().into()),
            Self::Controlling(value) => (0x802a, value.to_be_bytes().into()),
            Self::Controlled(value) => (0x8029, value.to_be_bytes().into()),
            Self::SecondUsername(value) => (0x0006, value.clone()),
            Self::Unknown(kind, value) => (0xff00 | u16::from(*kind), value.clone()),
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Bytes(bytes) => {
            let Ok(request) = BindingRequest::parse(bytes) else { return };
            assert!(
                bytes.windows(request.local_ufrag().len().max(1)).any(|part| part.starts_with(request.local_ufrag()))
            );
            let key = IntegrityKey::new(PASSWORD).expect("a password");
            assert!(request.authenticate(&key).is_err());
        }
        Input::Steps(steps) => Scene::new().run(&steps),
    }
});

struct Scene {
    agent: IceAgent,
    now: Instant,
    checks: u32,
    /// The last authentic check and where it came from.
    last: Option<(Vec<u8>, SocketAddr)>,
    nomination: u32,
}

impl Scene {
    fn new() -> Self {
        let credentials = IceCredentials { ufrag: UFRAG.into(), password: PASSWORD.into() };
        let agent = IceAgent::new(&credentials).expect("credentials as RFC 8445 has them");
        Self { agent, now: Instant::now(), checks: 0, last: None, nomination: 0 }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Check(check) => self.check(check),
                Step::Repeat { from } => self.repeat(address(*from)),
                Step::Wait { seconds } => self.wait(Duration::from_secs(u64::from(*seconds))),
            }
            let tuples: Vec<_> = self.agent.tuples().collect();
            assert!(tuples.len() <= TUPLES_MAX);
            assert!((1..tuples.len()).all(|n| !tuples[..n].contains(&tuples[n])), "a tuple stands twice");
            assert!(self.agent.selected().is_none_or(|selected| tuples.contains(&selected)));
            assert_eq!(self.agent.selected().is_some(), self.agent.poll_timeout().is_some());
        }
    }

    fn check(&mut self, check: &Check) {
        self.checks += 1;
        let mut datagram = seal(self.checks, &check.attributes, check.behind.as_ref());
        let source = address(check.from);
        let before = self.seen();
        if let Some((place, bits)) = check.forgery.filter(|(_, bits)| *bits != 0) {
            let place = usize::from(place) % datagram.len();
            datagram[place] ^= bits;
            assert!(!self.send(&datagram, source), "a forged check was taken");
            assert_eq!(self.seen(), before);
            return;
        }
        let is_taken = self.send(&datagram, source);
        // The limit of a request's length is the one reason to refuse this one.
        assert_eq!(is_taken, datagram.len() <= engine::wire::stun::REQUEST_LEN_MAX);
        if !is_taken {
            return;
        }
        self.last = Some((datagram, source));
        if first_role_is_controlled(&check.attributes) {
            assert_eq!(self.seen(), before, "a check of the wrong role changes nothing");
            return;
        }
        assert_eq!(self.agent.poll_timeout(), Some(self.now + CONSENT_TIMEOUT));
        assert!(self.agent.tuples().any(|tuple| tuple.remote == source));
        let is_nominated = self.take_nomination(&check.attributes);
        let selected = self.agent.selected().map(|tuple| tuple.remote);
        let expected = if is_nominated { Some(source) } else { before.1.or(Some(source)) };
        assert_eq!(selected, expected);
    }

    /// Whether these attributes nominate; the first NOMINATION counts, and it must be higher than any before.
    fn take_nomination(&mut self, attributes: &[Attribute]) -> bool {
        let told = attributes.iter().find_map(|attribute| match attribute {
            Attribute::Nomination(value) => Some(u32::from(*value)),
            _ => None,
        });
        match told {
            Some(value) if value > self.nomination => {
                self.nomination = value;
                true
            }
            Some(_) => false,
            None => attributes.iter().any(|attribute| matches!(attribute, Attribute::UseCandidate)),
        }
    }

    /// A request that was seen before changes nothing, and is answered only where it came from.
    fn repeat(&mut self, source: SocketAddr) {
        let Some((datagram, known)) = self.last.clone() else { return };
        let before = self.seen();
        assert_eq!(self.send(&datagram, source), source == known);
        assert_eq!(self.seen(), before);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let is_over = self.agent.poll_timeout().is_some_and(|at| at <= self.now);
        let has_changed = self.agent.handle_timeout(self.now);
        assert_eq!(has_changed, is_over);
        if is_over {
            assert_eq!(self.agent.selected(), None);
        }
    }

    /// Whether the agent takes the datagram; the answer is looked at.
    fn send(&mut self, datagram: &[u8], source: SocketAddr) -> bool {
        let Ok(request) = BindingRequest::parse(datagram) else { return false };
        let mut answer = [0; ANSWER_LEN_MAX];
        let Ok(checked) = self.agent.handle_check(self.now, &request, source, LOCAL, &mut answer) else { return false };
        assert!((20..=ANSWER_LEN_MAX).contains(&checked.answer_len));
        assert_eq!(answer[8..20], datagram[8..20], "the answer names its request");
        true
    }

    /// All that can be seen of the agent.
    fn seen(&self) -> (usize, Option<SocketAddr>, Option<Instant>) {
        (self.agent.tuples().count(), self.agent.selected().map(|tuple| tuple.remote), self.agent.poll_timeout())
    }
}

fn address(from: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, from % 40], 40_000))
}

fn first_role_is_controlled(attributes: &[Attribute]) -> bool {
    let role = attributes.iter().find(|a| matches!(a, Attribute::Controlling(_) | Attribute::Controlled(_)));
    matches!(role, Some(Attribute::Controlled(_)))
}

/// Writes an authentic request by RFC 8489, without the library that the service reads it with.
fn seal(number: u32, attributes: &[Attribute], behind: Option<&Attribute>) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend(number.to_be_bytes());
    append(&mut message, 0x0006, format!("{UFRAG}:peer").as_bytes());
    for (kind, value) in attributes.iter().map(Attribute::encode) {
        append(&mut message, kind, &value);
    }
    set_len(&mut message, 24);
    let hash = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, PASSWORD.as_bytes()), &message);
    append(&mut message, 0x0008, hash.as_ref());
    if let Some((kind, value)) = behind.map(Attribute::encode) {
        append(&mut message, kind, &value);
    }
    set_len(&mut message, 8);
    let checksum = crc32(&message) ^ 0x5354_554e;
    append(&mut message, 0x8028, &checksum.to_be_bytes());
    message
}

fn append(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Writes the length that the message has with `more` bytes.
fn set_len(message: &mut [u8], more: usize) {
    let len = (message.len() + more - 20) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
}

/// The checksum of ITU V.42, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
