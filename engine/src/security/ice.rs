//! The ICE-lite agent of one transport (RFC 8445 section 2.5): it answers connectivity checks and sends none.
//!
//! A check that is authentic makes its addresses valid: from then on the peer's other packets are taken from there. Which of
//! the valid addresses the service sends to, the peer decides by nominating; until it has, the first one serves. Consent to
//! send lasts as long as checks keep coming (RFC 7675).
//!
//! [`IceAgent::handle_check`] for every binding request that names this agent's fragment, [`IceAgent::handle_timeout`] at
//! [`IceAgent::poll_timeout`].
//!
//! Not here: finding the agent by its fragment; the table of addresses of a whole shard, which
//! [`Checked`] keeps in step.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use shard_protocol::event::IceState;
use shard_protocol::limits::{ICE_PASSWORD_LEN_MAX, ICE_UFRAG_LEN_MAX};
use shard_protocol::stats::DropReason;
use shard_protocol::tables::IceCredentials;

use crate::wire::stun::{self, BindingCheck, BindingRequest, IceRole, IntegrityKey, TransactionId};

/// Addresses of one peer that are valid at a time. A machine with a cable, Wi-Fi, a tunnel and a relay, each with both
/// families, has eight; twice that lets it move before the old ones are forgotten.
pub const TUPLES_MAX: usize = 16;

/// Transaction ids that are remembered against replay. At the pace of a connected browser, a check every 2.5 s on each of
/// two pairs, this spans more than a minute.
pub const TRANSACTIONS_MAX: usize = 64;

/// How long consent lasts after a check (RFC 7675 section 5.1).
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a peer's packets come from, and the address of this host that they go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressTuple {
    /// The peer's address.
    pub remote: SocketAddr,
    /// This host's address; the port is that of the shard's socket.
    pub local: IpAddr,
}

/// What came of an accepted check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Bytes of the answer, to be sent back the way that the check came.
    pub answer_len: usize,
    /// The tuple that this check has made valid, if it was not before.
    pub validated: Option<AddressTuple>,
    /// The tuple that had to go for it: from now on it is not valid.
    pub evicted: Option<AddressTuple>,
    /// Whether [`IceAgent::selected`] is another tuple than before.
    pub selected_changed: bool,
    /// Whether [`IceAgent::state`] is another than before.
    pub state_changed: bool,
}

/// Why no agent could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ICE user name fragment or password that RFC 8445 section 5.3 does not allow")]
pub struct CredentialsError;

/// The agent.
pub struct IceAgent {
    ufrag: String,
    key: IntegrityKey,
    state: IceState,
    /// At most [`TUPLES_MAX`].
    tuples: Vec<ValidTuple>,
    selected: Option<AddressTuple>,
    /// The highest NOMINATION accepted; 0 before any.
    nomination: u32,
    /// When consent runs out, while it is there.
    consent_until: Option<Instant>,
    transactions: TransactionRing,
}

#[derive(Clone, Copy)]
struct ValidTuple {
    tuple: AddressTuple,
    heard_at: Instant,
}

impl IceAgent {
    /// Makes an agent that has heard nothing yet.
    pub fn new(credentials: &IceCredentials) -> Result<Self, CredentialsError> {
        let IceCredentials { ufrag, password } = credentials;
        let is_allowed = is_ice_chars(ufrag)
            && is_ice_chars(password)
            && (UFRAG_LEN_MIN..=ICE_UFRAG_LEN_MAX).contains(&ufrag.len())
            && (PASSWORD_LEN_MIN..=ICE_PASSWORD_LEN_MAX).contains(&password.len());
        if !is_allowed {
            return Err(CredentialsError);
        }
        Ok(Self {
            ufrag: ufrag.clone(),
            key: IntegrityKey::new(password).ok_or(CredentialsError)?,
            state: IceState::New,
            tuples: Vec::new(),
            selected: None,
            nomination: 0,
            consent_until: None,
            transactions: TransactionRing::default(),
        })
    }

