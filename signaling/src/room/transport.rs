//! Transports: made, connected, closed by their owner, or ended by the shard.

use std::time::Instant;

use rand::distr::{Alphanumeric, SampleString};
use rand::{Rng, RngExt};
use shard_protocol::event::{DtlsState, IceState, TransportCloseReason};
use shard_protocol::ids::{ShardIndex, TransportId};
use shard_protocol::tables::{IceCredentials, Ssrc};
use shard_protocol::{Command, CommandError};

use super::news::{CreatedTransport, Then, refusal_of};
use super::roster::Transport;
use super::{Call, Caller, Rooms, shard_unavailable};
use crate::negotiation::{self, IceParameters};
use crate::wire::request::{ConnectTransport, CreateTransport, Direction, OfTransport};
use crate::wire::{Answer, ErrorCode, PublicId, Push, Refusal};

/// Characters of a user name fragment: 95 random bits, so that none comes twice, in a key of 16 bytes for the shard.
const UFRAG_LEN: usize = 16;

/// Characters of a password: 190 random bits, where RFC 8445 section 5.3 asks for 128.
const PASSWORD_LEN: usize = 32;

impl Rooms {
    pub(super) fn on_create_transport(
        &mut self,
        call: &Call,
        create: CreateTransport,
        now: Instant,
    ) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (room, participant) = self.seat(&caller)?;
        let (shard, router) = (room.shard, room.router);
        if participant.transport(create.direction).is_some() {
            return Err(Refusal::new(ErrorCode::LimitReached, "There is a transport of this `direction` already."));
        }
        let id = TransportId(self.next_id());
        let ice = ice_credentials(&mut rand::rng());
        let ice_parameters =
            IceParameters { username_fragment: ice.ufrag.clone(), password: ice.password.clone(), ice_lite: true };
        let transport = Transport {
            id,
            public: PublicId::random(),
            is_connected: false,
            ice: IceState::New,
            dtls: DtlsState::New,
            consumers_named: 0,
            first_ssrc: first_ssrc(&mut rand::rng()),
        };
        let direction = create.direction;
        let made = CreatedTransport { call: call.clone(), caller, shard, direction, transport, ice_parameters };
        let then = Then::CreateTransport(Box::new(made));
        let incoming_bitrate_max_bps = self.incoming_bitrate_max_bps;
        let command =
            |request| Command::CreateTransport { request, router, transport: id, ice, incoming_bitrate_max_bps };
        let request = self.shards.try_create(shard, now, then, command).map_err(|_| shard_unavailable())?;
        self.await_shard(call, request);
        Ok(())
    }

    pub(super) fn on_transport_created(&mut self, made: CreatedTransport) {
        let CreatedTransport { call, caller, shard, direction, transport, ice_parameters } = made;
        let (id, public) = (transport.id, transport.public.clone());
        let Some(participant) = self.participant_mut(&caller) else { return };
        *participant.transport_mut(direction) = Some(transport);
        self.transports.insert(id, (caller, direction));
        let created = Answer::TransportCreated {
            transport_id: &public,
            direction,
            ice_parameters: &ice_parameters,
            ice_candidates: self.candidates.get(usize::from(shard.0)).map_or(&[], Vec::as_slice),
            dtls_parameters: &self.dtls_parameters,
            ice_servers: [],
        };
        self.connections.answer(call.connection, created.to_frame(call.key.as_ref()));
    }

    pub(super) fn on_connect_transport(
        &mut self,
        call: &Call,
        connect: &ConnectTransport,
        now: Instant,
    ) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (room, participant) = self.seat(&caller)?;
        let shard = room.shard;
        let (direction, transport) = participant.find_transport(&connect.transport_id).ok_or_else(no_transport)?;
        if transport.is_connected {
            return Err(refusal_of(CommandError::AlreadyConnected));
        }
        let id = transport.id;
        let dtls = negotiation::read_dtls(&connect.dtls_parameters)?;
        let then = Then::ConnectTransport { call: call.clone(), caller, direction };
        let command = |request| Command::ConnectTransport { request, transport: id, dtls };
        let request = self.shards.try_create(shard, now, then, command).map_err(|_| shard_unavailable())?;
        self.await_shard(call, request);
        Ok(())
    }

    pub(super) fn on_transport_connected(&mut self, call: &Call, caller: &Caller, direction: Direction) {
        let transport = self.participant_mut(caller).and_then(|seat| seat.transport_mut(direction).as_mut());
        let Some(transport) = transport else { return self.refuse(call, &no_transport()) };
        transport.is_connected = true;
        let public = transport.public.clone();
        self.answer(call, &Answer::TransportConnected { transport_id: &public });
    }

    pub(super) fn on_close_transport(&mut self, call: &Call, close: &OfTransport) -> Result<(), Refusal> {
        let caller = self.caller(call)?;
        let (_, participant) = self.seat(&caller)?;
        let (direction, transport) = participant.find_transport(&close.transport_id).ok_or_else(no_transport)?;
        let public = transport.public.clone();
        self.answer(call, &Answer::TransportClosed { transport_id: &public });
        if let Some((shard, transport)) = self.remove_transport(&caller, direction) {
            self.shards.release(shard, Command::CloseTransport { transport });
        }
        Ok(())
    }

    /// Takes a transport out, with its producers or consumers, and tells the others. The shard hears of it from the caller.
    pub(super) fn remove_transport(
        &mut self,
        caller: &Caller,
        direction: Direction,
    ) -> Option<(ShardIndex, TransportId)> {
        let room = self.rooms.get_mut(&caller.channel)?;
        let shard = room.shard;
        let participant = room.participants.get_mut(&caller.user)?;
        let id = participant.transport_mut(direction).take()?.id;
        self.transports.remove(&id);
        match direction {
            Direction::Send => {
                let own = room.producers.iter().filter(|(_, producer)| producer.owner == caller.user);
                for public in own.map(|(public, _)| public.clone()).collect::<Vec<_>>() {
                    self.remove_producer(caller, &public);
                }
            }
            Direction::Recv => {
                for consumer in std::mem::take(&mut participant.consumers).into_values() {
                    if let Some(producer) = room.producers.get_mut(&consumer.producer) {
                        producer.consumers.remove(&caller.user);
                    }
                }
            }
        }
        Some((shard, id))
    }

    pub(super) fn on_transport_state(&mut self, id: TransportId, ice: IceState, dtls: DtlsState) {
        let Some((caller, direction)) = self.transports.get(&id).cloned() else { return };
        let Some(participant) = self.participant_mut(&caller) else { return };
        let connection = participant.connection;
        let Some(transport) = participant.transport_mut(direction) else { return };
        (transport.ice, transport.dtls) = (ice, dtls);
        let transport_id = transport.public.clone();
        let push = Push::TransportState {
            transport_id: &transport_id,
            ice_state: ice_label(ice),
            dtls_state: dtls_label(dtls),
        };
        self.connections.tell(connection, &push);
    }

    pub(super) fn on_transport_closed(&mut self, id: TransportId, reason: TransportCloseReason) {
        let Some((caller, direction)) = self.transports.get(&id).cloned() else { return };
        let Some(participant) = self.participant_mut(&caller) else { return };
        let connection = participant.connection;
        let Some(transport) = participant.transport_mut(direction) else { return };
        let (transport_id, ice, dtls) = (transport.public.clone(), transport.ice, transport.dtls);
        // Both reasons are failures of DTLS; the shard may have had no room to say so before it closed.
        if dtls != DtlsState::Failed {
            self.on_transport_state(id, ice, DtlsState::Failed);
        }
        self.connections
            .tell(connection, &Push::TransportClosed { transport_id: &transport_id, reason: close_label(reason) });
        self.remove_transport(&caller, direction);
    }
}

