//! A virtual publisher of video, or of sound: what a browser sends of one track, and how it heeds feedback.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rtcp::sender_report::SenderReport;
use shard_protocol::tables::{PayloadFormat, ProducerTable};

use crate::encoding::{Common, Encoding, EncodingSetup, Outgoing, Published};
use crate::feedback::Wish;
use crate::tables;

/// From capture to sending: what an encoder takes.
const ENCODING_DELAY: Duration = Duration::from_millis(5);

/// What a publisher is like.
#[derive(Clone, Debug)]
pub struct PublisherSetup {
    /// Names it in its labels.
    pub number: u16,
    /// Its MID.
    pub mid: &'static str,
    /// Its format.
    pub format: PayloadFormat,
    /// Its encodings, lowest quality first.
    pub encodings: Vec<EncodingSetup>,
    /// Whether it sends lost packets again.
    pub has_retransmission: bool,
    /// Whether its packets carry a dependency descriptor.
    pub has_dependency_descriptor: bool,
    /// Whether it makes a key frame when it is asked to.
    pub heeds_key_frame_requests: bool,
}

impl PublisherSetup {
    /// A camera with one encoding of about 500 kbit/s at 30 frames a second.
    pub fn camera(format: PayloadFormat) -> Self {
        let encoding =
            EncodingSetup { rid: None, interval: Duration::from_nanos(33_333_333), delta_len: 2000, key_len: 9000 };
        Self {
            number: 1,
            mid: "v",
            format,
            encodings: vec![encoding],
            has_retransmission: true,
            has_dependency_descriptor: format == PayloadFormat::Av1,
            heeds_key_frame_requests: true,
        }
    }

    /// A camera with three encodings, small ones so that long scenarios stay cheap.
    pub fn simulcast(format: PayloadFormat) -> Self {
        let encoding = |rid, fps: u64, delta_len, key_len| EncodingSetup {
            rid: Some(rid),
            interval: Duration::from_nanos(1_000_000_000 / fps),
            delta_len,
            key_len,
        };
        let encodings = vec![encoding("l", 15, 300, 1500), encoding("m", 15, 900, 3000), encoding("h", 30, 1500, 6000)];
        Self { encodings, ..Self::camera(format) }
    }

    /// A microphone.
    pub fn microphone() -> Self {
        let encoding = EncodingSetup { rid: None, interval: Duration::from_millis(20), delta_len: 80, key_len: 80 };
        Self {
            number: 2,
            mid: "a",
            encodings: vec![encoding],
            has_retransmission: false,
            ..Self::camera(PayloadFormat::Opus)
        }
    }
}

/// A publisher.
pub struct Publisher {
    setup: PublisherSetup,
    random: StdRng,
    encodings: Vec<Encoding>,
    outgoing: VecDeque<Outgoing>,
    /// Every packet that was sent, in its order; retransmissions apart.
    pub log: Vec<Published>,
    /// Packets sent again, and asked for but not kept any more.
    pub repeats: usize,
    /// See `repeats`.
    pub repeats_refused: usize,
    epoch: Instant,
    is_paused: bool,
}