    /// The service's user name fragment, by which a check finds this agent.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// How far ICE has come.
    pub fn state(&self) -> IceState {
        self.state
    }

    /// Where to send; `None` before the first check and without consent.
    pub fn selected(&self) -> Option<AddressTuple> {
        self.selected
    }

    /// All valid tuples.
    pub fn tuples(&self) -> impl Iterator<Item = AddressTuple> {
        self.tuples.iter().map(|valid| valid.tuple)
    }

    /// Takes a binding request that came from `source` to `local`, and writes the answer to `answer`, which has
    /// [`stun::ANSWER_LEN_MAX`] bytes of room.
    ///
    /// On an error nothing has changed and there is no answer. A repeated request is answered again and changes nothing; one
    /// whose transaction id was used from another address is a replay, and is dropped.
    pub fn handle_check(
        &mut self,
        now: Instant,
        request: &BindingRequest<'_>,
        source: SocketAddr,
        local: IpAddr,
        answer: &mut [u8],
    ) -> Result<Checked, DropReason> {
        if request.local_ufrag() != self.ufrag.as_bytes() {
            return Err(DropReason::StunUnknownUser);
        }
        let check = request.authenticate(&self.key)?;
        let freshness = self.transactions.take(check.transaction, source);
        if freshness == Freshness::Replayed {
            return Err(DropReason::StunReplayed);
        }
        // The role of a lite agent is fixed, so it is the peer that has to change (RFC 8445 section 6.1.1).
        if check.role == Some(IceRole::Controlled) {
            let answer_len = stun::write_role_conflict(answer, check.transaction, &self.key);
            return Ok(Checked::answered(answer_len.unwrap_or(0)));
        }
        let answer_len = stun::write_success(answer, check.transaction, source, &self.key);
        let mut checked = Checked::answered(answer_len.unwrap_or(0));
        // Consent is given by fresh checks alone (RFC 7675 section 5.1): a repeated one may come from anybody.
        if freshness == Freshness::Fresh {
            self.on_fresh_check(now, &check, AddressTuple { remote: source, local }, &mut checked);
        }
        Ok(checked)
    }

    /// When consent runs out; `None` while there is none.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.consent_until
    }

    /// Lets go of the selected tuple if consent has run out, and says whether the state changed. The valid tuples stay, and
    /// the next check brings the agent back.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.consent_until.is_none_or(|until| now < until) {
            return false;
        }
        self.consent_until = None;
        self.selected = None;
        self.on_state_input(StateInput::ConsentLost)
    }

    /// Lets go of the peer's address `remote` if the peer has left it: it is not selected, and no check has come from it for
    /// [`CONSENT_TIMEOUT`]. Says whether it is free.
    pub fn try_release(&mut self, now: Instant, remote: SocketAddr) -> bool {
        let is_left = |valid: &ValidTuple| {
            Some(valid.tuple) != self.selected && now.saturating_duration_since(valid.heard_at) >= CONSENT_TIMEOUT
        };
        let is_free = self.tuples.iter().filter(|valid| valid.tuple.remote == remote).all(is_left);
        if is_free {
            self.tuples.retain(|valid| valid.tuple.remote != remote);
        }
        is_free
    }

    /// Forgets all valid tuples and gives them.
    pub fn forget_tuples(&mut self) -> Vec<AddressTuple> {
        std::mem::take(&mut self.tuples).into_iter().map(|valid| valid.tuple).collect()
    }

    fn on_fresh_check(&mut self, now: Instant, check: &BindingCheck, tuple: AddressTuple, checked: &mut Checked) {
        let is_nominated = match check.nomination {
            // With renomination only a later word moves the selected pair.
            Some(value) => value > self.nomination,
            None => check.use_candidate,
        };
        if is_nominated && let Some(value) = check.nomination {
            self.nomination = value;
        }
        let before = self.selected;
        if is_nominated || self.selected.is_none() {
            self.selected = Some(tuple);
        }
        checked.selected_changed = self.selected != before;
        self.consent_until = Some(now + CONSENT_TIMEOUT);
        self.on_tuple_heard(now, tuple, checked);
        let input = if is_nominated { StateInput::Nominated } else { StateInput::Checked };
        checked.state_changed = self.on_state_input(input);
    }

    /// Makes `tuple` valid; when there are too many, the one heard longest ago goes, but never the selected one.
    fn on_tuple_heard(&mut self, now: Instant, tuple: AddressTuple, checked: &mut Checked) {
        if let Some(valid) = self.tuples.iter_mut().find(|valid| valid.tuple == tuple) {
            valid.heard_at = now;
            return;
        }
        checked.validated = Some(tuple);
        let valid = ValidTuple { tuple, heard_at: now };
        if self.tuples.len() < TUPLES_MAX {
            self.tuples.reserve_exact(1);
            self.tuples.push(valid);
            return;
        }
        let selected = self.selected;
        let others = self.tuples.iter_mut().filter(|valid| Some(valid.tuple) != selected);
        if let Some(oldest) = others.min_by_key(|valid| valid.heard_at) {
            checked.evicted = Some(oldest.tuple);
            *oldest = valid;
        }
    }

    fn on_state_input(&mut self, input: StateInput) -> bool {
        let next = next_state(self.state, input);
        debug_assert!(next.is_some(), "{input:?} in {:?}", self.state);
        let changed = next.is_some_and(|next| next != self.state);
        self.state = next.unwrap_or(self.state);
        changed
    }
}

