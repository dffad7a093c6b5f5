//! One peer: ICE, DTLS and SRTP composed.
//!
//! ICE validates an address, then DTLS may begin there, then SRTP has keys; [`Transport`] keeps that order. Which datagram
//! is whose, and what RTP means, is not known here.

mod handshake;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use handshake::{Handshake, HandshakeStep};
use shard_protocol::CommandError;
use shard_protocol::event::{DtlsState, IceState};
use shard_protocol::ids::TransportId;
use shard_protocol::limits::FINGERPRINTS_MAX;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{DtlsTable, IceCredentials};

use crate::security::dtls::DtlsRequest;
use crate::security::ice::{Checked, CredentialsError, IceAgent};
use crate::security::srtp::{KeyError, SrtpKeys, SrtpReceiver, SrtpSender};
use crate::wire::stun::BindingRequest;

/// Both directions of SRTP.
struct SrtpPair {
    sender: SrtpSender,
    receiver: SrtpReceiver,
}

/// What follows from a DTLS datagram.
#[derive(Debug)]
pub enum DtlsStep<'a> {
    /// The handshake takes it.
    Handshake(DtlsRequest),
    /// The peer missed our last flight; these bytes go out again.
    Resend(&'a [u8]),
    /// Nothing.
    Ignored,
}

/// A transport.
pub struct Transport {
    /// Its name in signaling.
    pub id: TransportId,
    /// The next transport-wide sequence number of what goes out.
    pub transport_sequence: u16,
    ice: IceAgent,
    handshake: Handshake,
    srtp: Option<Box<SrtpPair>>,
}

impl Transport {
    /// Makes a transport that waits for the first check; an error where the credentials cannot be used.
    pub fn new(id: TransportId, ice: &IceCredentials) -> Result<Self, CredentialsError> {
        Ok(Self { id, transport_sequence: 0, ice: IceAgent::new(ice)?, handshake: Handshake::default(), srtp: None })
    }

    /// The service's user name fragment.
    pub fn ufrag(&self) -> &str {
        self.ice.ufrag()
    }

    /// The states as signaling is told them.
    pub fn state(&self) -> (IceState, DtlsState) {
        (self.ice.state(), self.handshake.state())
    }

    /// All addresses that ICE has validated; one that came to two addresses of this host stands here twice.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.ice.tuples().map(|tuple| tuple.remote)
    }

    /// Where to send to, and from which address of this host; `None` before the first check and after consent ran out.
    pub fn destination(&self) -> Option<(SocketAddr, IpAddr)> {
        self.ice.selected().map(|tuple| (tuple.remote, tuple.local))
    }

    /// Takes a connectivity check and writes the answer to `answer`.
    pub fn handle_check(
        &mut self,
        now: Instant,
        request: &BindingRequest<'_>,
        source: SocketAddr,
        local: IpAddr,
        answer: &mut [u8],
    ) -> Result<Checked, DropReason> {
        self.ice.handle_check(now, request, source, local, answer)
    }

    /// Takes the peer's DTLS parameters; an error where it has them, or where they name no fingerprint or too many.
    pub fn connect(&mut self, table: DtlsTable) -> Result<(), CommandError> {
        if !(1..=FINGERPRINTS_MAX).contains(&table.fingerprints.len()) {
            return Err(CommandError::BadTable);
        }
        self.handshake.set_parameters(table)
    }

    /// Begins the handshake, once there are parameters and an address; to be asked after each change of either.
    pub fn try_start(&mut self) -> Option<DtlsRequest> {
        self.destination()?;
        let table = self.handshake.try_start()?;
        Some(DtlsRequest::Start { transport: self.id, table })
    }

    /// Takes a DTLS datagram from a validated address.
    pub fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) -> Result<DtlsStep<'_>, DropReason> {
        Ok(match self.handshake.handle_datagram(now, datagram)? {
            HandshakeStep::Take => {
                DtlsStep::Handshake(DtlsRequest::Datagram { transport: self.id, bytes: datagram.into() })
            }
            HandshakeStep::Resend(bytes) => DtlsStep::Resend(bytes),
            HandshakeStep::Ignore => DtlsStep::Ignored,
        })
    }

    /// Takes the keys of a finished handshake.
    pub fn on_connected(
        &mut self,
        now: Instant,
        keys: &SrtpKeys,
        last_flight: Option<Box<[u8]>>,
    ) -> Result<(), KeyError> {
        let pair = SrtpPair {
            sender: SrtpSender::new(&keys.profile, &keys.local)?,
            receiver: SrtpReceiver::new(&keys.profile, &keys.remote)?,
        };
        if self.handshake.on_connected(now, last_flight) {
            self.srtp = Some(Box::new(pair));
        }
        Ok(())
    }

    /// Notes that the handshake failed.
    pub fn on_failed(&mut self) {
        self.handshake.on_failed();
    }

    /// Whether a handshake is under way on its thread.
    pub fn is_handshaking(&self) -> bool {
        self.handshake.state() == DtlsState::Connecting
    }

    /// What opens the peer's packets, once there are keys.
    pub fn receiver(&mut self) -> Option<&mut SrtpReceiver> {
        self.srtp.as_mut().map(|pair| &mut pair.receiver)
    }

    /// Reads a little of what [`Self::receiver`] gives, and gives a word of it, so that it is in the cache.
    pub fn warm_receiver(&self) -> usize {
        self.srtp.as_ref().map_or(0, |pair| pair.receiver.rtp_overhead())
    }

    /// Reads a little of all that [`Self::departure`] gives, and gives a word of it, so that it is in the cache.
    pub fn warm(&self) -> u64 {
        let selected = self.ice.selected().map_or(0, |tuple| tuple.remote.port());
        let overhead = self.srtp.as_ref().map_or(0, |pair| pair.sender.rtp_overhead());
        u64::from(selected) ^ u64::from(self.transport_sequence) ^ overhead as u64
    }

    /// Whether packets can go out.
    pub fn is_reachable(&self) -> bool {
        self.srtp.is_some() && self.ice.selected().is_some()
    }

    /// Where to send to and what protects it, while packets can go out.
    pub fn departure(&mut self) -> Option<(SocketAddr, IpAddr, &mut SrtpSender, &mut u16)> {
        let (destination, source) = self.destination()?;
        let pair = self.srtp.as_mut()?;
        Some((destination, source, &mut pair.sender, &mut self.transport_sequence))
    }

    /// Notes an authenticated packet of the peer: it has its keys, so the last flight is not needed again.
    pub fn on_authenticated_packet(&mut self) {
        self.handshake.forget_last_flight();
    }

    /// When consent runs out.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ice.poll_timeout()
    }

    /// Lets consent run out if it is time, and says whether it did.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.ice.handle_timeout(now)
    }

    /// Lets go of the validated `address` if the peer has left it, and says whether it is free: the network may have given
    /// it to another peer.
    pub fn try_release_address(&mut self, now: Instant, address: SocketAddr) -> bool {
        self.ice.try_release(now, address)
    }

    /// Forgets all validated addresses and gives them; to be asked once consent has run out, so that another peer that the
    /// network gives one of them to can have it. The next check validates its own anew.
    pub fn forget_addresses(&mut self) -> impl Iterator<Item = SocketAddr> {
        self.ice.forget_tuples().into_iter().map(|tuple| tuple.remote)
    }
}
