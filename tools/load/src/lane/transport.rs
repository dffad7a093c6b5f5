//! One connected transport in a lane's hands: its socket, consent checks and RTCP, and the side that it serves.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use peer::{BindingRequest, Established, PeerError, Reports, Srtp, Wish, now_ns};

use super::outcome::{LaneOutcome, Traffic};
use super::receiver::{Arrival, Receiver};
use super::sender::{Outlet, Sender};
use super::socket::{self, Datagram, Reader};

/// Between checks for consent; browsers send one every 2.5 s.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_millis(2500);
/// Between RTCP reports: about a second, as browsers have it for voice.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A transport with so many checks in a row unanswered is given up as unanswered.
const UNANSWERED_CHECKS_MAX: u32 = 3;
/// The first two bytes of a STUN success answer to a binding request (RFC 8489 5).
const BINDING_ANSWER: [u8; 2] = [0x01, 0x01];

/// What a transport is for.
pub enum Side {
    /// Streams arrive on it.
    Receive(Receiver),
    /// Producers send on it.
    Send(Sender),
}

/// A transport of a lane.
pub(crate) struct LaneTransport {
    /// What the lane's orders name it by.
    pub(crate) key: u64,
    /// Its side.
    pub(crate) side: Side,
    socket: UdpSocket,
    srtp: Srtp,
    reports: Reports,
    check: BindingRequest,
    checks_unanswered: u32,
    overflowed: u32,
}

impl LaneTransport {
    /// Takes an established transport over. Gives also the length of its receive buffer.
    pub(crate) fn new(key: u64, established: Established, side: Side) -> Result<(Self, usize), PeerError> {
        let buffer_len = socket::prepare(&established.socket, established.remote)?;
        let transport = Self {
            key,
            side,
            socket: established.socket,
            srtp: Srtp::new(&established.keys)?,
            reports: Reports::new("voice-load"),
            check: established.check,
            checks_unanswered: 0,
            overflowed: 0,
        };
        Ok((transport, buffer_len))
    }

    /// Reads one datagram; false where there is none.
    pub(crate) fn receive(&mut self, reader: &mut Reader, outcome: &mut LaneOutcome) -> bool {
        let datagram = match reader.read(&self.socket) {
            Ok(Some(datagram)) => datagram,
            Ok(None) => return false,
            // The server's port is closed; its signaling tells why.
            Err(_) => return true,
        };
        if let Some(overflowed) = datagram.overflowed {
            outcome.overflowed += u64::from(overflowed.wrapping_sub(self.overflowed));
            self.overflowed = overflowed;
        }
        self.handle_datagram(&datagram, outcome);
        true
    }

    /// Hands a datagram to what its first byte names (RFC 7983).
    fn handle_datagram(&mut self, datagram: &Datagram<'_>, outcome: &mut LaneOutcome) {
        let arrival = Arrival { bytes: datagram.bytes, at_ns: datagram.arrived_at_ns.unwrap_or_else(now_ns) };
        match datagram.bytes {
            [0..=3, ..] => self.handle_stun(datagram.bytes),
            // DTLS: alerts, and flights that crossed our last one.
            [20..=63, ..] => {}
            // Payload types 64–95 with the marker bit are RTCP (RFC 5761 4).
            [128..=191, 192..=223, ..] => self.handle_rtcp(arrival, outcome),
            [128..=191, ..] => match &mut self.side {
                Side::Receive(receiver) => receiver.handle_rtp(arrival, &self.srtp, outcome),
                Side::Send(_) => outcome.rubbish.unknown += 1,
            },
            _ => outcome.rubbish.unknown += 1,
        }
    }

    fn handle_stun(&mut self, datagram: &[u8]) {
        let is_answer = datagram.first_chunk() == Some(&BINDING_ANSWER);
        if is_answer && datagram.get(8..20) == Some(&self.check.transaction_id) {
            self.checks_unanswered = 0;
        }
    }

    fn handle_rtcp(&mut self, arrival: Arrival<'_>, outcome: &mut LaneOutcome) {
        outcome.traffic.rtcp_received += 1;
        let Ok(mut plain) = self.srtp.unprotect_rtcp(arrival.bytes) else {
            outcome.rubbish.unauthenticated += 1;
            return;
        };
        let Ok(compound) = rtcp::packet::unmarshal(&mut plain) else {
            outcome.rubbish.altered += 1;
            return;
        };
        self.reports.handle_compound(&compound, arrival.at_ns);
        if let Side::Send(sender) = &mut self.side {
            for wish in Wish::all_in(&compound, arrival.at_ns) {
                if let Some(packet) = sender.handle_wish(wish, &self.srtp, outcome) {
                    send(&self.socket, &packet, &mut outcome.traffic);
                }
            }
        }
    }

    /// Sends the packet of the producer at `place`, which is due.
    pub(crate) fn send_packet(&mut self, place: usize, outcome: &mut LaneOutcome) {
        let Side::Send(sender) = &mut self.side else { return };
        let mut outlet = Outlet { srtp: &self.srtp, reports: &mut self.reports, now_ns: now_ns() };
        match sender.poll_packet(place, &mut outlet) {
            Ok(packet) => {
                outcome.traffic.sent += 1;
                outcome.traffic.sent_bytes += packet.len() as u64;
                send(&self.socket, &packet, &mut outcome.traffic);
            }
            Err(_) => outcome.traffic.send_failures += 1,
        }
    }

    /// Sends a check for consent.
    pub(crate) fn send_check(&mut self, outcome: &mut LaneOutcome) {
        self.check.transaction_id = rand::random();
        if let Ok(check) = self.check.encode() {
            self.checks_unanswered += 1;
            send(&self.socket, &check, &mut outcome.traffic);
        }
    }

    /// Sends the report that is due.
    pub(crate) fn send_report(&mut self, outcome: &mut LaneOutcome) {
        let compound = match &mut self.side {
            Side::Receive(receiver) => self.reports.poll_compound(receiver.poll_losses(), now_ns()),
            Side::Send(_) => self.reports.poll_compound(std::iter::empty(), now_ns()),
        };
        let protected = rtcp::packet::marshal(&compound).ok().and_then(|bytes| self.srtp.protect_rtcp(&bytes).ok());
        if let Some(report) = protected {
            send(&self.socket, &report, &mut outcome.traffic);
        }
    }

    /// Tells what it has measured; `is_closed` where it ends before the run does.
    pub(crate) fn conclude(&self, is_closed: bool, outcome: &mut LaneOutcome) {
        if !is_closed && self.checks_unanswered >= UNANSWERED_CHECKS_MAX {
            outcome.unanswered_transports += 1;
        }
        match &self.side {
            Side::Receive(receiver) => receiver.conclude(is_closed, outcome),
            Side::Send(sender) => sender.conclude(outcome),
        }
    }
}

fn send(socket: &UdpSocket, datagram: &[u8], traffic: &mut Traffic) {
    let sent: io::Result<usize> = socket.send(datagram);
    traffic.send_failures += u64::from(sent.is_err());
}
