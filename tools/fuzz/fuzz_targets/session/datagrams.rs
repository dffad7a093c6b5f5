//! What is sent in a session: by participants, and by others that have recorded, changed or made it up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use engine::packet::SLOT_LEN;

use crate::model::Producer;
use crate::operation::Report;
use crate::scene::{Effect, Scene, choose, stranger};
use crate::speech::Speech;

/// Datagrams that are kept for repeating.
const SENT_MAX: usize = 32;

/// A check that is older may have been forgotten by its agent, and counts as a new one when it comes again.
const CHECK_AGE_MAX: Duration = Duration::from_secs(60);

/// Changes of a publisher's SSRC; after more of them the shard forgets the first, whose packets it would take again.
const RESTARTS_MAX: u32 = 8;

/// A datagram that has done its work.
pub(crate) struct Sent {
    kind: SentKind,
    link: usize,
    source: SocketAddr,
    at: Instant,
    datagram: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentKind {
    Media,
    Control,
    Check,
}

impl Scene {
    /// The next index of a producer, after `lost` packets that never come.
    pub(crate) fn take_index(&mut self, producer: usize, lost: u64) -> u64 {
        let own = &mut self.model.producers[producer];
        let index = own.next + lost;
        own.next = index + 1;
        index
    }

    /// Lets the publisher protect the first packet of an SSRC, so that it counts roll-overs from there; it may be lost.
    pub(crate) fn begin_counting(&mut self, producer: usize) {
        let own = &self.model.producers[producer];
        let (link, speech) = (own.link, Speech::plain(own, own.first, 0, 0));
        self.participant(link).try_protect(&speech.packet).expect("a packet to protect");
    }

    pub(crate) fn speak(&mut self, producer: u8, lost: u8, len: u8) -> Option<Effect> {
        let producer = choose(self.model.producers.len(), producer)?;
        let mut lost = u64::from(lost % 64);
        if lost == 63 && !std::mem::replace(&mut self.has_leapt, true) {
            // Too far for a listener, but with all other losses of a session still less than half of the sequence
            // numbers: beyond that the shard cannot tell how often they have rolled over either.
            lost = 20_000;
        }
        let index = self.take_index(producer, lost);
        let speech = Speech::plain(&self.model.producers[producer], index, self.packets, len);
        self.send_speech(producer, index, speech)
    }

    pub(crate) fn straggle(&mut self, producer: u8, late: u8) -> Option<Effect> {
        let producer = choose(self.model.producers.len(), producer)?;
        let own = &self.model.producers[producer];
        // Within the replay window of a receiver, 64 packets.
        let index = own.next.checked_sub(2 + u64::from(late % 50)).filter(|index| *index >= own.first)?;
        let speech = Speech::plain(own, index, self.packets, late);
        self.send_speech(producer, index, speech)
    }

    pub(crate) fn send_speech(&mut self, producer: usize, index: u64, speech: Speech) -> Option<Effect> {
        self.packets += 1;
        let own = &self.model.producers[producer];
        let is_namesake = |other: &Producer| other.is_alive && other.link == own.link && other.mid == own.mid;
        if !own.is_alive && self.model.producers.iter().any(is_namesake) {
            // What it says would be taken for the words of one that has its name now.
            return None;
        }
        let link = own.link;
        let participant = self.participant(link);
        let source = participant.address;
        let datagram = participant.try_protect(&speech.packet)?;
        self.world.send_from(source, &datagram);
        let is_found = speech.has_mid || self.model.producers[producer].is_ssrc_known();
        if datagram.len() > SLOT_LEN || !is_found || !speech.is_negotiated {
            return None;
        }
        let copies = self.model.speak(producer, index, source, speech.is_sound)?;
        self.remember(SentKind::Media, link, source, datagram);
        Some(Effect { accepted: 1, copies, others: Some(0), speech: Some(speech), ..Effect::default() })
    }

    pub(crate) fn forge_speech(&mut self, producer: u8, place: u16, bits: u8) -> Option<Effect> {
        let producer = choose(self.model.producers.len(), producer)?;
        let index = self.take_index(producer, 0);
        let own = &self.model.producers[producer];
        let (link, speech) = (own.link, Speech::plain(own, index, self.packets, bits));
        let participant = self.participant(link);
        let source = participant.address;
        let datagram = participant.try_protect(&speech.packet)?;
        self.world.send_from(source, &forged(datagram, place, bits)?);
        Some(Effect::none())
    }

