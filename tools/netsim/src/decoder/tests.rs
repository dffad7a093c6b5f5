//! A forwarder that does everything right is let pass, and each thing that it may do wrong is found.

use std::time::{Duration, Instant};

use rtp::packet::Packet;
use shard_protocol::tables::PayloadFormat;

use super::*;
use crate::encoding::Outgoing;
use crate::{PublisherSetup, ReceiverSetup};

const SLACK: Duration = Duration::from_millis(20);

/// A publisher, and a receiver that is given its packets by hand.
struct Scene {
    publisher: Publisher,
    receiver: Receiver,
    now: Instant,
    /// Added to the publisher's numbers, timestamps, picture ids and base layer indices.
    offsets: (u16, u32, u16, u8),
    /// The number, timestamp and picture that were sent last.
    newest: Option<(u16, u32, Picture)>,
}

impl Scene {
    fn new(setup: PublisherSetup) -> Self {
        let now = Instant::now();
        let table = tables::consumer(setup.format, "0", 10, Some(11));
        Self {
            publisher: Publisher::new(setup, 1, now, now),
            receiver: Receiver::new(ReceiverSetup::default(), &table),
            now,
            offsets: (7, 70_000, 3, 9),
            newest: None,
        }
    }

    /// The packets of one encoding that are published within `duration`.
    fn publish(&mut self, duration: Duration, encoding: usize) -> Vec<Outgoing> {
        let end = self.now + duration;
        let mut packets = Vec::new();
        while let Some(at) = self.publisher.poll_timeout().filter(|at| *at <= end) {
            self.publisher.handle_timeout(at);
            packets.extend(std::iter::from_fn(|| self.publisher.poll_packet()));
        }
        self.now = end;
        packets.retain(|packet| packet.header.ssrc == self.publisher.ssrc(encoding));
        packets
    }

    /// Makes the next packet follow the last one, a number and a picture on and as much time as `ticks`.
    fn join(&mut self, packet: &Outgoing, ticks: u32) {
        let (number, timestamp, picture) = self.newest.unwrap();
        let (label, _) = payload::read(self.publisher.setup().format, &packet.payload).unwrap();
        self.offsets = (
            number.wrapping_add(1).wrapping_sub(packet.header.sequence_number),
            timestamp.wrapping_add(ticks).wrapping_sub(packet.header.timestamp),
            (picture.id + 1).wrapping_sub(label.picture.id),
            picture.base.wrapping_add(1).wrapping_sub(label.picture.base),
        );
    }

    /// The packet as a forwarder sends it.
    fn forwarded(&self, packet: &Outgoing) -> Packet {
        let format = self.publisher.setup().format;
        let (number, ticks, id, base) = self.offsets;
        let mut header = packet.header.clone();
        header.ssrc = self.receiver.ssrc;
        header.payload_type = tables::consumer_payload_type(format);
        header.sequence_number = header.sequence_number.wrapping_add(number);
        header.timestamp = header.timestamp.wrapping_add(ticks);
        let mut payload = packet.payload.to_vec();
        if payload::has_pictures(format) && !payload.is_empty() {
            let (at, base_at) = if format == PayloadFormat::Vp8 { (2, 4) } else { (1, 4) };
            let picture = u16::from_be_bytes([payload[at], payload[at + 1]]).wrapping_add(id) | 0x8000;
            payload[at..at + 2].copy_from_slice(&picture.to_be_bytes());
            payload[base_at] = payload[base_at].wrapping_add(base);
        }
        Packet { header, payload: payload.into() }
    }

    fn forward(&mut self, packets: &[Outgoing]) {
        for packet in packets {
            let packet = self.forwarded(packet);
            self.receiver.handle_packet(self.now, &packet, false);
            let picture = self.receiver.arrivals.last().and_then(|arrival| arrival.content?.1);
            let header = &packet.header;
            self.newest = Some((header.sequence_number, header.timestamp, picture.unwrap_or_default()));
        }
    }

    fn judge(&self) -> Result<Verdict, String> {
        judge(&self.publisher, &self.receiver, SLACK)
    }

    fn assert_fault(&self, what: &str) {
        let fault = self.judge().expect_err("a fault");
        assert!(fault.starts_with(what), "{fault}");
    }
}

const SECOND: Duration = Duration::from_secs(1);
const FORMATS: [PayloadFormat; 4] = [PayloadFormat::Vp8, PayloadFormat::Vp9, PayloadFormat::H264, PayloadFormat::Av1];

/// A second of one encoding, and a second of the other behind it, from its key frame on.
fn switched(format: PayloadFormat) -> (Scene, Vec<Outgoing>) {
    let mut scene = Scene::new(PublisherSetup::simulcast(format));
    let low = scene.publish(SECOND, 0);
    scene.forward(&low);
    scene.publisher.set_active(2, false);
    scene.publisher.set_active(2, true);
    let high = scene.publish(SECOND, 2);
    // The last low frame was captured with the fifteenth of fifteen a second, the high one with its own thirty-first.
    scene.join(&high[0], 90_000 / 15);
    (scene, high)
}

