//! One end of a transport, as a browser would be.

use std::net::SocketAddr;
use std::time::Instant;

use engine::security::srtp::{SrtpKeys, SrtpMaster, SrtpProfile};
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

/// An RTP packet that a participant received and opened.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it arrived.
    pub at: Instant,
    /// The packet.
    pub packet: Packet,
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
    credentials: IceCredentials,
    out: Context,
    inn: Context,
}

impl Participant {
    /// Makes an end that knows the service's credentials and has the keys of a finished handshake, which are those of the
    /// service seen from the other side.
    pub fn new(address: SocketAddr, credentials: IceCredentials, keys: &SrtpKeys) -> Self {
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
            credentials,
            out: context(&keys.remote, None),
            inn: context(&keys.local, Some(webrtc_srtp::option::srtp_replay_protection(64))),
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

    /// Takes a datagram of the service.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match datagram {
            [0..=3, ..] => self.check_answers += 1,
            [128..=191, 192..=223, ..] => match self.inn.decrypt_rtcp(datagram) {
                Ok(compound) => {
                    let reports = rtcp::packet::unmarshal(&mut compound.clone()).expect("RTCP that holds together");
                    self.reports.extend(reports);
                }
                Err(error) => self.on_unopened(&error),
            },
            [128..=191, ..] => match self.inn.decrypt_rtp(datagram) {
                Ok(mut packet) => {
                    let packet = Packet::unmarshal(&mut packet).expect("RTP that holds together");
                    self.received.push(Received { at: now, packet });
                }
                Err(error) => self.on_unopened(&error),
            },
            _ => {}
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
