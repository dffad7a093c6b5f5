//! Scenarios on virtual time, with checks written by an independent hand.

use proptest::prelude::*;

use super::*;
use crate::wire::stun::ANSWER_LEN_MAX;
use crate::wire::stun::tests::CheckWriter;

const PASSWORD: &str = "a password of 22 chars";

fn credentials() -> IceCredentials {
    IceCredentials { ufrag: "LocalOne".into(), password: PASSWORD.replace(' ', "+") }
}

/// A peer that checks one agent, each time with a new transaction id.
struct Peer {
    agent: IceAgent,
    now: Instant,
    transactions: u8,
    answer: [u8; ANSWER_LEN_MAX],
}

impl Peer {
    fn new() -> Self {
        let agent = IceAgent::new(&credentials()).unwrap();
        Self { agent, now: Instant::now(), transactions: 0, answer: [0; ANSWER_LEN_MAX] }
    }

    fn check(&mut self) -> CheckWriter {
        self.transactions += 1;
        CheckWriter::of_browser(self.transactions, "LocalOne:peer")
    }

    fn send(&mut self, check: CheckWriter, from: u16) -> Result<Checked, DropReason> {
        self.send_bytes(&sealed(check), from)
    }

    fn send_bytes(&mut self, datagram: &[u8], from: u16) -> Result<Checked, DropReason> {
        let tuple = tuple(from);
        let request = BindingRequest::parse(datagram)?;
        self.agent.handle_check(self.now, &request, tuple.remote, tuple.local, &mut self.answer)
    }

    fn plain(&mut self, from: u16) -> Checked {
        let check = self.check();
        self.send(check, from).unwrap()
    }

    fn nominate(&mut self, from: u16) -> Checked {
        let check = self.check().with_use_candidate();
        self.send(check, from).unwrap()
    }

    fn renominate(&mut self, from: u16, value: u32) -> Checked {
        let check = self.check().with_nomination(value);
        self.send(check, from).unwrap()
    }

    fn pass(&mut self, seconds: u64) -> bool {
        self.now += Duration::from_secs(seconds);
        self.agent.handle_timeout(self.now)
    }
}

fn sealed(check: CheckWriter) -> Vec<u8> {
    check.sealed(&credentials().password)
}

fn tuple(port: u16) -> AddressTuple {
    AddressTuple { remote: SocketAddr::from(([198, 51, 100, 7], port)), local: IpAddr::from([203, 0, 113, 1]) }
}

#[test]
fn the_first_validated_address_serves_until_one_is_nominated() {
    let mut peer = Peer::new();
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::New, None));

    let first = peer.plain(1);
    assert_eq!((first.validated, first.selected_changed, first.state_changed), (Some(tuple(1)), true, true));
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Connected, Some(tuple(1))));

    let second = peer.plain(2);
    assert_eq!((second.validated, second.selected_changed, second.state_changed), (Some(tuple(2)), false, false));
    assert_eq!(peer.agent.selected(), Some(tuple(1)));

    let nominated = peer.nominate(2);
    assert_eq!((nominated.validated, nominated.selected_changed, nominated.state_changed), (None, true, true));
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Completed, Some(tuple(2))));
    assert_eq!(peer.agent.tuples().collect::<Vec<_>>(), [tuple(1), tuple(2)]);
}

#[test]
fn the_same_remote_address_by_way_of_another_local_one_is_another_tuple() {
    let mut peer = Peer::new();
    peer.plain(1);
    let check = sealed(peer.check());
    let other = AddressTuple { local: IpAddr::from([203, 0, 113, 2]), ..tuple(1) };
    let checked = peer
        .agent
        .handle_check(peer.now, &BindingRequest::parse(&check).unwrap(), other.remote, other.local, &mut peer.answer)
        .unwrap();
    assert_eq!(checked.validated, Some(other));
}

#[test]
fn an_address_moves_by_a_nominated_check_only() {
    let mut peer = Peer::new();
    peer.nominate(1);
    assert!(!peer.plain(2).selected_changed);
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Completed, Some(tuple(1))));
    assert!(peer.nominate(2).selected_changed);
    assert_eq!(peer.agent.selected(), Some(tuple(2)));
    assert!(!peer.nominate(2).selected_changed);
}