#[test]
fn a_stream_that_is_forwarded_whole_is_decoded_whole() {
    for format in FORMATS {
        let mut scene = Scene::new(PublisherSetup::camera(format));
        let packets = scene.publish(3 * SECOND, 0);
        scene.forward(&packets);
        let verdict = scene.judge().unwrap();
        assert_eq!(verdict.decoded.len(), 90);
        assert_eq!((verdict.breaks.len(), verdict.missing), (0, 0));
        assert!(verdict.first.unwrap().starts_key_frame());
    }
}

#[test]
fn padding_and_a_switch_at_a_key_frame_are_let_pass() {
    for format in FORMATS {
        let (mut scene, high) = switched(format);
        scene.forward(&high[..4]);
        scene.forward(&high[4..]);
        scene.publisher.send_padding(scene.now, 2);
        let more = scene.publish(SECOND, 2);
        assert!(more[0].payload.is_empty() && more[0].padding > 0);
        scene.forward(&more);
        let verdict = scene.judge().unwrap();
        assert_eq!(verdict.breaks.len(), 1, "{format:?}");
        assert_eq!(verdict.decoded.len(), 15 + 60);
    }
}

#[test]
fn what_is_lost_with_its_number_is_missing_and_what_follows_waits_for_a_key_frame() {
    let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::Vp8));
    let packets = scene.publish(SECOND, 0);
    // Within the eleventh frame.
    let lost = packets.iter().filter(|packet| packet.header.marker).nth(10).unwrap().header.sequence_number;
    let kept: Vec<_> = packets.into_iter().filter(|packet| packet.header.sequence_number != lost).collect();
    scene.forward(&kept);
    let verdict = scene.judge().unwrap();
    assert_eq!((verdict.missing, verdict.decoded.len()), (1, 10));
}

#[test]
fn a_loss_that_is_hidden_is_found() {
    let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::H264));
    let packets = scene.publish(SECOND, 0);
    scene.forward(&packets[..20]);
    scene.offsets.0 = scene.offsets.0.wrapping_sub(1);
    scene.forward(&packets[21..]);
    scene.assert_fault("packets that do not follow each other and no key frame between them");
}

#[test]
fn a_number_given_twice_and_a_packet_with_two_numbers_are_found() {
    let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::H264));
    let packets = scene.publish(SECOND, 0);
    scene.forward(&packets[..20]);
    scene.forward(&packets[19..20]);
    assert!(scene.judge().is_ok(), "the same packet again is a retransmission");
    scene.offsets.0 = scene.offsets.0.wrapping_sub(1);
    scene.forward(&packets[20..21]);
    scene.assert_fault("number ");

    let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::H264));
    let packets = scene.publish(SECOND, 0);
    scene.forward(&packets[..20]);
    scene.offsets.0 = scene.offsets.0.wrapping_add(1);
    scene.forward(&packets[19..20]);
    scene.assert_fault("one packet has the numbers");
}

#[test]
fn a_beginning_and_a_switch_anywhere_but_at_a_key_frame_are_found() {
    let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::Vp9));
    let packets = scene.publish(SECOND, 0);
    scene.forward(&packets[1..]);
    scene.assert_fault("the first packet starts no key frame");

    let (mut scene, high) = switched(PayloadFormat::Vp9);
    scene.join(&high[1], 6000);
    scene.forward(&high[1..]);
    scene.assert_fault("packets that do not follow each other and no room for the key frame between them");
}

#[test]
fn time_or_pictures_that_jump_over_a_switch_are_found() {
    for (ticks, is_found) in [(6000 + 1700, false), (6000 + 1900, true), (0, true), (0u32.wrapping_sub(1), true)] {
        let (mut scene, high) = switched(PayloadFormat::Vp8);
        scene.join(&high[0], ticks);
        scene.forward(&high);
        assert_eq!(scene.judge().is_err(), is_found, "{ticks} ticks");
    }
    for change in [|scene: &mut Scene| scene.offsets.2 += 1, |scene: &mut Scene| scene.offsets.3 += 1] {
        let (mut scene, high) = switched(PayloadFormat::Vp8);
        change(&mut scene);
        scene.forward(&high);
        scene.assert_fault("picture ids jump over a break");
    }
}

#[test]
fn time_or_pictures_that_change_without_a_break_are_found() {
    for change in [|scene: &mut Scene| scene.offsets.1 += 1, |scene: &mut Scene| scene.offsets.2 += 1] {
        let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::Vp9));
        let packets = scene.publish(SECOND, 0);
        scene.forward(&packets[..20]);
        change(&mut scene);
        scene.forward(&packets[20..]);
        scene.assert_fault("times or pictures do not follow each other");
    }
}

#[test]
fn a_payload_that_was_changed_and_a_marker_that_is_gone_are_found() {
    let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::Av1));
    let mut packets = scene.publish(SECOND, 0);
    let mut payload = packets[3].payload.to_vec();
    *payload.last_mut().unwrap() ^= 1;
    packets[3].payload = payload.into();
    scene.forward(&packets);
    scene.assert_fault("number ");

    let mut scene = Scene::new(PublisherSetup::camera(PayloadFormat::Av1));
    let mut packets = scene.publish(SECOND, 0);
    packets.iter_mut().for_each(|packet| packet.header.marker = false);
    scene.forward(&packets);
    scene.assert_fault("the marker of number");
}
