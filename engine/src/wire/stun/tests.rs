//! The published request, requests written by an independent hand, and everything that must be refused.

use std::net::{IpAddr, Ipv4Addr};

use aws_lc_rs::hmac;
use proptest::prelude::*;
use stun_rs::{DecoderContextBuilder, MessageDecoderBuilder};

use super::*;

/// Writes checks as a peer does, attribute by attribute, without the library that the code under test uses.
pub(crate) struct CheckWriter {
    message: Vec<u8>,
}

impl CheckWriter {
    pub(crate) fn new(transaction: u8) -> Self {
        let mut message = BINDING_REQUEST.to_be_bytes().to_vec();
        message.extend([0, 0]);
        message.extend(MAGIC_COOKIE);
        message.extend([transaction; 12]);
        Self { message }
    }

    /// A check as a browser writes it: the user name, an attribute of its own, the role and the priority.
    pub(crate) fn of_browser(transaction: u8, username: &str) -> Self {
        Self::new(transaction)
            .with(USERNAME, username.as_bytes())
            .with(0xc057, &[0, 1, 0, 10])
            .with(ICE_CONTROLLING, &[7; 8])
            .with(PRIORITY, &0x6e00_01ff_u32.to_be_bytes())
    }

    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.message.extend(kind.to_be_bytes());
        self.message.extend((value.len() as u16).to_be_bytes());
        self.message.extend(value);
        self.message.resize(self.message.len().next_multiple_of(4), 0);
        self.set_len(0);
        self
    }

    pub(crate) fn with_use_candidate(self) -> Self {
        self.with(USE_CANDIDATE, &[])
    }

    pub(crate) fn with_nomination(self, value: u32) -> Self {
        self.with(NOMINATION, &value.to_be_bytes())
    }

    pub(crate) fn with_controlled_role(self) -> Self {
        self.with(ICE_CONTROLLED, &[7; 8])
    }

    pub(crate) fn with_integrity(mut self, password: &str) -> Self {
        self.set_len(24);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let tag = hmac::sign(&key, &self.message);
        self.with(MESSAGE_INTEGRITY, tag.as_ref())
    }

    pub(crate) fn with_fingerprint(mut self) -> Self {
        self.set_len(8);
        let checksum = crc32(&self.message) ^ 0x5354_554e;
        self.with(FINGERPRINT, &checksum.to_be_bytes())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.message
    }

    pub(crate) fn sealed(self, password: &str) -> Vec<u8> {
        self.with_integrity(password).with_fingerprint().finish()
    }

    fn set_len(&mut self, more: usize) {
        let len = (self.message.len() - HEADER_LEN + more) as u16;
        self.message[2..4].copy_from_slice(&len.to_be_bytes());
    }
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// RFC 5769 section 2.1.
const SAMPLE_REQUEST: [u8; 108] = [
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf,
    0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65,
    0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51,
    0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20,
    0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2,
    0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
];
const SAMPLE_TRANSACTION: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

/// The password of RFC 5769, used all through.
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn key() -> IntegrityKey {
    IntegrityKey::new(PASSWORD).unwrap()
}

fn open(datagram: &[u8]) -> Result<BindingCheck, DropReason> {
    BindingRequest::parse(datagram)?.authenticate(&key())
}

#[test]
fn the_request_of_rfc_5769_is_read_and_authentic() {
    let request = BindingRequest::parse(&SAMPLE_REQUEST).unwrap();
    assert_eq!(request.local_ufrag(), b"evtj");
    let check = BindingCheck {
        transaction: SAMPLE_TRANSACTION,
        priority: Some(0x6e00_01ff),
        role: Some(IceRole::Controlled),
        use_candidate: false,
        nomination: None,
    };
    assert_eq!(request.authenticate(&key()), Ok(check));
    let other = IntegrityKey::new("VOkJxbRl1RmTxUk/WvJxBu").unwrap();
    assert_eq!(request.authenticate(&other), Err(DropReason::StunUnauthenticated));
}

