//! DTLS datagrams before and behind a handshake: the filter, the assembly of messages, hellos, the last flight.
//!
//! Holds: what passes the filter keeps to its limits; of it the assembly makes datagrams that the handshake library can
//! read at once, with whole messages only, and never more than it was given; a chosen SRTP profile was offered; the
//! last flight goes out no more often than its interval.
#![no_main]

use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use engine::security::dtls::record::{content_type, fragments, message_type, records};
use engine::security::dtls::{
    ASSEMBLED_LEN_MAX, Assembly, HandshakeFilter, LastFlight, MESSAGE_LEN_MAX, MESSAGE_SEQ_MAX, RESEND_INTERVAL,
    choose_profile,
};
use libfuzzer_sys::fuzz_target;

/// Limits of one connection that the filter promises.
const BYTES_MAX: usize = 64 * 1024;
const FRAGMENTS_MAX: usize = 128;

/// Bytes of a record's header, which the assembly writes for each message.
const RECORD_HEADER_LEN: usize = 13;

/// A datagram is a list of these.
#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    Bytes(&'a [u8]),
    Record {
        content: u8,
        epoch: u8,
        payload: &'a [u8],
    },
    Fragment(Fragment<'a>),
    /// Two fragments in one record.
    Pair(Fragment<'a>, Fragment<'a>),
    ClientHello {
        message_seq: u8,
        extensions: &'a [u8],
        cut: Option<u8>,
    },
}

#[derive(Arbitrary, Debug)]
struct Fragment<'a> {
    message: u8,
    message_len: u16,
    message_seq: u8,
    offset: u16,
    body: &'a [u8],
}

fuzz_target!(|datagrams: Vec<Vec<Piece<'_>>>| {
    let datagrams: Vec<Vec<u8>> = datagrams.iter().map(|pieces| pieces.iter().flat_map(encode).collect()).collect();
    handshake(&datagrams);
    after_handshake(&datagrams);
    for datagram in &datagrams {
        // A hello that nobody has looked at before.
        _ = choose_profile(datagram);
    }
});

fn handshake(datagrams: &[Vec<u8>]) {
    let mut filter = HandshakeFilter::new();
    let mut assembly = Assembly::new();
    let (mut taken, mut given) = (0, 0);
    for datagram in datagrams {
        let before = filter;
        if filter.check(datagram).is_err() {
            assert_eq!(filter, before, "a dropped datagram counts nothing");
            continue;
        }
        taken += datagram.len();
        assert!(taken <= BYTES_MAX);
        _ = assembly.take(datagram, |datagram| {
            given += datagram.len();
            check_assembled(&datagram);
        });
        assert!(given <= taken + FRAGMENTS_MAX * RECORD_HEADER_LEN);
    }
    if let Some(hello) = assembly.client_hello()
        && let Some(profile) = choose_profile(hello)
    {
        let id = match profile {
            engine::security::srtp::SrtpProfile::Aes128CmHmacSha1_80 => [0, 1],
            engine::security::srtp::SrtpProfile::AeadAes128Gcm => [0, 7],
            engine::security::srtp::SrtpProfile::AeadAes256Gcm => [0, 8],
        };
        assert!(hello.windows(2).any(|pair| pair == id), "{profile:?} was not offered");
    }
}

fn check_assembled(datagram: &[u8]) {
    assert!(!datagram.is_empty() && datagram.len() <= ASSEMBLED_LEN_MAX);
    let mut len = 0;
    for record in records(datagram) {
        let record = record.expect("whole records");
        len += record.bytes.len();
        if record.epoch != 0 || record.content != content_type::HANDSHAKE {
            continue;
        }
        let mut messages = 0;
        for fragment in fragments(record.payload) {
            let fragment = fragment.expect("whole messages");
            assert_eq!((fragment.offset, fragment.body.len()), (0, fragment.message_len));
            assert!(fragment.message_len <= MESSAGE_LEN_MAX && fragment.message_seq <= MESSAGE_SEQ_MAX);
            messages += 1;
        }
        assert_eq!(messages, 1);
    }
    assert_eq!(len, datagram.len());
}

fn after_handshake(datagrams: &[Vec<u8>]) {
    const STEP: Duration = Duration::from_millis(7);
    let mut now = Instant::now();
    let mut sent_at = now;
    let mut flight = LastFlight::new([1, 2, 3].into(), now);
    for datagram in datagrams {
        now += STEP;
        if let Some(bytes) = flight.handle_datagram(now, datagram) {
            assert_eq!(bytes, [1, 2, 3]);
            assert!(now - sent_at >= RESEND_INTERVAL);
            sent_at = now;
        }
    }
}

fn encode(piece: &Piece<'_>) -> Vec<u8> {
    match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        // Contents and epochs around those that there are.
        Piece::Record { content, epoch, payload } => record(19 + content % 6, u16::from(epoch % 3), payload),
        Piece::Fragment(fragment) => record(content_type::HANDSHAKE, 0, &encode_fragment(fragment)),
        Piece::Pair(one, other) => {
            record(content_type::HANDSHAKE, 0, &[encode_fragment(one), encode_fragment(other)].concat())
        }
        Piece::ClientHello { message_seq, extensions, cut } => client_hello(*message_seq, extensions, *cut),
    }
}

fn encode_fragment(fragment: &Fragment<'_>) -> Vec<u8> {
    let Fragment { message, message_len, message_seq, offset, body } = fragment;
    write_fragment(message % 24, usize::from(*message_len), *message_seq, usize::from(*offset), body)
}

fn record(content: u8, epoch: u16, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![content, 0xfe, 0xfd];
    record.extend(epoch.to_be_bytes());
    record.extend([0; 6]);
    record.extend((payload.len() as u16).to_be_bytes());
    record.extend(payload);
    record
}

fn write_fragment(message: u8, message_len: usize, message_seq: u8, offset: usize, body: &[u8]) -> Vec<u8> {
    let mut fragment = vec![message];
    fragment.extend(&(message_len as u32).to_be_bytes()[1..]);
    fragment.extend([0, message_seq % 10]);
    fragment.extend(&(offset as u32).to_be_bytes()[1..]);
    fragment.extend(&(body.len() as u32).to_be_bytes()[1..]);
    fragment.extend(body);
    fragment
}

/// A ClientHello with these extensions before one that offers all profiles, whole or cut in two.
fn client_hello(message_seq: u8, extensions: &[u8], cut: Option<u8>) -> Vec<u8> {
    const USE_SRTP: [u8; 13] = [0, 14, 0, 9, 0, 6, 0, 1, 0, 7, 0, 8, 0];
    let extensions = [extensions, &USE_SRTP].concat();
    let mut body = vec![0xfe, 0xfd];
    body.extend([0x5a; 32]);
    body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let cut = usize::from(cut.unwrap_or(u8::MAX)).clamp(1, body.len());
    let pieces = body.chunks(cut).enumerate();
    let written = pieces.flat_map(|(place, piece)| {
        let fragment = write_fragment(message_type::CLIENT_HELLO, body.len(), message_seq, place * cut, piece);
        record(content_type::HANDSHAKE, 0, &fragment)
    });
    written.collect()
}
