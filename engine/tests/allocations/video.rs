//! Cameras and those who watch them: losses on both ways, what is asked for again, key frames, feedback and reports.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::shard::SendOutcome;
use netsim::{Conditions, LinkId, Publisher, PublisherSetup, World, consumer};
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use rtp::header::Header;
use rtp::packet::Packet;
use rtp_util::marshal::Marshal;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::PayloadFormat;

use crate::allocations;

const CAMERAS: usize = 5;
const VIEWERS: usize = 100;
const FRAME: Duration = Duration::from_millis(20);
const PACKETS_PER_FRAME: u16 = 2;
/// Before it, every stream and table has come to its size.
const WARM_UP_ROUNDS: u32 = 150;
const ROUNDS: u32 = 1_000_000 / (CAMERAS * VIEWERS * PACKETS_PER_FRAME as usize) as u32;

/// One packet of so many is lost on a camera's way to the shard, and comes as a retransmission.
const LOSS: u16 = 16;
/// Rounds until it does: by then the shard has asked for it.
const REPAIR_ROUNDS: u32 = 3;
/// Rounds between two key frames.
const KEY_FRAME_ROUNDS: u32 = 60;

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
const MEDIA_PAYLOAD_TYPE: u8 = 96;
/// The extension id of transport-wide numbers.
const TRANSPORT_SEQUENCE: u8 = 3;
/// The SSRC of the first consumer's media; each has the next for its retransmissions.
const FIRST_SSRC: u32 = 0x1_0000;
/// Bytes of each payload: less than a browser's, which makes protecting them quicker and changes nothing else.
const PAYLOAD_LEN: usize = 700;

/// A camera that loses some packets on their way.
struct Camera {
    link: LinkId,
    source: SocketAddr,
    ssrc: u32,
    rtx_ssrc: u32,
    sequence: u16,
    rtx_sequence: u16,
    transport_sequence: u16,
    /// What is to be sent again, and in which round.
    lost: Vec<(u32, u16, u32, Bytes)>,
}

/// One who watches all cameras.
struct Viewer {
    link: LinkId,
    address: SocketAddr,
    /// The newest number of each camera's copies.
    newest: [u16; CAMERAS],
    retransmissions: u32,
}

impl Camera {
    /// The packets of one frame that arrive, and those that are sent again.
    fn packets(&mut self, round: u32) -> Vec<Packet> {
        let is_key = round.is_multiple_of(KEY_FRAME_ROUNDS);
        let mut packets = Vec::new();
        for packet in 0..PACKETS_PER_FRAME {
            let start = if packet == 0 { 0x10 } else { 0 };
            // X and S; I; a long picture id; P of the frame's tag.
            let mut payload =
                vec![0x80 | start, 0x80, 0x80 | (round >> 8) as u8 & 0x7f, round as u8, u8::from(!is_key)];
            payload.resize(PAYLOAD_LEN, packet as u8);
            let (sequence, payload) = (self.sequence, Bytes::from(payload));
            self.sequence = self.sequence.wrapping_add(1);
            if sequence % LOSS == 5 {
                self.lost.push((round + REPAIR_ROUNDS, sequence, round, payload));
            } else {
                packets.push(self.packet(self.ssrc, MEDIA_PAYLOAD_TYPE, sequence, round, payload));
            }
        }
        while let Some((_, sequence, of_round, payload)) = self.lost.pop_if(|(due, ..)| *due <= round) {
            // The second finds that the first has come; the third is padding, as browsers probe with.
            let repaired = Bytes::from([&sequence.to_be_bytes(), &payload[..]].concat());
            for payload in [repaired.clone(), repaired, Bytes::new()] {
                let number = self.rtx_sequence;
                self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
                packets.push(self.packet(self.rtx_ssrc, MEDIA_PAYLOAD_TYPE + 1, number, of_round, payload));
            }
        }
        packets
    }