#[test]
fn of_two_renominations_the_higher_one_holds() {
    let mut peer = Peer::new();
    peer.renominate(1, 2);
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Completed, Some(tuple(1))));
    for (from, value) in [(2, 1), (2, 2), (2, 0)] {
        assert!(!peer.renominate(from, value).selected_changed);
        let check = peer.check().with_use_candidate().with_nomination(value);
        assert!(!peer.send(check, from).unwrap().selected_changed, "the value decides, not USE-CANDIDATE");
    }
    assert!(peer.renominate(2, 3).selected_changed);
    assert!(!peer.renominate(1, 3).selected_changed);
    assert_eq!(peer.agent.selected(), Some(tuple(2)));
}

#[test]
fn what_is_not_authentic_changes_nothing_and_gets_no_answer() {
    let mut peer = Peer::new();
    peer.nominate(1);
    let wrong_password = peer.check().with_use_candidate().sealed("another password of theirs");
    let stripped = peer.check().with_use_candidate().finish();
    let no_checksum = peer.check().with_use_candidate().with_integrity(&credentials().password).finish();
    let no_hash = peer.check().with_use_candidate().with_fingerprint().finish();
    for forged in [wrong_password, stripped, no_checksum, no_hash] {
        assert_eq!(peer.send_bytes(&forged, 2), Err(DropReason::StunUnauthenticated));
    }
    let other_user = sealed(CheckWriter::of_browser(77, "LocalOn:peer").with_use_candidate());
    assert_eq!(peer.send_bytes(&other_user, 2), Err(DropReason::StunUnknownUser));
    assert_eq!(peer.agent.tuples().collect::<Vec<_>>(), [tuple(1)]);
    assert_eq!(peer.agent.selected(), Some(tuple(1)));
    // None of these ids is burnt: the peer may use them.
    assert_eq!(peer.agent.transactions.entries.len(), 1);
}

#[test]
fn a_replayed_check_neither_validates_nor_moves_an_address() {
    let mut peer = Peer::new();
    let recorded = sealed(peer.check().with_use_candidate());
    peer.send_bytes(&recorded, 1).unwrap();
    for _ in 1..TRANSACTIONS_MAX {
        assert_eq!(peer.send_bytes(&recorded, 666), Err(DropReason::StunReplayed));
        peer.plain(1);
    }
    assert_eq!(peer.send_bytes(&recorded, 666), Err(DropReason::StunReplayed));
    assert_eq!(peer.agent.tuples().collect::<Vec<_>>(), [tuple(1)]);
    assert_eq!(peer.agent.selected(), Some(tuple(1)));
    assert_eq!(peer.agent.transactions.entries.len(), TRANSACTIONS_MAX);
}

#[test]
fn a_repeated_check_is_answered_again_but_gives_no_consent() {
    let mut peer = Peer::new();
    let first = sealed(peer.check());
    let len = peer.send_bytes(&first, 1).unwrap().answer_len;
    let answer = peer.answer;
    peer.pass(20);
    peer.answer.fill(0);
    let again = peer.send_bytes(&first, 1).unwrap();
    assert_eq!(again, Checked::answered(len));
    assert_eq!(peer.answer, answer);
    assert!(peer.pass(10), "consent ends 30 s after the fresh check");
    assert_eq!(peer.agent.state(), IceState::Disconnected);
    // Spoofed from the peer's own address, a recorded check does not bring it back either.
    assert_eq!(peer.send_bytes(&first, 1).unwrap(), Checked::answered(len));
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Disconnected, None));
}

#[test]
fn a_peer_that_claims_the_controlled_role_is_told_487_and_nothing_changes() {
    let mut peer = Peer::new();
    let check = CheckWriter::new(1).with(0x0006, b"LocalOne:peer").with_use_candidate().with_controlled_role();
    let checked = peer.send(check, 1).unwrap();
    assert_eq!(checked, Checked::answered(checked.answer_len));
    assert_eq!(peer.answer[..2], [0x01, 0x11]);
    assert_eq!(peer.answer[26..28], [4, 87]);
    assert_eq!((peer.agent.state(), peer.agent.poll_timeout()), (IceState::New, None));
    assert_eq!(peer.agent.tuples().count(), 0);
}

#[test]
fn consent_runs_out_after_30_s_without_a_check_on_any_tuple_and_comes_back() {
    let mut peer = Peer::new();
    assert!(!peer.pass(1000), "without a first check nothing runs out");
    peer.nominate(1);
    peer.pass(29);
    peer.plain(2);
    assert_eq!(peer.agent.poll_timeout(), Some(peer.now + CONSENT_TIMEOUT));
    assert!(!peer.pass(29));
    assert_eq!(peer.agent.state(), IceState::Completed);
    assert!(peer.pass(1));
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Disconnected, None));
    assert_eq!(peer.agent.poll_timeout(), None);
    assert!(!peer.pass(1000));
    assert_eq!(peer.agent.tuples().count(), 2);

    let back = peer.plain(3);
    assert!(back.selected_changed && back.state_changed);
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Connected, Some(tuple(3))));
    assert!(peer.nominate(1).selected_changed);
    assert_eq!(peer.agent.state(), IceState::Completed);
}

