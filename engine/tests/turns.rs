//! What ends a turn: the copies that it made, and the listeners that it passed over.
#![allow(clippy::unwrap_used, reason = "a scenario that cannot go on is to fail where it stands")]

use std::net::IpAddr;

use engine::packet::BATCH_MAX;
use engine::shard::COPIES_PER_TURN;
use netsim::{Conditions, LinkId, World, audio_consumer, audio_producer, consumer};
use rtp::header::Header;
use rtp::packet::Packet;
use shard_protocol::Command;
use shard_protocol::command::PauseReason;
use shard_protocol::ids::ConsumerId;
use shard_protocol::tables::{CodecTable, ConsumerTable, MediaKind, PayloadFormat, ProducerTable};

const SPEAKER_SSRC: u32 = 0x5eed;
const LISTENER_SSRC: u32 = 0x0001_0000;

/// A publisher, and those who get what it sends.
struct Room {
    world: World,
    publisher: LinkId,
    payload_type: u8,
    consumers: Vec<ConsumerId>,
}

impl Room {
    fn new(published: ProducerTable, heard: &ConsumerTable, listeners: usize) -> Self {
        let mut world = World::new(1, Conditions::GOOD);
        let router = world.add_router();
        let publisher = world.add_connected_link(router);
        let payload_type = published.codecs[0].payload_type.0;
        let producer = world.publish(publisher, published).unwrap();
        let mut consumers = Vec::new();
        for _ in 0..listeners {
            let listener = world.add_connected_link(router);
            consumers.push(world.consume(listener, producer, heard.clone()).unwrap());
        }
        Self { world, publisher, payload_type, consumers }
    }

    fn of_voice(listeners: usize) -> Self {
        Self::new(audio_producer("0", Some(SPEAKER_SSRC)), &audio_consumer("0", LISTENER_SSRC), listeners)
    }

    /// Fills the shard's input with packets of the publisher.
    fn fill(&mut self, payload: &'static [u8]) {
        let (now, source) = (self.world.now(), self.world.participant(self.publisher).address);
        for sequence_number in 0..BATCH_MAX as u16 {
            let payload_type = self.payload_type;
            let header = Header { version: 2, payload_type, sequence_number, ssrc: SPEAKER_SSRC, ..Default::default() };
            let packet = Packet { header, payload: payload.into() };
            let datagram = self.world.participant(self.publisher).protect(&packet);
            assert!(self.world.shard.input_mut().push(&datagram, source, IpAddr::from([203, 0, 113, 1]), now));
        }
    }

    /// Lets the shard have a turn; gives how many copies it has made so far, and whether datagrams are left.
    fn take_turn(&mut self) -> (usize, bool) {
        let now = self.world.now();
        let shard = &mut self.world.shard;
        shard.handle_input(now);
        while shard.poll_output(now).is_some() {}
        (shard.stats_mut().rtp_out as usize, shard.has_input())
    }
}

#[test]
fn a_full_batch_of_a_room_of_ten_is_one_turn() {
    let mut room = Room::of_voice(9);
    room.fill(b"voice");
    assert_eq!(room.take_turn(), (9 * BATCH_MAX, false));
}

#[test]
fn a_turn_ends_where_its_copies_are_many_and_the_next_goes_on() {
    const LISTENERS: usize = 64;
    const TURNS: usize = (BATCH_MAX * LISTENERS).div_ceil(COPIES_PER_TURN);
    let mut room = Room::of_voice(LISTENERS);
    room.fill(b"voice");
    for turn in 1..=TURNS {
        let copies = (turn * COPIES_PER_TURN).min(BATCH_MAX * LISTENERS);
        assert_eq!(room.take_turn(), (copies, turn < TURNS));
    }
    assert_eq!(room.world.shard.input_mut().len(), 0);
}

#[test]
fn pictures_that_nobody_can_begin_with_end_a_turn_too() {
    let heard = consumer(PayloadFormat::Vp8, "0", LISTENER_SSRC, None);
    let mapping = heard.codecs[0];
    let codec = CodecTable { payload_type: mapping.producer_payload_type, ..mapping.codec };
    let published =
        ProducerTable { kind: MediaKind::Video, codecs: vec![codec], ..audio_producer("0", Some(SPEAKER_SSRC)) };
    let mut room = Room::new(published, &heard, 80);
    // The first packet of a frame, which is no key frame.
    room.fill(&[0x10, 1, 0, 0]);
    assert_eq!([room.take_turn(), room.take_turn()], [(0, true), (0, false)]);
}

#[test]
fn voices_that_nobody_wants_to_hear_end_a_turn_too() {
    let mut room = Room::of_voice(80);
    for consumer in room.consumers.clone() {
        room.world.command(Command::PauseConsumer { consumer, reason: PauseReason::Owner });
    }
    room.fill(b"voice");
    assert_eq!([room.take_turn(), room.take_turn()], [(0, true), (0, false)]);
}