/// The SSRC that a transport counts up from, by chance, so that those of two transports differ.
///
/// Small numbers are in practice trouble, and above 2^30 there is room for a thousand million consumers.
fn first_ssrc(random: &mut impl RngExt) -> Ssrc {
    Ssrc(random.random_range(1 << 16..1 << 30))
}

/// Makes the service's side of ICE for one transport, from a cryptographic generator.
fn ice_credentials(random: &mut impl Rng) -> IceCredentials {
    IceCredentials {
        ufrag: Alphanumeric.sample_string(random, UFRAG_LEN),
        password: Alphanumeric.sample_string(random, PASSWORD_LEN),
    }
}

fn no_transport() -> Refusal {
    Refusal::not_found("The connection has no transport of this `transportId`.")
}

fn ice_label(state: IceState) -> &'static str {
    match state {
        IceState::New => "new",
        IceState::Connected => "connected",
        IceState::Completed => "completed",
        IceState::Disconnected => "disconnected",
    }
}

fn dtls_label(state: DtlsState) -> &'static str {
    match state {
        DtlsState::New => "new",
        DtlsState::Connecting => "connecting",
        DtlsState::Connected => "connected",
        DtlsState::Failed => "failed",
    }
}

fn close_label(reason: TransportCloseReason) -> &'static str {
    match reason {
        TransportCloseReason::DtlsFailed => "dtlsFailed",
        TransportCloseReason::FingerprintMismatch => "fingerprintMismatch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_keep_the_bounds_of_ice_and_of_the_shard() {
        use shard_protocol::limits::{ICE_PASSWORD_LEN_MAX, ICE_UFRAG_LEN_MAX};
        let first = ice_credentials(&mut rand::rng());
        let second = ice_credentials(&mut rand::rng());
        assert_ne!(first, second);
        assert!((4..=ICE_UFRAG_LEN_MAX).contains(&first.ufrag.len()));
        assert!((22..=ICE_PASSWORD_LEN_MAX).contains(&first.password.len()));
        assert!(first.ufrag.bytes().chain(first.password.bytes()).all(|byte| byte.is_ascii_alphanumeric()));
    }
}
