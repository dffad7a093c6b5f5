//! STUN binding requests, as ICE sends them, and the answers to them (RFC 8489, RFC 8445 section 7).
//!
//! [`BindingRequest::parse`] looks at a datagram's shape and finds the user name fragment that names the transport, without
//! any cryptography. What the request asks for is told only by [`BindingRequest::authenticate`], so nothing unauthenticated
//! can be acted on.
//!
//! Hashes and answers are made by stun-rs, which allocates: checks come a few times a second from a peer, and
//! what a stranger sends is refused before.
//!
//! Not here: which address a check validates or nominates; answers to requests that are not authentic, which get none.

use std::net::SocketAddr;

use shard_protocol::stats::DropReason;
use stun_rs::attributes::stun::{ErrorCode, Fingerprint, MessageIntegrity, XorMappedAddress};
use stun_rs::methods::BINDING;
use stun_rs::{HMACKey, MessageClass, MessageEncoderBuilder, StunMessage, StunMessageBuilder};

/// Bytes of a message's header (RFC 8489 section 5).
pub const HEADER_LEN: usize = 20;

/// Bytes of the longest request that is read: a request keeps below the least path MTU of IPv6, 1280 with its headers (RFC
/// 8489 section 6.1).
pub const REQUEST_LEN_MAX: usize = 1280 - 40 - 8;

/// Room that every answer fits in: a header, an address of IPv6 or the error's code and words (24 bytes both), the hash
/// and the checksum.
pub const ANSWER_LEN_MAX: usize = HEADER_LEN + 24 + 24 + 8;

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;

/// Bytes of an attribute's type and length (RFC 8489 section 14).
const ATTRIBUTE_HEADER_LEN: usize = 4;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;
/// Of draft-thatcher-ice-renomination, as browsers number it.
const NOMINATION: u16 = 0xc001;

/// Names a request and its answer (RFC 8489 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// Which part the sender of a check says it has (RFC 8445 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceRole {
    /// It nominates.
    Controlling,
    /// It waits for a nomination.
    Controlled,
}

/// An ICE password, ready for hashing.
#[derive(Clone)]
pub struct IntegrityKey(HMACKey);

impl IntegrityKey {
    /// Takes a password; `None` where it has characters that none may have (RFC 8265 section 4.2).
    pub fn new(password: &str) -> Option<Self> {
        HMACKey::new_short_term(password).ok().map(Self)
    }
}

/// What an authenticated connectivity check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingCheck {
    /// Names the request.
    pub transaction: TransactionId,
    /// The priority that a peer-reflexive candidate would get, where told.
    pub priority: Option<u32>,
    /// The sender's role, where told.
    pub role: Option<IceRole>,
    /// Whether USE-CANDIDATE is there.
    pub use_candidate: bool,
    /// The value of NOMINATION, where told; of two, the higher one is the later.
    pub nomination: Option<u32>,
}

/// A binding request that is well formed and carries what authenticates it; nobody has checked that yet.
#[derive(Clone, Copy, Debug)]
pub struct BindingRequest<'a> {
    datagram: &'a [u8],
    username: &'a [u8],
    /// Where MESSAGE-INTEGRITY begins, and its value.
    integrity: (usize, &'a [u8; 20]),
    /// Where FINGERPRINT begins, and its value.
    fingerprint: (usize, &'a [u8; 4]),
    check: BindingCheck,
}

impl<'a> BindingRequest<'a> {
    /// Reads a datagram, the cheapest rejection first. Attributes that are not known are passed over; of those behind
    /// MESSAGE-INTEGRITY only FINGERPRINT counts (RFC 8489 section 14.5), and it is the last.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, DropReason> {
        let transaction = parse_header(datagram)?;
        let mut found = Attributes::default();
        let mut at = HEADER_LEN;
        while at < datagram.len() {
            let (kind, value) = attribute(datagram, at).ok_or(DropReason::StunMalformed)?;
            if found.fingerprint.is_some() {
                return Err(DropReason::StunMalformed);
            }
            found.take(kind, at, value).ok_or(DropReason::StunMalformed)?;
            at += ATTRIBUTE_HEADER_LEN + value.len().next_multiple_of(4);
        }
        let (Some(username), Some(integrity), Some(fingerprint)) = (found.username, found.integrity, found.fingerprint)
        else {
            return Err(DropReason::StunUnauthenticated);
        };
        let check = BindingCheck {
            transaction,
            priority: found.priority,
            role: found.role,
            use_candidate: found.use_candidate,
            nomination: found.nomination,
        };
        Ok(Self { datagram, username, integrity, fingerprint, check })
    }

    /// The receiver's user name fragment: what stands before the colon (RFC 8445 section 7.2.2). Empty where there is no
    /// colon.
    pub fn local_ufrag(&self) -> &'a [u8] {
        match self.username.iter().position(|&byte| byte == b':') {
            Some(colon) => &self.username[..colon],
            None => &[],
        }
    }

    /// Checks FINGERPRINT, then MESSAGE-INTEGRITY with the receiver's password, and tells what the check says.
    pub fn authenticate(&self, key: &IntegrityKey) -> Result<BindingCheck, DropReason> {
        let mut input = [0; REQUEST_LEN_MAX];
        let (at, value) = self.fingerprint;
        if !Fingerprint::from(value).validate(self.hashed(at, value.len(), &mut input)) {
            return Err(DropReason::StunUnauthenticated);
        }
        let (at, value) = self.integrity;
        if !MessageIntegrity::from(value).validate(self.hashed(at, value.len(), &mut input), &key.0) {
            return Err(DropReason::StunUnauthenticated);
        }
        Ok(self.check)
    }

    /// What a hash in the attribute at `at` covers: the message before it, with a length as if it were the last (RFC 8489
    /// sections 14.5 and 14.7).
    fn hashed<'b>(&self, at: usize, value_len: usize, input: &'b mut [u8; REQUEST_LEN_MAX]) -> &'b [u8] {
        let input = &mut input[..at];
        input.copy_from_slice(&self.datagram[..at]);
        let len = (at + ATTRIBUTE_HEADER_LEN + value_len - HEADER_LEN) as u16;
        input[2..4].copy_from_slice(&len.to_be_bytes());
        input
    }
}