    fn packet(&mut self, ssrc: u32, payload_type: u8, sequence_number: u16, round: u32, payload: Bytes) -> Packet {
        let timestamp = round.wrapping_mul(1800);
        let mut header = Header { version: 2, payload_type, sequence_number, timestamp, ssrc, ..Default::default() };
        let number = Bytes::copy_from_slice(&self.transport_sequence.to_be_bytes());
        header.set_extension(TRANSPORT_SEQUENCE, number).unwrap();
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        Packet { header, payload }
    }

    fn report(&self, round: u32) -> Bytes {
        let ntp_time = (u64::from(round) << 32) / 50;
        let report =
            SenderReport { ssrc: self.ssrc, ntp_time, rtp_time: round.wrapping_mul(1800), ..Default::default() };
        report.marshal().unwrap()
    }
}

impl Viewer {
    /// Notes the number of a copy that goes out to it.
    fn note(&mut self, datagram: &[u8]) {
        let [_, second, high, low, _, _, _, _, ssrc @ ..] = datagram else { return };
        let Some(ssrc) = ssrc.first_chunk().filter(|_| !(192..=223).contains(second)) else { return };
        let place = (u32::from_be_bytes(*ssrc) - FIRST_SSRC) as usize;
        if place.is_multiple_of(2) {
            self.newest[place / 2] = u16::from_be_bytes([*high, *low]);
        } else {
            self.retransmissions += 1;
        }
    }

    /// What it asks for and reports in a round, if anything.
    fn compound(&self, round: u32, place: usize) -> Option<Vec<u8>> {
        let camera = (round as usize + place) % CAMERAS;
        let media_ssrc = FIRST_SSRC + 2 * camera as u32;
        let newest = self.newest[camera];
        let mut compound = Vec::new();
        match (round + place as u32) % 25 {
            0 => {
                let lost = [1, 2, 3, 9].map(|age| newest.wrapping_sub(age));
                let nacks = nack_pairs_from_sequence_numbers(&lost);
                compound.extend(TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks }.marshal().unwrap());
            }
            10 => compound.extend(PictureLossIndication { sender_ssrc: 1, media_ssrc }.marshal().unwrap()),
            20 => {
                let block =
                    ReceptionReport { ssrc: media_ssrc, last_sequence_number: newest.into(), ..Default::default() };
                compound
                    .extend(ReceiverReport { ssrc: 1, reports: vec![block], ..Default::default() }.marshal().unwrap());
            }
            _ => return None,
        }
        Some(compound)
    }
}

/// A room of cameras and viewers, each of whom watches all of them.
fn room(world: &mut World) -> (Vec<Camera>, Vec<Viewer>) {
    let router = world.add_router();
    let (mut cameras, mut producers) = (Vec::new(), Vec::new());
    for number in 0..CAMERAS {
        let link = world.add_connected_link(router);
        let now = world.now();
        let publisher = Publisher::new(PublisherSetup::camera(PayloadFormat::Vp8), number as u64, now, now);
        let table = publisher.table();
        let (ssrc, rtx_ssrc) = (table.encodings[0].ssrc.unwrap().0, table.encodings[0].rtx_ssrc.unwrap().0);
        producers.push(world.publish(link, table).unwrap());
        let source = world.participant(link).address;
        let (sequence, rtx_sequence, transport_sequence) = (100, 200, 65_000);
        cameras.push(Camera {
            link,
            source,
            ssrc,
            rtx_ssrc,
            sequence,
            rtx_sequence,
            transport_sequence,
            lost: Vec::new(),
        });
    }
    let viewers = (0..VIEWERS).map(|_| {
        let link = world.add_connected_link(router);
        for (n, producer) in producers.iter().enumerate() {
            let ssrc = FIRST_SSRC + 2 * n as u32;
            let table = consumer(PayloadFormat::Vp8, &n.to_string(), ssrc, Some(ssrc + 1));
            world.consume(link, *producer, table).unwrap();
        }
        Viewer { link, address: world.participant(link).address, newest: [0; CAMERAS], retransmissions: 0 }
    });
    (cameras, viewers.collect())
}

