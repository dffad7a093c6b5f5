//! One end of a transport, as a browser would be.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::security::srtp::{SrtpKeys, SrtpMaster, SrtpProfile};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rtcp::extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport};
use rtcp::receiver_report::ReceiverReport;
use rtcp::sender_report::SenderReport;
use rtp::packet::Packet;
use rtp_util::marshal::{Marshal, Unmarshal};
use shard_protocol::tables::IceCredentials;
use stun_rs::attributes::ice::{IceControlling, Priority, UseCandidate};
use stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, UserName};
use stun_rs::methods::BINDING;
use stun_rs::{HMACKey, MessageClass, MessageEncoderBuilder, StunMessageBuilder};
use webrtc_srtp::Error;
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use crate::encoding::Outgoing;
use crate::feedback::Feedback;
use crate::publisher::Publisher;
use crate::receiver::Receiver;
use crate::tables::ids;

/// Between two reports, give or take a half.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Packets that may overtake one before it is taken for repeated: as many as browsers allow.
const REPLAY_WINDOW: usize = 1024;

/// An RTP packet that a participant received and opened.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it arrived.
    pub at: Instant,
    /// The packet.
    pub packet: Packet,
}

/// A packet of a publisher on its way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whose, and its place in that publisher's log.
    pub packet: Option<(usize, usize)>,
    /// When it was sent.
    pub sent_at: Instant,
    /// When it reached the service.
    pub reached_at: Option<Instant>,
}

/// The peer's end of one transport.
pub struct Participant {
    /// Where it sends from.
    pub address: SocketAddr,
    /// Opened RTP packets, in the order of their arrival.
    pub received: Vec<Received>,
    /// Opened RTCP packets, in the order of their arrival.
    pub reports: Vec<Box<dyn rtcp::packet::Packet + Send + Sync>>,
    /// Packets that could not be opened: none may ever come.
    pub unopened: usize,
    /// Packets that came a second time, which the network can do.
    pub repeated: usize,
    /// Answers to its checks.
    pub check_answers: usize,
    /// What it publishes by itself.
    pub publishers: Vec<Publisher>,
    /// What it receives, records and asks for by itself; packets of other SSRCs go to `received`.
    pub receivers: Vec<Receiver>,
    /// What the service said of its streams.
    pub feedback: Feedback,
    /// Every packet of its publishers as it was sent, retransmissions among them, by its transport-wide number.
    pub sent: Vec<Sent>,
    random: StdRng,
    /// Of its clock: what it reads at the time that its publishers' labels count from, in units of NTP.
    ntp_origin: u64,
    reports_at: Option<Instant>,
    outgoing: VecDeque<(Vec<u8>, Option<usize>)>,
    credentials: IceCredentials,
    out: Context,
    inn: Context,
}

impl Participant {
    /// Makes an end that knows the service's credentials and has the keys of a finished handshake, which are those of the
    /// service seen from the other side.
    pub fn new(address: SocketAddr, credentials: IceCredentials, keys: &SrtpKeys, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let profile = match keys.profile {
            SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
            SrtpProfile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        };
        let context = |master: &SrtpMaster, replay| {
            Context::new(&master.key, &master.salt, profile, replay, None).expect("keys of the profile's length")
        };
        Self {
            address,
            received: Vec::new(),
            reports: Vec::new(),
            unopened: 0,
            repeated: 0,
            check_answers: 0,
            publishers: Vec::new(),
            receivers: Vec::new(),
            feedback: Feedback::default(),
            sent: Vec::new(),
            ntp_origin: random.random::<u64>() >> 1,
            random,
            reports_at: None,
            outgoing: VecDeque::new(),
            credentials,
            out: context(&keys.remote, None),
            inn: context(&keys.local, Some(webrtc_srtp::option::srtp_replay_protection(REPLAY_WINDOW))),
        }
    }