/// Writes the success answer to a check that came from `source` (RFC 8445 section 7.3.1), and returns its length; `None`
/// where `answer` has less than [`ANSWER_LEN_MAX`] bytes.
pub fn write_success(
    answer: &mut [u8],
    transaction: TransactionId,
    source: SocketAddr,
    key: &IntegrityKey,
) -> Option<usize> {
    // A socket that serves both families sees an IPv4 peer as a mapped IPv6 address, which the peer does not know.
    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
    let message = StunMessageBuilder::new(BINDING, MessageClass::SuccessResponse)
        .with_transaction_id(transaction.0.into())
        .with_attribute(XorMappedAddress::from(source))
        .with_attribute(MessageIntegrity::new(key.0.clone()))
        .with_attribute(Fingerprint::default())
        .build();
    write(answer, &message)
}

/// Writes the answer to a check whose sender claims the service's own role (RFC 8445 section 7.3.1.1), and returns its
/// length; `None` where `answer` has less than [`ANSWER_LEN_MAX`] bytes.
pub fn write_role_conflict(answer: &mut [u8], transaction: TransactionId, key: &IntegrityKey) -> Option<usize> {
    let error = stun_rs::ErrorCode::new(487, "Role Conflict").ok()?;
    let message = StunMessageBuilder::new(BINDING, MessageClass::ErrorResponse)
        .with_transaction_id(transaction.0.into())
        .with_attribute(ErrorCode::new(error))
        .with_attribute(MessageIntegrity::new(key.0.clone()))
        .with_attribute(Fingerprint::default())
        .build();
    write(answer, &message)
}

fn write(answer: &mut [u8], message: &StunMessage) -> Option<usize> {
    let room = answer.get_mut(..ANSWER_LEN_MAX)?;
    MessageEncoderBuilder::default().build().encode(room, message).ok()
}

/// Reads the header of a binding request that fills its datagram.
fn parse_header(datagram: &[u8]) -> Result<TransactionId, DropReason> {
    let (header, attributes) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(DropReason::StunMalformed)?;
    if datagram.len() > REQUEST_LEN_MAX || header[4..8] != MAGIC_COOKIE {
        return Err(DropReason::StunMalformed);
    }
    if u16::from_be_bytes([header[0], header[1]]) != BINDING_REQUEST {
        return Err(DropReason::StunUnexpected);
    }
    if usize::from(u16::from_be_bytes([header[2], header[3]])) != attributes.len() || attributes.len() % 4 != 0 {
        return Err(DropReason::StunMalformed);
    }
    let mut transaction = [0; 12];
    transaction.copy_from_slice(&header[8..]);
    Ok(TransactionId(transaction))
}

/// Type and value of the attribute at `at`; `None` where it does not end within the datagram.
fn attribute(datagram: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let &[kind_high, kind_low, len_high, len_low] = datagram.get(at..)?.first_chunk::<ATTRIBUTE_HEADER_LEN>()?;
    let start = at + ATTRIBUTE_HEADER_LEN;
    let value = datagram.get(start..start + usize::from(u16::from_be_bytes([len_high, len_low])))?;
    Some((u16::from_be_bytes([kind_high, kind_low]), value))
}

/// The attributes that matter, as far as the walk has come; of several of a kind the first counts (RFC 8489 section 14).
#[derive(Default)]
struct Attributes<'a> {
    username: Option<&'a [u8]>,
    integrity: Option<(usize, &'a [u8; 20])>,
    fingerprint: Option<(usize, &'a [u8; 4])>,
    priority: Option<u32>,
    role: Option<IceRole>,
    use_candidate: bool,
    nomination: Option<u32>,
}

impl<'a> Attributes<'a> {
    /// Takes the attribute at `at` if it counts; `None` where its value has a length that its kind does not allow.
    fn take(&mut self, kind: u16, at: usize, value: &'a [u8]) -> Option<()> {
        if kind == FINGERPRINT {
            self.fingerprint = Some((at, value.try_into().ok()?));
            return Some(());
        }
        if self.integrity.is_some() {
            return Some(());
        }
        match kind {
            MESSAGE_INTEGRITY => self.integrity = Some((at, value.try_into().ok()?)),
            USERNAME => _ = self.username.get_or_insert(value),
            PRIORITY => _ = self.priority.get_or_insert(word(value)?),
            NOMINATION => _ = self.nomination.get_or_insert(word(value)?),
            ICE_CONTROLLING => _ = self.role.get_or_insert(tie_breaker(value).map(|()| IceRole::Controlling)?),
            ICE_CONTROLLED => _ = self.role.get_or_insert(tie_breaker(value).map(|()| IceRole::Controlled)?),
            USE_CANDIDATE if value.is_empty() => self.use_candidate = true,
            USE_CANDIDATE => return None,
            _ => {}
        }
        Some(())
    }
}

fn word(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// A tie-breaker is of no use to the one side whose role is fixed, but it has 8 bytes (RFC 8445 section 16.1).
fn tie_breaker(value: &[u8]) -> Option<()> {
    (value.len() == 8).then_some(())
}

#[cfg(test)]
pub(crate) mod tests;