    pub(crate) fn change_ssrc(&mut self, producer: u8, is_near_wrap: bool) -> Option<Effect> {
        let producer = choose(self.model.producers.len(), producer)?;
        if self.model.producers[producer].restarts >= RESTARTS_MAX {
            return None;
        }
        let ssrc = self.fresh_ssrc();
        self.model.producers[producer].restart(ssrc, if is_near_wrap { 0xfff0 } else { 7 });
        self.begin_counting(producer);
        Some(Effect::none())
    }

    pub(crate) fn report(&mut self, link: u8, is_forged: bool, place: u16, body: &Report) -> Option<Effect> {
        let link = self.choose_link(link)?;
        let mut own = self.model.consumers.iter().filter(|consumer| consumer.is_alive && consumer.link == link);
        let compound = body.write(own.next().map(|consumer| consumer.ssrc))?;
        let participant = self.participant(link);
        let source = participant.address;
        let mut datagram = participant.protect_rtcp(&compound);
        if is_forged {
            datagram = forged(datagram, place, 1 << (place % 8))?;
        } else {
            self.remember(SentKind::Control, link, source, datagram.clone());
        }
        self.world.send_from(source, &datagram);
        Some(Effect::none())
    }

    pub(crate) fn repeat(&mut self, sent: u8) -> Option<Effect> {
        let sent = &self.sent[choose(self.sent.len(), sent)?];
        let (source, link) = (sent.source, sent.link);
        if sent.kind != SentKind::Check {
            self.world.send_from(source, &sent.datagram);
            return Some(Effect::none());
        }
        let now = self.world.now();
        if now - sent.at > CHECK_AGE_MAX || self.model.may_be_left(source, link, now) {
            return None;
        }
        self.world.send_from(source, &sent.datagram);
        // Its answer may have been lost, so it is answered again; nothing else comes of it.
        let is_free = self.model.owner(source).is_none_or(|owner| owner == link);
        Some(Effect::others(u64::from(self.model.links[link].is_alive && is_free)))
    }

    pub(crate) fn divert(&mut self, sent: u8, address: u8) -> Option<Effect> {
        let source = self.address(address);
        let sent = &self.sent[choose(self.sent.len(), sent)?];
        let now = self.world.now();
        let is_old = sent.kind == SentKind::Check && now - sent.at > CHECK_AGE_MAX;
        if is_old || source == sent.source {
            return None;
        }
        self.world.send_from(source, &sent.datagram);
        Some(Effect::none())
    }

    pub(crate) fn check(&mut self, link: u8, address: u8) -> Option<Effect> {
        let link = self.choose_link(link)?;
        // Mostly its own.
        let source = if address >= 64 { self.participant(link).address } else { self.address(4 * address) };
        // An address that its participant has not validated yet could be taken away from it.
        let is_anothers = (0..self.model.links.len()).any(|n| n != link && self.participant(n).address == source);
        let is_free = is_anothers && self.model.owner(source).is_none();
        if is_free || self.model.may_be_left(source, link, self.world.now()) {
            return None;
        }
        self.model.links[link].is_diverted |= source != self.participant(link).address;
        Some(self.send_check(link, source))
    }

    pub(crate) fn rebind(&mut self, link: u8, address: u8) -> Option<Effect> {
        let link = self.choose_link(link)?;
        let source = stranger(address);
        let is_anothers = (0..self.model.links.len()).any(|n| n != link && self.participant(n).address == source)
            || self.model.owner(source).is_some_and(|owner| owner != link);
        if is_anothers || !self.model.links[link].is_alive {
            return None;
        }
        self.participant(link).address = source;
        Some(self.send_check(link, source))
    }

    pub(crate) fn send_check(&mut self, link: usize, source: SocketAddr) -> Effect {
        let check = self.participant(link).check();
        self.world.send_from(source, &check);
        let is_answered = self.model.check(link, source, self.world.now());
        if is_answered {
            self.remember(SentKind::Check, link, source, check);
        }
        Effect::others(u64::from(is_answered))
    }

    fn remember(&mut self, kind: SentKind, link: usize, source: SocketAddr, datagram: Vec<u8>) {
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { kind, link, source, at: self.world.now(), datagram });
    }

    /// Forgets what was sent; to be asked when so much comes after it that the shard may forget it, too.
    pub(crate) fn forget_sent(&mut self) {
        self.sent.clear();
    }
}

/// `datagram` with other bits at one place; `None` where they are the same.
pub(crate) fn forged(mut datagram: Vec<u8>, place: u16, bits: u8) -> Option<Vec<u8>> {
    let place = usize::from(place) % datagram.len();
    datagram[place] ^= bits;
    (bits != 0).then_some(datagram)
}