#[test]
fn an_old_renomination_does_not_count_after_consent_was_lost() {
    let mut peer = Peer::new();
    peer.renominate(1, 7);
    peer.pass(30);
    peer.plain(2);
    assert!(!peer.renominate(1, 7).selected_changed);
    assert_eq!((peer.agent.state(), peer.agent.selected()), (IceState::Connected, Some(tuple(2))));
    assert!(peer.renominate(1, 8).selected_changed);
}

#[test]
fn too_many_addresses_evict_the_one_heard_longest_ago_but_never_the_selected_one() {
    let mut peer = Peer::new();
    peer.nominate(0);
    for port in 1..TUPLES_MAX as u16 {
        peer.now += Duration::from_millis(1);
        assert_eq!(peer.plain(port).evicted, None);
    }
    peer.now += Duration::from_millis(1);
    peer.plain(1);
    peer.now += Duration::from_millis(1);
    let checked = peer.plain(100);
    assert_eq!((checked.validated, checked.evicted), (Some(tuple(100)), Some(tuple(2))));
    assert_eq!(peer.agent.tuples().count(), TUPLES_MAX);
    assert!(peer.agent.tuples().any(|valid| valid == tuple(0)));
    // A check that nominates a new address may evict the one selected before.
    peer.now += Duration::from_millis(1);
    assert_eq!(peer.nominate(101).evicted, Some(tuple(0)));
}

#[test]
fn the_transitions_are_these_and_no_others() {
    use IceState::{Completed, Connected, Disconnected, New};
    for (state, checked, nominated, consent_lost) in [
        (New, Some(Connected), Some(Completed), None),
        (Connected, Some(Connected), Some(Completed), Some(Disconnected)),
        (Completed, Some(Completed), Some(Completed), Some(Disconnected)),
        (Disconnected, Some(Connected), Some(Completed), None),
    ] {
        assert_eq!(next_state(state, StateInput::Checked), checked);
        assert_eq!(next_state(state, StateInput::Nominated), nominated);
        assert_eq!(next_state(state, StateInput::ConsentLost), consent_lost);
    }
}

#[test]
fn credentials_outside_the_grammar_or_the_limits_are_refused() {
    let long = "x".repeat(ICE_PASSWORD_LEN_MAX + 1);
    let right = credentials();
    for (ufrag, password) in [
        ("abc", right.password.as_str()),
        (&long[..ICE_UFRAG_LEN_MAX + 1], &right.password),
        ("with:colon", &right.password),
        ("umläut", &right.password),
        (&right.ufrag, &long[..21]),
        (&right.ufrag, &long),
        (&right.ufrag, PASSWORD),
    ] {
        let credentials = IceCredentials { ufrag: ufrag.into(), password: password.into() };
        assert_eq!(IceAgent::new(&credentials).err(), Some(CredentialsError), "{ufrag} {password}");
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_agent_keeps_its_bounds_and_its_word(
        steps in proptest::collection::vec((0u8..4, 0u16..24, 0u32..6, 0u64..20_000), 1..120),
    ) {
        let mut peer = Peer::new();
        let mut valid = std::collections::HashSet::new();
        for (kind, port, value, pause_ms) in steps {
            peer.now += Duration::from_millis(pause_ms);
            peer.agent.handle_timeout(peer.now);
            let checked = match kind {
                0 => peer.plain(port),
                1 => peer.nominate(port),
                2 => peer.renominate(port, value),
                _ => continue,
            };
            if let Some(tuple) = checked.validated {
                prop_assert!(valid.insert(tuple));
            }
            if let Some(tuple) = checked.evicted {
                prop_assert!(valid.remove(&tuple));
            }
            prop_assert!(valid.len() <= TUPLES_MAX);
            prop_assert_eq!(&valid, &peer.agent.tuples().collect());
            let selected = peer.agent.selected();
            prop_assert!(selected.is_some_and(|selected| valid.contains(&selected)));
            prop_assert_eq!(peer.agent.poll_timeout(), Some(peer.now + CONSENT_TIMEOUT));
        }
    }
}