#[test]
fn a_browser_s_check_is_read_with_all_that_it_says() {
    let datagram =
        CheckWriter::of_browser(9, "local:remote:more").with_use_candidate().with_nomination(5).sealed(PASSWORD);
    assert_eq!(BindingRequest::parse(&datagram).unwrap().local_ufrag(), b"local");
    let check = open(&datagram).unwrap();
    assert_eq!(check.transaction, TransactionId([9; 12]));
    assert_eq!((check.role, check.use_candidate, check.nomination), (Some(IceRole::Controlling), true, Some(5)));
}

#[test]
fn every_single_flipped_bit_is_refused() {
    for bit in 0..8 * SAMPLE_REQUEST.len() {
        let mut forged = SAMPLE_REQUEST;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&forged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_request_cut_anywhere_is_refused() {
    for len in 0..SAMPLE_REQUEST.len() {
        assert!(BindingRequest::parse(&SAMPLE_REQUEST[..len]).is_err());
        let mut cut = SAMPLE_REQUEST[..len].to_vec();
        if len >= HEADER_LEN {
            // The same cut with a length that agrees.
            cut[2..4].copy_from_slice(&((len - HEADER_LEN) as u16).to_be_bytes());
            assert!(open(&cut).is_err(), "{len}");
        }
    }
    let mut longer = SAMPLE_REQUEST.to_vec();
    longer.extend([0; 4]);
    assert_eq!(BindingRequest::parse(&longer).err(), Some(DropReason::StunMalformed));
}

#[test]
fn a_request_stripped_of_hash_or_checksum_or_user_name_is_refused() {
    let named = || CheckWriter::of_browser(1, "u:v");
    for (datagram, why) in [
        (named().finish(), "neither"),
        (named().with_fingerprint().finish(), "no hash"),
        (named().with_integrity(PASSWORD).finish(), "no checksum"),
        (CheckWriter::new(1).sealed(PASSWORD), "no user name"),
        (CheckWriter::new(1).with_integrity(PASSWORD).with(USERNAME, b"u:v").with_fingerprint().finish(), "late name"),
        (named().with_integrity("another password, of another").with_fingerprint().finish(), "another password"),
        (named().with_integrity(PASSWORD).with(FINGERPRINT, &[0; 4]).finish(), "wrong checksum"),
    ] {
        assert_eq!(open(&datagram), Err(DropReason::StunUnauthenticated), "{why}");
    }
}

#[test]
fn nothing_is_believed_that_stands_behind_the_hash() {
    let datagram = CheckWriter::of_browser(1, "u:v")
        .with_integrity(PASSWORD)
        .with_use_candidate()
        .with_nomination(9)
        .with_controlled_role()
        .with_fingerprint()
        .finish();
    let check = open(&datagram).unwrap();
    assert_eq!((check.role, check.use_candidate, check.nomination), (Some(IceRole::Controlling), false, None));
    let behind_checksum = CheckWriter::of_browser(1, "u:v").with_integrity(PASSWORD).with_fingerprint();
    let behind_checksum = behind_checksum.with_use_candidate().finish();
    assert_eq!(open(&behind_checksum), Err(DropReason::StunMalformed));
}

#[test]
fn the_first_of_two_attributes_of_a_kind_counts() {
    let datagram = CheckWriter::of_browser(1, "first:v").with(USERNAME, b"second:v").with_controlled_role();
    let datagram = datagram.sealed(PASSWORD);
    assert_eq!(BindingRequest::parse(&datagram).unwrap().local_ufrag(), b"first");
    assert_eq!(open(&datagram).unwrap().role, Some(IceRole::Controlling));
}

#[test]
fn what_is_no_binding_request_is_told_apart() {
    for (first, second) in [(0x01, 0x01), (0x01, 0x11), (0x00, 0x11), (0x00, 0x03)] {
        let mut other = SAMPLE_REQUEST;
        (other[0], other[1]) = (first, second);
        assert_eq!(BindingRequest::parse(&other).err(), Some(DropReason::StunUnexpected));
    }
    for value_len in [0, 1, 3, 5, 8] {
        for kind in [PRIORITY, NOMINATION, ICE_CONTROLLED, ICE_CONTROLLING, USE_CANDIDATE] {
            let right_len = match kind {
                PRIORITY | NOMINATION => 4,
                USE_CANDIDATE => 0,
                _ => 8,
            };
            let datagram = CheckWriter::new(1).with(USERNAME, b"u:v").with(kind, &[0; 8][..value_len]).sealed(PASSWORD);
            let expected = if value_len == right_len { None } else { Some(DropReason::StunMalformed) };
            assert_eq!(open(&datagram).err(), expected, "{kind:#x} {value_len}");
        }
    }
    let long = CheckWriter::new(1).with(USERNAME, b"u:v").with(0x8022, &[b'x'; REQUEST_LEN_MAX]).sealed(PASSWORD);
    assert_eq!(open(&long), Err(DropReason::StunMalformed));
    let nameless = CheckWriter::new(1).with(USERNAME, b"no colon").sealed(PASSWORD);
    assert_eq!(BindingRequest::parse(&nameless).unwrap().local_ufrag(), b"");
}

fn decode(answer: &[u8]) -> StunMessage {
    let context = DecoderContextBuilder::default().with_key(key().0).with_validation().build();
    MessageDecoderBuilder::default().with_context(context).build().decode(answer).unwrap().0
}

#[test]
fn a_success_answer_tells_the_source_and_is_authentic() {
    let source = SocketAddr::from(([192, 0, 2, 1], 32_853));
    let mut room = [0; ANSWER_LEN_MAX];
    let len = write_success(&mut room, SAMPLE_TRANSACTION, source, &key()).unwrap();
    let answer = &room[..len];
    // The address of RFC 5769 section 2.2, and the order: address, hash, checksum.
    assert_eq!(answer[..4], [0x01, 0x01, 0x00, 12 + 24 + 8]);
    assert_eq!(answer[8..20], SAMPLE_TRANSACTION.0);
    assert_eq!(answer[20..32], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
    assert_eq!((answer[33], answer[35]), (MESSAGE_INTEGRITY as u8, 20));
    let mut rewritten = CheckWriter { message: answer[..32].to_vec() };
    rewritten.set_len(0);
    assert_eq!(rewritten.sealed(PASSWORD), answer);

    let mapped = SocketAddr::new(IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped()), 32_853);
    let mut again = [0; ANSWER_LEN_MAX];
    assert_eq!(write_success(&mut again, SAMPLE_TRANSACTION, mapped, &key()), Some(len));
    assert_eq!(again, room);
}

#[test]
fn every_answer_fits_its_room_and_none_is_written_into_less() {
    let source: SocketAddr = "[2001:db8::1]:40000".parse().unwrap();
    let mut room = [0; ANSWER_LEN_MAX];
    let len = write_success(&mut room, SAMPLE_TRANSACTION, source, &key()).unwrap();
    let answer = decode(&room[..len]);
    let address = answer.get::<XorMappedAddress>().unwrap().as_xor_mapped_address().unwrap();
    assert_eq!(address.socket_address(), &source);
    assert_eq!(write_success(&mut room[..ANSWER_LEN_MAX - 1], SAMPLE_TRANSACTION, source, &key()), None);

    let len = write_role_conflict(&mut room, SAMPLE_TRANSACTION, &key()).unwrap();
    let answer = decode(&room[..len]);
    assert_eq!(answer.class(), MessageClass::ErrorResponse);
    assert_eq!(answer.get::<ErrorCode>().unwrap().as_error_code().unwrap().error_code().error_code(), 487);
    assert!(answer.get::<MessageIntegrity>().is_some() && answer.get::<Fingerprint>().is_some());
    assert_eq!(write_role_conflict(&mut room[..ANSWER_LEN_MAX - 1], SAMPLE_TRANSACTION, &key()), None);
}

proptest! {
    #[test]
    fn random_bytes_are_never_authentic(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
        prop_assert!(open(&bytes).is_err());
    }

    #[test]
    fn random_attributes_behind_a_right_header_are_never_authentic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        kinds in proptest::collection::vec((0usize..8, 0u8..24), 0..12),
    ) {
        let mut writer = CheckWriter::new(3);
        for (kind, len) in kinds {
            let kinds = [USERNAME, MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE, FINGERPRINT, ICE_CONTROLLED, NOMINATION, 1];
            bytes.resize(24, 0);
            writer = writer.with(kinds[kind], &bytes[..usize::from(len)]);
        }
        prop_assert!(open(&writer.finish()).is_err());
    }
}