    /// A connectivity check that nominates its address.
    pub fn check(&self) -> Vec<u8> {
        let key = HMACKey::new_short_term(&self.credentials.password).expect("an ICE password");
        let message = StunMessageBuilder::new(BINDING, MessageClass::Request)
            .with_attribute(UserName::new(format!("{}:peer", self.credentials.ufrag)).expect("ice-chars"))
            .with_attribute(Priority::from(0x6e7f_00ff))
            .with_attribute(IceControlling::from(1))
            .with_attribute(UseCandidate::default())
            .with_attribute(MessageIntegrity::new(key))
            .with_attribute(Fingerprint::default())
            .build();
        let mut datagram = vec![0; 256];
        let len = MessageEncoderBuilder::default().build().encode(&mut datagram, &message).expect("room for a check");
        datagram.truncate(len);
        datagram
    }

    /// Protects an RTP packet.
    pub fn protect(&mut self, packet: &Packet) -> Vec<u8> {
        self.out.encrypt_rtp(&packet.marshal().expect("a packet that marshals")).expect("a packet to protect").to_vec()
    }

    /// Protects an RTP packet of any bytes; `None` where the library reads no header in them.
    pub fn try_protect(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.out.encrypt_rtp(packet).ok().map(|datagram| datagram.to_vec())
    }

    /// Protects a compound RTCP packet.
    pub fn protect_rtcp(&mut self, compound: &[u8]) -> Vec<u8> {
        self.out.encrypt_rtcp(compound).expect("a compound to protect").to_vec()
    }