/// Allocations of one turn of the shard, and the datagrams that it sent to others than `viewers`.
fn turn(world: &mut World, now: Instant, viewers: &mut [Viewer]) -> (u64, u64) {
    let shard = &mut world.shard;
    let mut feedback = 0;
    let allocated = allocations(|| {
        shard.handle_input(now);
        shard.handle_timeout(now);
        while let Some(output) = shard.poll_output(now) {
            for message in output.messages() {
                match viewers.iter_mut().find(|viewer| viewer.address == message.destination) {
                    Some(viewer) => message.datagrams().for_each(|datagram| viewer.note(datagram)),
                    None => feedback += message.datagrams().count() as u64,
                }
            }
            let outcome = SendOutcome { calls: 1, datagrams_sent: output.datagrams() as u64, ..Default::default() };
            shard.handle_sent(now, outcome);
        }
    });
    (allocated, feedback)
}

#[test]
fn a_million_packets_of_pictures_are_forwarded_repaired_and_reported_on_without_an_allocation() {
    let mut world = World::new(1, Conditions::GOOD);
    let (mut cameras, mut viewers) = room(&mut world);
    // All have just spoken to the shard, so that nobody's consent runs out below.
    world.run_for(Duration::from_secs(3));

    let mut now = world.now();
    let (mut counted, mut feedback) = (0, 0);
    for round in 0..WARM_UP_ROUNDS + ROUNDS {
        now += FRAME;
        let mut datagrams = Vec::new();
        for camera in &mut cameras {
            let participant = world.participant(camera.link);
            datagrams.extend(camera.packets(round).iter().map(|packet| (camera.source, participant.protect(packet))));
            if round.is_multiple_of(50) {
                datagrams.push((camera.source, participant.protect_rtcp(&camera.report(round))));
            }
        }
        for (place, viewer) in viewers.iter().enumerate() {
            if let Some(compound) = viewer.compound(round, place) {
                datagrams.push((viewer.address, world.participant(viewer.link).protect_rtcp(&compound)));
            }
        }
        for (source, datagram) in datagrams {
            if !world.shard.input_mut().push(&datagram, source, LOCAL, now) {
                let (allocated, told) = turn(&mut world, now, &mut viewers);
                counted += if round >= WARM_UP_ROUNDS { allocated } else { 0 };
                feedback += told;
                assert!(world.shard.input_mut().push(&datagram, source, LOCAL, now));
            }
        }
        let (allocated, told) = turn(&mut world, now, &mut viewers);
        counted += if round >= WARM_UP_ROUNDS { allocated } else { 0 };
        feedback += told;
    }

    let stats = world.stats();
    let repaired = u64::from(u32::from(cameras[0].rtx_sequence - 200) / 3) * CAMERAS as u64;
    assert!(stats.rtp_out > 1_000_000, "{} copies", stats.rtp_out);
    assert!(repaired > 500, "{repaired} packets came as retransmissions");
    assert_eq!(stats.drops.count(DropReason::RtxUnwanted), repaired, "the second of each");
    let again: u32 = viewers.iter().map(|viewer| viewer.retransmissions).sum();
    assert!(again > 10_000, "{again} packets were sent again");
    // Requests for packets every 160 ms, arrivals every 100 ms, reports every second.
    assert!(feedback > 15 * CAMERAS as u64 * u64::from(ROUNDS) / 50, "{feedback} datagrams of feedback");
    let expected = [DropReason::RtxUnwanted, DropReason::RetransmissionRefused];
    for reason in DropReason::ALL {
        assert!(stats.drops.count(reason) == 0 || expected.contains(&reason), "{reason:?}: {stats:?}");
    }
    assert_eq!(counted, 0);
}
