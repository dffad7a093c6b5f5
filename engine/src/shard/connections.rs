//! Connections: checks that make an address a peer's, handshakes, and what follows from their changes and their end.

use std::time::Instant;

use shard_protocol::Event;
use shard_protocol::event::TransportCloseReason;
use shard_protocol::ids::TransportId;
use shard_protocol::stats::DropReason;

use super::Shard;
use super::keys::PeerKey;
use super::peer::Peer;
use crate::packet::BATCH_MAX;
use crate::security::dtls::{DtlsRequest, DtlsResponse};
use crate::transport::DtlsStep;
use crate::wire::stun::{ANSWER_LEN_MAX, BindingRequest};

/// Requests to the handshakes that wait before a peer's datagram is refused. A turn makes a batch of them at most, and
/// beginnings besides, and they are taken after each, so only a handshake thread that is stuck lets it come to this.
pub(super) const HANDSHAKE_REQUESTS_MAX: usize = 2 * BATCH_MAX;

impl Shard {
    /// Takes what the handshakes said.
    pub fn handle_dtls(&mut self, now: Instant, response: DtlsResponse) {
        let (DtlsResponse::Datagram { transport, .. }
        | DtlsResponse::Connected { transport, .. }
        | DtlsResponse::Failed { transport, .. }) = response;
        // The transport may have been closed meanwhile.
        let Some(peer_key) = self.objects.peer_key(transport) else { return };
        let Some(peer) = self.objects.peers.get_mut(peer_key) else { return };
        match response {
            DtlsResponse::Datagram { bytes, .. } => {
                if let Some((destination, source)) = peer.transport.destination()
                    && !self.control.append(destination, source, bytes.len(), |out| write(out, &bytes))
                {
                    self.stats.drops.add(DropReason::SendBufferFull);
                }
            }
            DtlsResponse::Connected { keys, last_flight, .. } => {
                match peer.transport.on_connected(now, &keys, last_flight) {
                    Ok(()) => {
                        self.schedule_reports(peer_key, now);
                        self.after_change(peer_key);
                        self.want_all_key_frames(peer_key, now);
                    }
                    Err(_) => self.fail_transport(peer_key, transport, TransportCloseReason::DtlsFailed),
                }
            }
            DtlsResponse::Failed { reason, .. } => self.fail_transport(peer_key, transport, reason),
        }
    }

    /// Takes a connectivity check: the one way by which an address becomes a peer's.
    pub(super) fn on_check(&mut self, slot: usize, now: Instant) -> Result<(), DropReason> {
        let entry = &mut self.input.filled_mut()[slot];
        let (source, local) = (entry.source, entry.local);
        let datagram = entry.datagram().ok_or(DropReason::Oversized)?;
        let request = BindingRequest::parse(datagram)?;
        let peer_key = self.routes.by_ufrag(request.local_ufrag()).ok_or(DropReason::StunUnknownUser)?;
        if let Some(owner_key) = self.routes.by_address(&source).filter(|&owner| owner != peer_key) {
            let owner = self.objects.peers.get_mut(owner_key);
            if !owner.is_none_or(|owner| owner.transport.try_release_address(now, source)) {
                return Err(DropReason::StunAddressTaken);
            }
            self.routes.remove_address(&source, owner_key);
        }
        let peer = self.objects.peers.get_mut(peer_key).ok_or(DropReason::StunUnknownUser)?;
        let was_reachable = peer.transport.destination().is_some();
        let mut outcome = Err(DropReason::SendBufferFull);
        self.control.append(source, local, ANSWER_LEN_MAX, |answer| {
            outcome = peer.transport.handle_check(now, &request, source, local, answer);
            outcome.as_ref().map_or(0, |checked| checked.answer_len)
        });
        let checked = outcome?;
        if let Some(evicted) = checked.evicted
            && peer.transport.addresses().all(|address| address != evicted.remote)
        {
            self.routes.remove_address(&evicted.remote, peer_key);
        }
        if checked.validated.is_some() {
            self.routes.add_address(source, peer_key);
        }
        self.after_change(peer_key);
        if !was_reachable {
            self.want_all_key_frames(peer_key, now);
        }
        Ok(())
    }

    pub(super) fn on_dtls(&mut self, slot: usize, peer_key: PeerKey, now: Instant) -> Result<(), DropReason> {
        let entry = &mut self.input.filled_mut()[slot];
        let (source, local) = (entry.source, entry.local);
        let datagram = entry.datagram().ok_or(DropReason::Oversized)?;
        let peer = self.objects.peers.get_mut(peer_key).ok_or(DropReason::UnknownAddress)?;
        if self.handshakes.len() >= HANDSHAKE_REQUESTS_MAX {
            return Err(DropReason::DtlsOverload);
        }
        match peer.transport.handle_dtls(now, datagram)? {
            DtlsStep::Handshake(request) => self.handshakes.push_back(request),
            DtlsStep::Resend(bytes) => {
                if !self.control.append(source, local, bytes.len(), |out| write(out, bytes)) {
                    return Err(DropReason::SendBufferFull);
                }
            }
            DtlsStep::Ignored => {}
        }
        Ok(())
    }

    /// Closes a transport whose handshake failed; signaling is told both.
    fn fail_transport(&mut self, peer_key: PeerKey, transport: TransportId, reason: TransportCloseReason) {
        if let Some(peer) = self.objects.peers.get_mut(peer_key) {
            peer.transport.on_failed();
            let (ice, dtls) = peer.transport.state();
            self.answers.push_back(Event::TransportState { transport, ice, dtls });
        }
        self.answers.push_back(Event::TransportClosed { transport, reason });
        self.close_peer(peer_key);
    }

    /// Follows up on whatever may have changed a peer: begins the handshake, tells the new state, sets the timer.
    pub(super) fn after_change(&mut self, peer_key: PeerKey) {
        let Some(peer) = self.objects.peers.get_mut(peer_key) else { return };
        self.handshakes.extend(peer.transport.try_start());
        if peer.take_state_change() && !std::mem::replace(&mut peer.has_news, true) {
            self.news.push_back(peer_key);
        }
        peer.set_timer(&mut self.timers, peer_key);
    }

    /// Closes a peer and lets go of all that others know of it.
    pub(super) fn close_peer(&mut self, peer_key: PeerKey) {
        if let Some(peer) = self.objects.close_peer(peer_key) {
            self.on_peer_closed(peer_key, peer);
        }
    }

    pub(super) fn on_peer_closed(&mut self, peer_key: PeerKey, peer: Peer) {
        for address in peer.transport.addresses() {
            self.routes.remove_address(&address, peer_key);
        }
        self.routes.remove_ufrag(peer.transport.ufrag().as_bytes());
        if peer.transport.is_handshaking() {
            let transport = peer.transport.id;
            let mut is_begun = true;
            self.handshakes.retain(|request| {
                let is_its_own = request.transport() == transport;
                is_begun &= !(is_its_own && matches!(request, DtlsRequest::Start { .. }));
                !is_its_own
            });
            if is_begun {
                self.handshakes.push_back(DtlsRequest::Stop { transport });
            }
        }
    }
}

/// Copies `bytes` to the start of `out`, which has room for them.
fn write(out: &mut [u8], bytes: &[u8]) -> usize {
    out[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}