    /// Takes a datagram of the service, or learns for the record what the network lost.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8], is_lost: bool) {
        match datagram {
            [128..=191, 192..=223, ..] => match self.inn.decrypt_rtcp(datagram) {
                Ok(_) if is_lost => {}
                Ok(compound) => self.handle_compound(now, compound),
                Err(error) => self.on_unopened(&error),
            },
            [128..=191, ..] => match self.inn.decrypt_rtp(datagram) {
                Ok(mut packet) => {
                    let packet = Packet::unmarshal(&mut packet).expect("RTP that holds together");
                    match self.receivers.iter_mut().find(|receiver| receiver.is_for(packet.header.ssrc)) {
                        Some(receiver) => receiver.handle_packet(now, &packet, is_lost),
                        None if is_lost => {}
                        None => self.received.push(Received { at: now, packet }),
                    }
                }
                Err(error) => self.on_unopened(&error),
            },
            [0..=3, ..] if !is_lost => self.check_answers += 1,
            _ => {}
        }
    }

    fn handle_compound(&mut self, now: Instant, mut compound: Bytes) {
        let reports = rtcp::packet::unmarshal(&mut compound).expect("RTCP that holds together");
        for report in &reports {
            for wish in self.feedback.handle(now, report.as_ref()) {
                for publisher in &mut self.publishers {
                    publisher.handle_wish(&wish);
                }
            }
            if let Some(report) = report.as_any().downcast_ref::<SenderReport>() {
                for receiver in &mut self.receivers {
                    receiver.handle_sender_report(now, report);
                }
            }
        }
        self.reports.extend(reports);
    }

    /// When it has something to do by itself.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let publishers = self.publishers.iter().filter_map(Publisher::poll_timeout);
        let receivers = self.receivers.iter().filter_map(Receiver::poll_timeout);
        publishers.chain(receivers).chain(self.reports_at).min()
    }

    /// Publishes, asks and reports what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for place in 0..self.publishers.len() {
            self.publishers[place].handle_timeout(now);
            while let Some(outgoing) = self.publishers[place].poll_packet() {
                self.send_packet(now, place, outgoing);
            }
        }
        for place in 0..self.receivers.len() {
            self.receivers[place].handle_timeout(now);
            while let Some(feedback) = self.receivers[place].poll_feedback() {
                let datagram = self.protect_rtcp(&feedback);
                self.outgoing.push_back((datagram, None));
            }
        }
        let is_silent = self.publishers.is_empty() && self.receivers.is_empty();
        if !is_silent && self.reports_at.is_none_or(|at| at <= now) {
            if self.reports_at.is_some() {
                self.report(now);
            }
            self.reports_at = Some(now + REPORT_INTERVAL.mul_f64(self.random.random_range(0.5..1.5)));
        }
    }

    /// The next datagram to send, and what [`Self::handle_reached`] is to be told of it.
    pub fn poll_output(&mut self) -> Option<(Vec<u8>, Option<usize>)> {
        self.outgoing.pop_front()
    }

    /// Notes that a datagram has reached the service.
    pub fn handle_reached(&mut self, now: Instant, mark: usize) {
        let Some(sent) = self.sent.get_mut(mark) else { return };
        sent.reached_at.get_or_insert(now);
        if let Some((publisher, place)) = sent.packet {
            self.publishers[publisher].log[place].reached_at.get_or_insert(now);
        }
    }

    fn send_packet(&mut self, now: Instant, publisher: usize, outgoing: Outgoing) {
        let Outgoing { mut header, payload, padding, place } = outgoing;
        let number = (self.sent.len() as u16).to_be_bytes();
        header.set_extension(ids::TRANSPORT_SEQUENCE, Bytes::copy_from_slice(&number)).expect("an extension that fits");
        let mut packet = header.marshal().expect("a header that marshals").to_vec();
        packet.extend_from_slice(&payload);
        if padding > 0 {
            packet.resize(packet.len() + usize::from(padding) - 1, 0);
            packet.push(padding);
        }
        let datagram = self.out.encrypt_rtp(&packet).expect("a packet to protect").to_vec();
        self.outgoing.push_back((datagram, Some(self.sent.len())));
        self.sent.push(Sent { packet: place.map(|place| (publisher, place)), sent_at: now, reached_at: None });
    }

    /// The time on the participant's own clock, which is not the service's.
    fn ntp(&self, now: Instant) -> u64 {
        let since = self.publishers.first().map_or(Duration::ZERO, |publisher| now - publisher.epoch());
        self.ntp_origin + ((since.as_nanos() << 32) / 1_000_000_000) as u64
    }

    /// Reports what it sends and receives, and answers a reference time.
    fn report(&mut self, now: Instant) {
        let ntp = self.ntp(now);
        let mut statements: Vec<SenderReport> =
            self.publishers.iter().flat_map(|publisher| publisher.reports(now, ntp)).collect();
        let blocks: Vec<_> = self.receivers.iter_mut().filter_map(|receiver| receiver.take_report(now)).collect();
        let mut compound = Vec::new();
        let ssrc = statements.first().map_or(1, |statement| statement.ssrc);
        // A packet counts 31 blocks at most.
        let mut blocks = blocks.chunks(31);
        if let Some(first) = statements.first_mut() {
            first.reports = blocks.next().unwrap_or_default().to_vec();
        }
        for statement in &statements {
            compound.extend_from_slice(&statement.marshal().expect("a report that marshals"));
        }
        for reports in blocks {
            let report = ReceiverReport { ssrc, reports: reports.to_vec(), ..ReceiverReport::default() };
            compound.extend_from_slice(&report.marshal().expect("a report that marshals"));
        }
        if let Some((at, whose, time)) = self.feedback.reference_time.take() {
            let delay = ((now - at).as_secs_f64() * 65_536.0) as u32;
            let reply = DLRRReport { ssrc: whose, last_rr: time, dlrr: delay };
            let report =
                ExtendedReport { sender_ssrc: ssrc, reports: vec![Box::new(DLRRReportBlock { reports: vec![reply] })] };
            compound.extend_from_slice(&report.marshal().expect("a report that marshals"));
        }
        if !compound.is_empty() {
            let datagram = self.protect_rtcp(&compound);
            self.outgoing.push_back((datagram, None));
        }
    }

    fn on_unopened(&mut self, error: &Error) {
        match error {
            Error::SrtpSsrcDuplicated(..) | Error::SrtcpSsrcDuplicated(..) => self.repeated += 1,
            _ => self.unopened += 1,
        }
    }

    /// Takes all RTP packets of one SSRC out.
    pub fn take_received(&mut self, ssrc: u32) -> Vec<Received> {
        let (taken, rest) =
            std::mem::take(&mut self.received).into_iter().partition(|received| received.packet.header.ssrc == ssrc);
        self.received = rest;
        taken
    }
}
