//! A virtual publisher and a virtual receiver with nothing but a network between them.

use std::time::{Duration, Instant};

use rtp::header::Header;
use rtp::packet::Packet;
use rtp_util::marshal::{Marshal, Unmarshal};
use shard_protocol::tables::{ConsumerTable, PayloadFormat, PayloadType, Ssrc};

use crate::{
    Bursts, Conditions, Feedback, Network, Publisher, PublisherSetup, Receiver, ReceiverSetup, decoder, tables,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Up,
    Down,
}

/// The two and what the receiver has asked for.
struct Pair {
    publisher: Publisher,
    receiver: Receiver,
    feedback: Feedback,
    network: Network<Way>,
    now: Instant,
}

impl Pair {
    fn new(seed: u64, setup: PublisherSetup, conditions: Conditions) -> Self {
        let now = Instant::now();
        let format = setup.format;
        let publisher = Publisher::new(setup, seed, now, now);
        let encoding = publisher.table().encodings[0];
        let rtx_ssrc = encoding.rtx_ssrc.map(|ssrc| ssrc.0);
        // The receiver takes the publisher's own numbers.
        let mut table: ConsumerTable = tables::consumer(format, "0", publisher.ssrc(0), rtx_ssrc);
        let codec = &mut table.codecs[0].codec;
        codec.payload_type = PayloadType(tables::producer_payload_type(format));
        assert_eq!(encoding.ssrc, Some(Ssrc(publisher.ssrc(0))));
        Self {
            publisher,
            receiver: Receiver::new(ReceiverSetup::default(), &table),
            feedback: Feedback::default(),
            network: Network::new(seed, conditions),
            now,
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.publisher.handle_timeout(self.now);
            while let Some(outgoing) = self.publisher.poll_packet() {
                let packet = Packet { header: outgoing.header, payload: outgoing.payload };
                self.network.send(self.now, Way::Down, &packet.marshal().unwrap(), None);
            }
            self.receiver.handle_timeout(self.now);
            while let Some(feedback) = self.receiver.poll_feedback() {
                self.network.send(self.now, Way::Up, &feedback, None);
            }
            let wakes = [self.publisher.poll_timeout(), self.receiver.poll_timeout(), self.network.next_at()];
            let Some(next) = wakes.into_iter().flatten().min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some(delivery) = self.network.receive(self.now) {
                let mut bytes = bytes::Bytes::from(delivery.datagram);
                match delivery.way {
                    Way::Down => {
                        let packet = Packet::unmarshal(&mut bytes).unwrap();
                        self.receiver.handle_packet(self.now, &packet, delivery.is_lost);
                    }
                    Way::Up if delivery.is_lost => {}
                    Way::Up => {
                        for packet in rtcp::packet::unmarshal(&mut bytes).unwrap() {
                            for wish in self.feedback.handle(self.now, packet.as_ref()) {
                                self.publisher.handle_wish(&wish);
                            }
                        }
                    }
                }
            }
        }
        self.now = end;
    }

    /// The share of published packets that came within `limit`.
    fn share_within(&self, limit: Duration) -> f64 {
        let mut came_at = std::collections::HashMap::new();
        for arrival in self.receiver.arrivals.iter().filter(|arrival| !arrival.is_lost) {
            if let Some((label, _)) = arrival.content {
                came_at.entry(label.index).or_insert(arrival.at);
            }
        }
        let log = &self.publisher.log;
        let in_time =
            log.iter().filter(|sent| came_at.get(&sent.label.index).is_some_and(|at| *at <= sent.sent_at + limit));
        in_time.count() as f64 / log.len() as f64
    }
}

const NETWORK: Conditions = Conditions { delay: Duration::from_millis(25), ..Conditions::GOOD };

#[test]
fn lost_packets_are_asked_for_and_come_again() {
    for format in [PayloadFormat::Vp8, PayloadFormat::Vp9, PayloadFormat::H264, PayloadFormat::Av1] {
        let mut pair = Pair::new(1, PublisherSetup::camera(format), Conditions { loss: 0.1, ..NETWORK });
        pair.run_for(Duration::from_secs(10));
        let share = pair.share_within(Duration::from_millis(400));
        assert!(share > 0.99, "{format:?}: {share}");
        assert!(pair.publisher.repeats > pair.publisher.log.len() / 20);
        let verdict = decoder::judge(&pair.publisher, &pair.receiver, Duration::ZERO).unwrap();
        assert!(verdict.decoded.len() > 280 && verdict.missing == 0, "{} frames", verdict.decoded.len());
    }
}

#[test]
fn after_a_burst_that_no_retransmission_mends_a_key_frame_is_asked_for_and_the_picture_goes_on() {
    let mut pair = Pair::new(2, PublisherSetup::camera(PayloadFormat::Vp8), NETWORK);
    pair.run_for(Duration::from_secs(2));
    assert!(pair.feedback.key_frames.is_empty());
    pair.network.set_conditions(Conditions { loss: 1.0, ..NETWORK });
    pair.run_for(Duration::from_millis(100));
    // Retransmissions alone are lost from here on.
    pair.publisher.refuse_repeats();
    pair.network.set_conditions(NETWORK);
    pair.run_for(Duration::from_secs(3));
    assert!(!pair.feedback.key_frames.is_empty());
    let verdict = decoder::judge(&pair.publisher, &pair.receiver, Duration::ZERO).unwrap();
    let last = verdict.decoded.last().unwrap();
    assert!(last.at > pair.now - Duration::from_millis(100), "the picture goes on");
    assert!(verdict.decoded.iter().filter(|frame| frame.label.is_key).count() >= 2);
}

#[test]
fn reordering_makes_a_browser_ask_in_vain_and_nothing_is_decoded_twice() {
    let jitter = Duration::from_millis(60);
    let bursts = Some(Bursts { begin: 0.001, end: 0.3 });
    let conditions = Conditions { jitter, bursts, repeats: 0.05, ..NETWORK };
    let mut pair = Pair::new(3, PublisherSetup::camera(PayloadFormat::Vp8), conditions);
    pair.run_for(Duration::from_secs(10));
    let verdict = decoder::judge(&pair.publisher, &pair.receiver, Duration::ZERO).unwrap();
    assert!(verdict.decoded.windows(2).all(|pair| pair[0].label.frame + 1 == pair[1].label.frame));
    assert!(verdict.decoded.len() > 290, "{} frames", verdict.decoded.len());
}

/// A padding packet's header says so; with none of it, the network above carries headers and payloads only.
#[test]
fn headers_stay_within_the_size_that_networks_carry() {
    for format in [PayloadFormat::Vp8, PayloadFormat::Av1] {
        let setup = PublisherSetup { mid: "0123456789abcdef", ..PublisherSetup::simulcast(format) };
        let now = Instant::now();
        let mut publisher = Publisher::new(setup, 1, now, now);
        publisher.handle_timeout(publisher.poll_timeout().unwrap());
        while let Some(outgoing) = publisher.poll_packet() {
            let mut header: Header = outgoing.header;
            header.set_extension(3, bytes::Bytes::from_static(&[0; 2])).unwrap();
            assert!(Packet { header, payload: outgoing.payload }.marshal().unwrap().len() <= 1184);
        }
    }
}
