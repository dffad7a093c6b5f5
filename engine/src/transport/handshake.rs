//! How far a peer's DTLS has come, as a table of states.

use std::time::Instant;

use shard_protocol::CommandError;
use shard_protocol::event::DtlsState;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::DtlsTable;

use crate::security::dtls::{HandshakeFilter, LastFlight};

/// The states, in their order; each has only what it needs.
///
/// | from | on | to |
/// |---|---|---|
/// | `Unknown` | the peer's parameters | `Known` |
/// | `Known` | a validated address | `UnderWay` |
/// | `UnderWay` | keys | `Done` |
/// | `UnderWay` | a failure | `Failed` |
///
/// Everything else leaves the state as it is.
#[derive(Default)]
pub(super) enum Handshake {
    /// The peer's parameters are not known.
    #[default]
    Unknown,
    /// They are; there is no address yet.
    Known(DtlsTable),
    /// The handshake thread has it.
    UnderWay(Box<HandshakeFilter>),
    /// Keys are in place. The last flight is kept until the peer shows that it came.
    Done(Option<LastFlight>),
    /// It failed.
    Failed,
}

/// What is to be done with a DTLS datagram.
pub(super) enum HandshakeStep<'a> {
    /// The handshake takes it.
    Take,
    /// These bytes go out again.
    Resend(&'a [u8]),
    /// Nothing.
    Ignore,
}

impl Handshake {
    /// The state as signaling is told it.
    pub(super) fn state(&self) -> DtlsState {
        match self {
            Self::Unknown | Self::Known(_) => DtlsState::New,
            Self::UnderWay(_) => DtlsState::Connecting,
            Self::Done(_) => DtlsState::Connected,
            Self::Failed => DtlsState::Failed,
        }
    }

    /// Takes the peer's parameters; only once.
    pub(super) fn set_parameters(&mut self, table: DtlsTable) -> Result<(), CommandError> {
        match self {
            Self::Unknown => {
                *self = Self::Known(table);
                Ok(())
            }
            _ => Err(CommandError::AlreadyConnected),
        }
    }

    /// Begins, now that there is an address; gives the parameters where they are known and it has not begun.
    pub(super) fn try_start(&mut self) -> Option<DtlsTable> {
        if !matches!(self, Self::Known(_)) {
            return None;
        }
        match std::mem::replace(self, Self::UnderWay(Box::default())) {
            Self::Known(table) => Some(table),
            _ => None,
        }
    }

    /// Takes a datagram.
    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<HandshakeStep<'_>, DropReason> {
        match self {
            // The peer sends its first flight again until it is answered.
            Self::Unknown | Self::Known(_) | Self::Failed => Err(DropReason::DtlsUnexpected),
            Self::UnderWay(filter) => filter.check(datagram).map(|()| HandshakeStep::Take),
            Self::Done(None) => Err(DropReason::DtlsUnexpected),
            Self::Done(Some(last_flight)) => {
                Ok(last_flight.handle_datagram(now, datagram).map_or(HandshakeStep::Ignore, HandshakeStep::Resend))
            }
        }
    }

    /// Notes that there are keys; `false` where no handshake was under way.
    pub(super) fn on_connected(&mut self, now: Instant, last_flight: Option<Box<[u8]>>) -> bool {
        let is_under_way = matches!(self, Self::UnderWay(_));
        if is_under_way {
            *self = Self::Done(last_flight.map(|bytes| LastFlight::new(bytes, now)));
        }
        is_under_way
    }

    /// Notes that the handshake failed.
    pub(super) fn on_failed(&mut self) {
        if matches!(self, Self::UnderWay(_)) {
            *self = Self::Failed;
        }
    }

    /// Lets the last flight go.
    pub(super) fn forget_last_flight(&mut self) {
        if let Self::Done(last_flight @ Some(_)) = self {
            *last_flight = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use shard_protocol::tables::{DtlsRole, Fingerprint};

    use super::*;

    fn table() -> DtlsTable {
        DtlsTable { role: DtlsRole::Server, fingerprints: vec![Fingerprint::Sha256([1; 32])] }
    }

    fn all_states() -> Vec<Handshake> {
        vec![
            Handshake::Unknown,
            Handshake::Known(table()),
            Handshake::UnderWay(Box::default()),
            Handshake::Done(Some(LastFlight::new(Box::new([1]), Instant::now()))),
            Handshake::Failed,
        ]
    }

    /// The states after `transition` from each of [`all_states`].
    fn after(transition: impl Fn(&mut Handshake)) -> [DtlsState; 5] {
        let states = all_states().into_iter().map(|mut state| {
            transition(&mut state);
            state.state()
        });
        states.collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn only_the_transitions_of_the_table_happen() {
        use DtlsState::{Connected, Connecting, Failed, New};
        let untouched = [New, New, Connecting, Connected, Failed];
        assert_eq!(after(|_| ()), untouched);
        assert_eq!(after(|state| _ = state.set_parameters(table())), untouched);
        assert_eq!(after(|state| _ = state.try_start()), [New, Connecting, Connecting, Connected, Failed]);
        assert_eq!(
            after(|state| _ = state.on_connected(Instant::now(), None)),
            [New, New, Connected, Connected, Failed]
        );
        assert_eq!(after(Handshake::on_failed), [New, New, Failed, Connected, Failed]);
    }

    #[test]
    fn parameters_are_taken_once() {
        let results: Vec<_> = all_states().iter_mut().map(|state| state.set_parameters(table()).is_ok()).collect();
        assert_eq!(results, [true, false, false, false, false]);
    }

    #[test]
    fn datagrams_are_taken_only_while_a_handshake_is_under_way() {
        let now = Instant::now();
        for (place, mut state) in all_states().into_iter().enumerate() {
            // A record cut short: the filter is the only one to look at it.
            let result = state.handle_datagram(now, &[22, 0xfe, 0xfd]).map(|_| ());
            let expected = match place {
                2 => Err(DropReason::DtlsMalformed),
                3 => Ok(()),
                _ => Err(DropReason::DtlsUnexpected),
            };
            assert_eq!(result, expected, "{place}");
        }
    }
}