impl Publisher {
    /// Makes a publisher that begins at `now`; its labels count from `epoch`.
    pub fn new(setup: PublisherSetup, seed: u64, epoch: Instant, now: Instant) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let common = Common {
            publisher: setup.number,
            mid: setup.mid,
            format: setup.format,
            epoch,
            has_dependency_descriptor: setup.has_dependency_descriptor,
        };
        let at = now + ENCODING_DELAY;
        let encoding =
            |(number, setup): (usize, &EncodingSetup)| Encoding::new(*setup, common, number as u8, at, &mut random);
        let encodings = setup.encodings.iter().enumerate().map(encoding).collect();
        Self {
            setup,
            random,
            encodings,
            outgoing: VecDeque::new(),
            log: Vec::new(),
            repeats: 0,
            repeats_refused: 0,
            epoch,
            is_paused: false,
        }
    }

    /// What it is like.
    pub fn setup(&self) -> &PublisherSetup {
        &self.setup
    }

    /// Its parameters as signaling makes them: SSRCs are told where there is one encoding, RIDs where there are several.
    pub fn table(&self) -> ProducerTable {
        let ssrcs: Vec<(u32, u32)> = self.encodings.iter().map(|encoding| (encoding.ssrc, encoding.rtx_ssrc)).collect();
        tables::producer(&self.setup, &ssrcs)
    }

    /// The SSRC of an encoding now.
    pub fn ssrc(&self, encoding: usize) -> u32 {
        self.encodings[encoding].ssrc
    }

    /// When it has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.encodings.iter().filter(|encoding| encoding.is_active && !self.is_paused);
        active.map(|encoding| encoding.next_at).min()
    }

    /// Makes the frames that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_paused {
            return;
        }
        let mut sent = Vec::new();
        for number in 0..self.encodings.len() {
            let encoding = &mut self.encodings[number];
            while encoding.is_active && encoding.next_at <= now {
                // One that was held back has skipped what it would have captured.
                while encoding.next_at + encoding.interval() <= now {
                    encoding.next_at += encoding.interval();
                }
                let captured_at = encoding.next_at - ENCODING_DELAY;
                encoding.frame(now, captured_at, &mut self.random, &mut sent);
                encoding.next_at += encoding.interval();
            }
            self.send(number, &mut sent);
        }
    }

    fn send(&mut self, encoding: usize, sent: &mut Vec<(Published, Outgoing)>) {
        for (published, mut outgoing) in sent.drain(..) {
            outgoing.place = Some(self.log.len());
            self.log.push(published);
            self.encodings[encoding].remember(&outgoing);
            self.outgoing.push_back(outgoing);
        }
    }

    /// The next packet to send.
    pub fn poll_packet(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// Does as feedback asks.
    pub fn handle_wish(&mut self, wish: &Wish) {
        for encoding in &mut self.encodings {
            match wish {
                Wish::Packets(ssrc, numbers) if *ssrc == encoding.ssrc && self.setup.has_retransmission => {
                    let again: Vec<Outgoing> = numbers.iter().filter_map(|number| encoding.again(*number)).collect();
                    self.repeats += again.len();
                    self.repeats_refused += numbers.len() - again.len();
                    self.outgoing.extend(again);
                }
                Wish::KeyFrame(ssrc) if *ssrc == encoding.ssrc => {
                    encoding.wants_key_frame |= self.setup.heeds_key_frame_requests;
                }
                Wish::Acknowledged(ssrc) if *ssrc == encoding.ssrc => encoding.is_acknowledged = true,
                _ => {}
            }
        }
    }

    /// Stops making frames, as a track that is switched off.
    pub fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Goes on where it stopped, without a key frame unless one is asked for.
    pub fn resume(&mut self) {
        self.is_paused = false;
    }

    /// Stops an encoding, or starts it with a key frame.
    pub fn set_active(&mut self, encoding: usize, is_active: bool) {
        let encoding = &mut self.encodings[encoding];
        encoding.wants_key_frame |= is_active && !encoding.is_active;
        encoding.is_active = is_active;
    }

    /// Whether an encoding makes frames.
    pub fn is_active(&self, encoding: usize) -> bool {
        !self.is_paused && self.encodings[encoding].is_active
    }

    /// Sends nothing again from now on.
    pub fn refuse_repeats(&mut self) {
        self.setup.has_retransmission = false;
    }

    /// Begins anew with other SSRCs, as a browser whose track is replaced by one of another kind.
    pub fn restart(&mut self) {
        for encoding in &mut self.encodings {
            encoding.restart(&mut self.random);
        }
    }

    /// Sends a packet of padding alone in the media's stream.
    pub fn send_padding(&mut self, now: Instant, encoding: usize) {
        let len = self.random.random_range(1..=255);
        let mut sent = self.encodings[encoding].padding(now, len).into_iter().collect();
        self.send(encoding, &mut sent);
    }

    /// Sender reports of what has been sent; `ntp` is the time now on the publisher's clock.
    pub fn reports(&self, now: Instant, ntp: u64) -> Vec<SenderReport> {
        let sending = self.encodings.iter().filter(|encoding| encoding.sent.0 > 0);
        let report = |encoding: &Encoding| SenderReport {
            ssrc: encoding.ssrc,
            ntp_time: ntp,
            rtp_time: encoding.timestamp(now),
            packet_count: encoding.sent.0,
            octet_count: encoding.sent.1,
            ..SenderReport::default()
        };
        sending.map(report).collect()
    }

    /// The time that labels count from.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }
}