impl Checked {
    fn answered(answer_len: usize) -> Self {
        Self { answer_len, validated: None, evicted: None, selected_changed: false, state_changed: false }
    }
}

/// The shortest fragment and password (RFC 8445 section 5.3).
const UFRAG_LEN_MIN: usize = 4;
const PASSWORD_LEN_MIN: usize = 22;

/// Whether all characters are ice-chars (RFC 8839 section 5.4).
fn is_ice_chars(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// What moves an agent's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StateInput {
    /// A check that nominates nothing.
    Checked,
    /// A check that nominates its pair.
    Nominated,
    /// No check for [`CONSENT_TIMEOUT`].
    ConsentLost,
}

/// The legal transitions; `None` for what can't happen. A nomination is void once consent was lost.
fn next_state(state: IceState, input: StateInput) -> Option<IceState> {
    use IceState::{Completed, Connected, Disconnected, New};
    match (state, input) {
        (New | Connected | Disconnected, StateInput::Checked) => Some(Connected),
        (Completed, StateInput::Checked) => Some(Completed),
        (New | Connected | Completed | Disconnected, StateInput::Nominated) => Some(Completed),
        (Connected | Completed, StateInput::ConsentLost) => Some(Disconnected),
        (New | Disconnected, StateInput::ConsentLost) => None,
    }
}

/// Whether an authentic request was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Fresh,
    /// From the same address: its answer was lost.
    Repeated,
    /// From another address: somebody else has recorded it.
    Replayed,
}

/// The last [`TRANSACTIONS_MAX`] transaction ids with the address that each was used from.
#[derive(Default)]
struct TransactionRing {
    /// Of the address a hash, keyed at random: each transport has such a ring, and it is a third as large for it. Who repeats
    /// another's check from one address in 2^32 is taken for him, and answered.
    entries: Vec<(TransactionId, u32)>,
    next: usize,
    hasher: ahash::RandomState,
}

impl TransactionRing {
    /// Notes `transaction` if it is fresh.
    fn take(&mut self, transaction: TransactionId, source: SocketAddr) -> Freshness {
        let source = self.hasher.hash_one(source) as u32;
        if let Some((_, known)) = self.entries.iter().find(|(id, _)| *id == transaction) {
            return if *known == source { Freshness::Repeated } else { Freshness::Replayed };
        }
        match self.entries.get_mut(self.next) {
            Some(entry) => *entry = (transaction, source),
            None => self.entries.push((transaction, source)),
        }
        self.next = (self.next + 1) % TRANSACTIONS_MAX;
        Freshness::Fresh
    }
}

#[cfg(test)]
mod tests;
