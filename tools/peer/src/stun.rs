//! STUN binding requests and their answers (RFC 8489, RFC 8445), well-formed or forged.

use std::net::SocketAddr;

use stun_rs::attributes::ice::{IceControlled, IceControlling, Priority, UseCandidate};
use stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, UserName, XorMappedAddress};
use stun_rs::{
    DecoderContextBuilder, HMACKey, MessageClass, MessageDecoderBuilder, MessageEncoderBuilder, StunMessageBuilder,
    TransactionId, methods,
};

use crate::PeerError;

/// Our checks and answers are far smaller; the bound is that of a STUN message over an unknown path (RFC 8489 6.1).
const MESSAGE_LEN_MAX: usize = 548;
/// The priority of a peer-reflexive candidate of the first component (RFC 8445 5.1.2).
const PRIORITY: u32 = 110 << 24 | 65_535 << 8 | 255;

/// A connectivity check. As made by [`BindingRequest::new`] it is a good, nominating one; each field may be spoilt.
#[derive(Clone, Debug)]
pub struct BindingRequest {
    /// The transaction id.
    pub transaction_id: [u8; 12],
    /// USERNAME: the other side's name fragment, a colon, one's own.
    pub username: String,
    /// The password that MESSAGE-INTEGRITY is made with; `None` leaves the attribute out.
    pub password: Option<String>,
    /// FINGERPRINT is there.
    pub is_fingerprinted: bool,
    /// USE-CANDIDATE is there.
    pub is_nominating: bool,
    /// The agent claims the controlling role; else the controlled one.
    pub is_controlling: bool,
    /// The tie-breaker of the claimed role.
    pub tie_breaker: u64,
}

impl BindingRequest {
    /// A nominating check with a fresh transaction id, from the agent named `local_ufrag`, to one that is named
    /// `remote_ufrag` and holds `remote_password`.
    pub fn new(local_ufrag: &str, remote_ufrag: &str, remote_password: &str) -> Self {
        Self {
            transaction_id: rand::random(),
            username: format!("{remote_ufrag}:{local_ufrag}"),
            password: Some(remote_password.into()),
            is_fingerprinted: true,
            is_nominating: true,
            is_controlling: true,
            tie_breaker: rand::random(),
        }
    }

    /// The request's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, PeerError> {
        let username = UserName::new(&self.username).map_err(|error| PeerError::Packet(error.to_string()))?;
        let mut builder = StunMessageBuilder::new(methods::BINDING, MessageClass::Request)
            .with_transaction_id(TransactionId::from(self.transaction_id))
            .with_attribute(username)
            .with_attribute(Priority::from(PRIORITY));
        builder = match self.is_controlling {
            true => builder.with_attribute(IceControlling::from(self.tie_breaker)),
            false => builder.with_attribute(IceControlled::from(self.tie_breaker)),
        };
        if self.is_nominating {
            builder = builder.with_attribute(UseCandidate::default());
        }
        finish(builder, self.password.as_deref(), self.is_fingerprinted)
    }
}

/// The success answer to the request `transaction_id` that came from `source`.
pub(crate) fn encode_answer(
    transaction_id: [u8; 12],
    source: SocketAddr,
    password: &str,
) -> Result<Vec<u8>, PeerError> {
    let builder = StunMessageBuilder::new(methods::BINDING, MessageClass::SuccessResponse)
        .with_transaction_id(TransactionId::from(transaction_id))
        .with_attribute(XorMappedAddress::from(source));
    finish(builder, Some(password), true)
}

/// What an authenticated message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StunRead {
    /// A check for us.
    Request { transaction_id: [u8; 12], is_nominating: bool },
    /// An answer to a check of ours.
    Answer { transaction_id: [u8; 12], mapped: SocketAddr },
    /// An error answer, for example of a role conflict.
    Error { transaction_id: [u8; 12] },
}

/// Reads a message that is authenticated under `password`; `None` where it is anything else.
pub(crate) fn read(datagram: &[u8], password: &str) -> Option<StunRead> {
    let key = HMACKey::new_short_term(password).ok()?;
    let context = DecoderContextBuilder::default().with_key(key).with_validation().build();
    let decoder = MessageDecoderBuilder::default().with_context(context).build();
    let (message, _) = decoder.decode(datagram).ok()?;
    // The decoder takes a message without these two attributes for valid.
    message.get::<MessageIntegrity>()?;
    message.get::<Fingerprint>()?;
    let transaction_id = *message.transaction_id().as_bytes();
    match message.class() {
        MessageClass::Request => {
            Some(StunRead::Request { transaction_id, is_nominating: message.get::<UseCandidate>().is_some() })
        }
        MessageClass::SuccessResponse => {
            let mapped = *message.get::<XorMappedAddress>()?.as_xor_mapped_address().ok()?.socket_address();
            Some(StunRead::Answer { transaction_id, mapped })
        }
        MessageClass::ErrorResponse => Some(StunRead::Error { transaction_id }),
        MessageClass::Indication => None,
    }
}

/// Adds what authenticates a message, and writes it.
fn finish(
    mut builder: StunMessageBuilder,
    password: Option<&str>,
    is_fingerprinted: bool,
) -> Result<Vec<u8>, PeerError> {
    if let Some(password) = password {
        let key = HMACKey::new_short_term(password).map_err(|error| PeerError::Packet(error.to_string()))?;
        builder = builder.with_attribute(MessageIntegrity::new(key));
    }
    if is_fingerprinted {
        builder = builder.with_attribute(Fingerprint::default());
    }
    let mut bytes = vec![0; MESSAGE_LEN_MAX];
    let len = MessageEncoderBuilder::default()
        .build()
        .encode(&mut bytes, &builder.build())
        .map_err(|error| PeerError::Packet(error.to_string()))?;
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "a password of enough length";

    #[test]
    fn a_check_is_read_only_whole_and_under_its_own_password() {
        let request = BindingRequest::new("mine", "theirs", PASSWORD);
        let good = request.encode().expect("a good request can be written");
        let read_back = StunRead::Request { transaction_id: request.transaction_id, is_nominating: true };
        assert_eq!(read(&good, PASSWORD), Some(read_back));
        assert_eq!(read(&good, "another password of length"), None);
        for len in 0..good.len() {
            assert_eq!(read(&good[..len], PASSWORD), None);
        }
        for spoilt in [
            BindingRequest { password: None, ..request.clone() },
            BindingRequest { is_fingerprinted: false, ..request.clone() },
            BindingRequest { password: Some("guessed by an attacker".into()), ..request },
        ] {
            assert_eq!(read(&spoilt.encode().expect("a spoilt request can be written"), PASSWORD), None);
        }
    }

    #[test]
    fn an_answer_tells_the_address_that_the_check_came_from() {
        for source in ["192.0.2.7:4000", "[2001:db8::7]:4000"] {
            let source: SocketAddr = source.parse().expect("an address");
            let answer = encode_answer([3; 12], source, PASSWORD).expect("an answer can be written");
            let read_back = StunRead::Answer { transaction_id: [3; 12], mapped: source };
            assert_eq!(read(&answer, PASSWORD), Some(read_back));
        }
    }
}
