//! The ICE agent of one transport: a full, controlling one, or a lite one to answer it.
//!
//! A full agent here has one local and one remote candidate, so its whole work is to check that pair until it answers,
//! nominating it at once, and to go on checking it for consent (RFC 7675).

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::PeerError;
use crate::stun::{BindingRequest, StunRead, encode_answer, read};

/// Checks whose answers are still waited for; more than go out in the longest round trip that a test makes.
const PENDING_MAX: usize = 64;

/// The name fragment and the password of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCredentials {
    /// The user name fragment.
    pub ufrag: String,
    /// The password.
    pub password: String,
}

impl IceCredentials {
    /// Random credentials, of the lengths that RFC 8445 5.3 asks for.
    pub fn random() -> Self {
        Self { ufrag: format!("{:08x}", rand::random::<u32>()), password: format!("{:032x}", rand::random::<u128>()) }
    }
}

/// How the agent takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceMode {
    /// A full agent that checks and nominates.
    Controlling,
    /// A lite agent that only answers, and sends to where the last nominating check came from.
    Lite,
}

/// What a STUN datagram led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IceOutcome {
    /// Nothing: not authenticated, or an answer that nobody waits for.
    Ignored,
    /// A check of the other side; the answer goes back to where it came from.
    Checked { answer: Vec<u8>, is_nominating: bool },
    /// One of our checks was answered.
    Confirmed,
}

pub(crate) struct IceAgent {
    local: IceCredentials,
    remote: IceCredentials,
    tie_breaker: u64,
    pending: VecDeque<[u8; 12]>,
}

impl IceAgent {
    pub(crate) fn new(local: IceCredentials, remote: IceCredentials) -> Self {
        Self { local, remote, tie_breaker: rand::random(), pending: VecDeque::with_capacity(PENDING_MAX) }
    }

    /// A check as this agent would send it next, not noted as sent.
    pub(crate) fn request(&self) -> BindingRequest {
        let request = BindingRequest::new(&self.local.ufrag, &self.remote.ufrag, &self.remote.password);
        BindingRequest { tie_breaker: self.tie_breaker, ..request }
    }

    /// The next check to send.
    pub(crate) fn poll_check(&mut self) -> Result<Vec<u8>, PeerError> {
        let request = self.request();
        if self.pending.len() == PENDING_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back(request.transaction_id);
        request.encode()
    }

    /// Takes a datagram of the STUN class that came from `source`.
    pub(crate) fn handle_datagram(&mut self, datagram: &[u8], source: SocketAddr) -> IceOutcome {
        // Requests are authenticated by the receiver's password, answers by that of the side that answers.
        let is_request = datagram.first().is_some_and(|byte| byte & 1 == 0);
        let password = if is_request { &self.local.password } else { &self.remote.password };
        match read(datagram, password) {
            Some(StunRead::Request { transaction_id, is_nominating }) => {
                match encode_answer(transaction_id, source, &self.local.password) {
                    Ok(answer) => IceOutcome::Checked { answer, is_nominating },
                    Err(_) => IceOutcome::Ignored,
                }
            }
            Some(StunRead::Answer { transaction_id, .. }) => {
                match self.pending.iter().position(|pending| *pending == transaction_id) {
                    Some(place) => {
                        self.pending.drain(..=place);
                        IceOutcome::Confirmed
                    }
                    None => IceOutcome::Ignored,
                }
            }
            Some(StunRead::Error { .. }) | None => IceOutcome::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_confirmed_once_and_only_by_its_own_answer() {
        let (mine, theirs) = (IceCredentials::random(), IceCredentials::random());
        let source: SocketAddr = "192.0.2.7:4000".parse().expect("an address");
        let mut controlling = IceAgent::new(mine.clone(), theirs.clone());
        let mut lite = IceAgent::new(theirs, mine);

        let check = controlling.poll_check().expect("a check can be written");
        let IceOutcome::Checked { answer, is_nominating } = lite.handle_datagram(&check, source) else {
            panic!("the check was not taken");
        };
        assert!(is_nominating);
        assert_eq!(controlling.handle_datagram(&answer, source), IceOutcome::Confirmed);
        assert_eq!(controlling.handle_datagram(&answer, source), IceOutcome::Ignored);
    }
}
