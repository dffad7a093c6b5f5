//! Voice scenarios on virtual time: what a listener hears of a speaker over networks that lose, repeat and reorder.
//!
//! The naive reference is the speaker's own list of packets: each carries its number in the payload, so that whatever the
//! shard does to sequence numbers and timestamps, a listener's list can be laid beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a scenario that cannot go on is to fail where it stands")]

use std::collections::HashSet;
use std::time::Duration;

use engine::security::srtp::SrtpProfile;
use engine::shard::SendOutcome;
use netsim::{Conditions, LinkId, Received, World, audio_consumer, audio_producer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rtp::header::Header;
use rtp::packet::Packet;
use shard_protocol::command::PauseReason;
use shard_protocol::event::{DtlsState, IceState};
use shard_protocol::ids::{ConsumerId, ProducerId, RouterId};
use shard_protocol::limits::{CNAME_LEN_MAX, CONSUMERS_PER_TRANSPORT_MAX};
use shard_protocol::stats::DropReason;
use shard_protocol::tables::{DtlsRole, DtlsTable, Fingerprint, Ssrc};
use shard_protocol::{Command, CommandError, Event};

const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = 960;
const SPEAKER_SSRC: u32 = 0x5eed;
const LISTENER_SSRC: u32 = 0x0001_0000;

/// Frames after which a listener has been told the time of a speaker that never reports: five reports are held back for it.
const UNTOLD_FRAMES: u32 = 350;

/// A speaker and a listener in one room.
struct Call {
    world: World,
    router: RouterId,
    speaker: LinkId,
    listener: LinkId,
    producer: ProducerId,
    consumer: ConsumerId,
    /// The number of the next frame.
    frame: u32,
    ssrc: u32,
    first_sequence: u16,
    /// Frames of the current SSRC so far.
    frames_of_ssrc: u32,
}

impl Call {
    fn new(seed: u64, conditions: Conditions) -> Self {
        Self::with_profile(seed, conditions, SrtpProfile::AeadAes128Gcm)
    }

    fn with_profile(seed: u64, conditions: Conditions, profile: SrtpProfile) -> Self {
        let mut world = World::new(seed, conditions);
        world.set_profile(profile);
        let router = world.add_router();
        let speaker = world.add_connected_link(router);
        let listener = world.add_connected_link(router);
        let producer = world.publish(speaker, audio_producer("0", Some(SPEAKER_SSRC))).unwrap();
        let consumer = world.consume(listener, producer, audio_consumer("0", LISTENER_SSRC)).unwrap();
        Self {
            world,
            router,
            speaker,
            listener,
            producer,
            consumer,
            frame: 0,
            ssrc: SPEAKER_SSRC,
            // Wraps soon.
            first_sequence: 0xffe0,
            frames_of_ssrc: 0,
        }
    }

    fn packet(&self) -> Packet {
        let mut header = Header {
            version: 2,
            payload_type: 111,
            sequence_number: self.first_sequence.wrapping_add(self.frames_of_ssrc as u16),
            timestamp: (u32::MAX - 5000).wrapping_add(self.frame.wrapping_mul(FRAME_TICKS)),
            ssrc: self.ssrc,
            ..Default::default()
        };
        header.set_extension(4, bytes::Bytes::from_static(b"0")).unwrap();
        header.set_extension(1, bytes::Bytes::copy_from_slice(&[self.frame as u8])).unwrap();
        Packet { header, payload: self.frame.to_be_bytes().to_vec().into() }
    }

    /// The speaker says one frame.
    fn speak(&mut self) {
        let packet = self.packet();
        self.world.send_rtp(self.speaker, &packet);
        self.frame += 1;
        self.frames_of_ssrc += 1;
        self.world.run_for(FRAME);
    }

    fn speak_frames(&mut self, frames: u32) {
        for _ in 0..frames {
            self.speak();
        }
    }

    /// Lets everything under way arrive, and gives what the listener has received since the last time.
    fn heard(&mut self) -> Vec<Received> {
        self.world.run_for(Duration::from_secs(1));
        let listener = self.world.participant(self.listener);
        assert_eq!(listener.unopened, 0, "every packet of the service opens");
        listener.take_received(LISTENER_SSRC)
    }
}

fn frame_number(received: &Received) -> u32 {
    u32::from_be_bytes(received.packet.payload[..].try_into().unwrap())
}

fn sequence(received: &Received) -> u16 {
    received.packet.header.sequence_number
}

/// All of it, in order, numbered on without a gap.
fn assert_seamless(heard: &[Received]) {
    for pair in heard.windows(2) {
        assert_eq!(sequence(&pair[1]), sequence(&pair[0]).wrapping_add(1), "{pair:?}");
    }
}

#[test]
fn a_listener_hears_every_frame_once_with_its_own_numbers() {
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80] {
        let mut call = Call::with_profile(1, Conditions::GOOD, profile);
        call.speak_frames(300);
        let heard = call.heard();
        assert_eq!(heard.iter().map(frame_number).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
        assert_seamless(&heard);
        for received in &heard {
            let header = &received.packet.header;
            assert_eq!((header.ssrc, header.payload_type), (LISTENER_SSRC, 100));
            assert_eq!(header.get_extension(1).as_deref(), Some(&b"0"[..]), "the MID that the listener negotiated");
            assert_eq!(header.get_extension(10).as_deref(), Some(&[frame_number(received) as u8][..]), "the level");
        }
        let stats = call.world.stats();
        assert_eq!((stats.rtp_in, stats.rtp_out), (300, 300));
        assert_eq!(stats.residence.buckets.iter().sum::<u64>(), 300, "each packet's time in the shard counts once");
        assert!(call.world.participant(call.speaker).received.is_empty(), "nobody hears itself");
    }
}

#[test]
fn voices_that_come_together_leave_as_few_messages_and_are_heard_as_they_were_said() {
    // 100, 97, 90 and 70 in one message; 95, which came later than 30, before it in another.
    assert_eq!(messages_of_six_voices(SendOutcome::default()), 2);
}

#[test]
fn where_messages_are_not_cut_voices_are_not_padded_and_none_goes_before_its_turn() {
    // 100 and 97, 90 and 70, 30, and then the one that came last, 95.
    assert_eq!(messages_of_six_voices(SendOutcome { is_uncut: true, ..SendOutcome::default() }), 4);
}

/// Has five voices say six packets at once to one listener, from a host that sends as `host` tells, and gives the messages.
fn messages_of_six_voices(host: SendOutcome) -> u64 {
    let mut world = World::new(1, Conditions::GOOD);
    let now = world.now();
    world.shard.handle_sent(now, host);
    let router = world.add_router();
    let listener = world.add_connected_link(router);
    // All but the last are close enough to be padded to one length; of the first speaker there are two packets.
    let lens: [&[usize]; 5] = [&[70, 95], &[100], &[97], &[90], &[30]];
    let speakers: Vec<LinkId> = lens.iter().map(|_| world.add_connected_link(router)).collect();
    for (place, speaker) in (0..).zip(&speakers) {
        let producer = world.publish(*speaker, audio_producer("0", Some(SPEAKER_SSRC + place))).unwrap();
        world.consume(listener, producer, audio_consumer(&place.to_string(), LISTENER_SSRC + place)).unwrap();
    }
    let before = world.stats();
    for (place, (speaker, lens)) in (0..).zip(speakers.iter().zip(lens)) {
        for (sequence_number, len) in (0..).zip(lens) {
            let ssrc = SPEAKER_SSRC + place;
            let header = Header { version: 2, payload_type: 111, sequence_number, ssrc, ..Default::default() };
            world.send_rtp(*speaker, &Packet { header, payload: vec![place as u8; *len].into() });
        }
    }
    world.run_for(FRAME);

    for (place, lens) in (0..).zip(lens) {
        let heard = world.participant(listener).take_received(LISTENER_SSRC + place);
        assert_seamless(&heard);
        let payloads: Vec<Vec<u8>> = heard.iter().map(|received| received.packet.payload.to_vec()).collect();
        assert_eq!(payloads, lens.iter().map(|len| vec![place as u8; *len]).collect::<Vec<_>>());
    }
    let after = world.stats();
    assert_eq!(after.rtp_out - before.rtp_out, 6);
    after.messages_out - before.messages_out
}

#[test]
fn pausing_either_side_leaves_no_gap_in_sequence_and_the_clock_runs_on() {
    let mut call = Call::new(2, Conditions::GOOD);
    let (producer, consumer) = (call.producer, call.consumer);
    let pauses = [
        (
            Command::PauseProducer { producer, reason: PauseReason::State },
            Command::ResumeProducer { producer, reason: PauseReason::State },
        ),
        (
            Command::PauseConsumer { consumer, reason: PauseReason::Owner },
            Command::ResumeConsumer { consumer, reason: PauseReason::Owner },
        ),
    ];
    for (pause, resume) in pauses {
        call.speak_frames(50);
        call.world.run_for(Duration::from_millis(200));
        call.world.command(pause);
        call.speak_frames(30);
        call.world.run_for(Duration::from_millis(200));
        call.world.command(resume);
        call.speak_frames(50);
    }
    let heard = call.heard();
    let expected: Vec<u32> = (0..50).chain(80..180).chain(210..260).collect();
    assert_eq!(heard.iter().map(frame_number).collect::<Vec<_>>(), expected);
    assert_seamless(&heard);
    for pair in heard.windows(2) {
        let frames = frame_number(&pair[1]) - frame_number(&pair[0]);
        let ticks = pair[1].packet.header.timestamp.wrapping_sub(pair[0].packet.header.timestamp);
        assert_eq!(ticks, frames * FRAME_TICKS);
    }
    assert_eq!(call.world.stats().drops.count(DropReason::RtpPaused), 30);
}

#[test]
fn a_reason_to_pause_holds_until_it_is_taken_away_itself() {
    let mut call = Call::new(3, Conditions::GOOD);
    let producer = call.producer;
    call.world.command(Command::PauseProducer { producer, reason: PauseReason::State });
    call.world.command(Command::PauseProducer { producer, reason: PauseReason::Owner });
    call.world.command(Command::ResumeProducer { producer, reason: PauseReason::Owner });
    call.speak_frames(10);
    assert!(call.heard().is_empty());
    call.world.command(Command::ResumeProducer { producer, reason: PauseReason::State });
    call.speak_frames(10);
    assert_eq!(call.heard().len(), 10);
}

#[test]
fn a_speaker_that_restarts_with_another_ssrc_goes_on_in_the_listeners_stream() {
    let mut call = Call::new(4, Conditions::GOOD);
    call.speak_frames(40);
    let before = call.packet();
    call.ssrc = 0xbeef;
    call.first_sequence = 1000;
    call.frames_of_ssrc = 0;
    call.speak_frames(40);
    // What is recorded of the SSRC before is not taken again.
    call.world.send_rtp(call.speaker, &before);
    let heard = call.heard();
    assert_eq!(heard.iter().map(frame_number).collect::<Vec<_>>(), (0..80).collect::<Vec<_>>());
    assert_seamless(&heard);
    assert_eq!(call.world.stats().drops.count(DropReason::RtpUnknownStream), 1);
}

#[test]
fn what_was_recorded_of_a_closed_stream_neither_is_heard_nor_ends_the_next_one() {
    let mut call = Call::new(12, Conditions::GOOD);
    call.speak_frames(5);
    let recorded = call.packet();
    let recorded = call.world.participant(call.speaker).protect(&recorded);
    call.speak_frames(5);
    call.world.command(Command::CloseProducer { producer: call.producer });
    // The next stream has the MID of the first, as a browser gives it.
    call.ssrc = 0xbeef;
    call.frames_of_ssrc = 0;
    call.producer = call.world.publish(call.speaker, audio_producer("0", Some(0xbeef))).unwrap();
    call.consumer = call.world.consume(call.listener, call.producer, audio_consumer("1", LISTENER_SSRC + 1)).unwrap();
    call.speak_frames(5);
    call.world.send(call.speaker, &recorded);
    call.speak_frames(5);
    call.heard();
    let heard = call.world.participant(call.listener).take_received(LISTENER_SSRC + 1);
    assert_eq!(heard.iter().map(frame_number).collect::<Vec<_>>(), (10..20).collect::<Vec<_>>());
    assert_eq!(call.world.stats().drops.count(DropReason::RtpUnknownStream), 1);
}

#[test]
fn a_stream_that_is_published_again_keeps_its_roll_over_and_takes_no_packet_twice() {
    let mut call = Call::new(13, Conditions::GOOD);
    // The sequence number wraps, and the speaker goes on counting.
    call.speak_frames(40);
    let recorded = call.packet();
    let recorded = call.world.participant(call.speaker).protect(&recorded);
    call.speak_frames(1);
    call.world.command(Command::CloseProducer { producer: call.producer });
    call.producer = call.world.publish(call.speaker, audio_producer("0", Some(SPEAKER_SSRC))).unwrap();
    call.consumer = call.world.consume(call.listener, call.producer, audio_consumer("1", LISTENER_SSRC + 1)).unwrap();
    call.world.send(call.speaker, &recorded);
    call.speak_frames(20);
    call.heard();
    let heard = call.world.participant(call.listener).take_received(LISTENER_SSRC + 1);
    assert_eq!(heard.iter().map(frame_number).collect::<Vec<_>>(), (41..61).collect::<Vec<_>>());
    assert_eq!(call.world.stats().drops.count(DropReason::SrtpReplayed), 1);
}

#[test]
fn encodings_that_number_their_packets_alike_never_go_out_under_one_number() {
    let mut call = Call::new(14, Conditions::GOOD);
    let mut table = audio_producer("1", Some(0xaaaa));
    let mut second = table.encodings[0];
    second.ssrc = Some(Ssrc(0xbbbb));
    table.encodings.push(second);
    let producer = call.world.publish(call.speaker, table).unwrap();
    call.world.consume(call.listener, producer, audio_consumer("1", LISTENER_SSRC + 1)).unwrap();
    call.first_sequence = 100;
    for _ in 0..20 {
        for ssrc in [0xaaaa, 0xbbbb] {
            call.ssrc = ssrc;
            let packet = call.packet();
            call.world.send_rtp(call.speaker, &packet);
        }
        call.frame += 1;
        call.frames_of_ssrc += 1;
        call.world.run_for(FRAME);
    }
    call.heard();
    let listener = call.world.participant(call.listener);
    assert_eq!(listener.repeated, 0, "one index under one key, twice");
    assert_seamless(&listener.take_received(LISTENER_SSRC + 1));
}

#[test]
fn a_stream_goes_on_through_every_wrap_of_its_sequence_numbers() {
    let mut call = Call::new(11, Conditions::GOOD);
    // Enough for both sides to wrap, wherever the listener's numbers began.
    let frames = 70_000;
    for _ in 0..frames {
        let packet = call.packet();
        call.world.send_rtp(call.speaker, &packet);
        call.frame += 1;
        call.frames_of_ssrc += 1;
        call.world.run_for(Duration::from_millis(1));
    }
    let heard = call.heard();
    assert_eq!(heard.iter().map(frame_number).collect::<Vec<_>>(), (0..frames).collect::<Vec<_>>());
    assert_seamless(&heard);
    assert_eq!(call.world.participant(call.listener).repeated, 0, "nothing goes out twice");
}

#[test]
fn a_bad_network_shows_the_listener_its_own_losses_and_never_a_frame_twice() {
    for seed in 0..20 {
        let conditions = Conditions {
            loss: 0.1,
            repeats: 0.1,
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(60),
            bursts: None,
        };
        let mut call = Call::new(seed, conditions);
        let mut random = StdRng::seed_from_u64(seed);
        let consumer = call.consumer;
        for _ in 0..15 {
            call.speak_frames(random.random_range(1..60));
            if random.random_bool(0.5) {
                call.world.command(Command::PauseConsumer { consumer, reason: PauseReason::Owner });
                call.speak_frames(random.random_range(0..40));
                call.world.command(Command::ResumeConsumer { consumer, reason: PauseReason::Owner });
            }
        }
        let said = call.frame;
        let heard = call.heard();
        let mut numbers: Vec<(u32, u32)> = Vec::new();
        let mut frames = HashSet::new();
        for received in &heard {
            let frame = frame_number(received);
            assert!(frame < said && frames.insert(frame), "seed {seed}: frame {frame} came twice");
            numbers.push((frame, u32::from(sequence(received))));
        }
        // In the order that they were said, sequence numbers only ever go up, by no more than the frames between: losses are
        // seen as losses, and what was held back takes no numbers. They begin below 2^15 and do not wrap here.
        numbers.sort_unstable();
        for pair in numbers.windows(2) {
            let (frames, sequences) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
            assert!((1..=frames).contains(&sequences), "seed {seed}: {pair:?}");
        }
        assert!(heard.len() as u32 * 2 > said / 2, "seed {seed}: {} of {said} frames came", heard.len());
    }
}

#[test]
fn a_packet_from_another_address_or_opened_before_is_dropped_and_counted() {
    let mut call = Call::new(5, Conditions::GOOD);
    call.speak_frames(5);
    let packet = call.packet();
    let datagram = call.world.participant(call.speaker).protect(&packet);
    call.world.send_from("192.0.2.66:5000".parse().unwrap(), &datagram);
    for _ in 0..3 {
        call.world.send(call.speaker, &datagram);
    }
    let mut forged = datagram.clone();
    forged[20] ^= 1;
    forged[3] = forged[3].wrapping_add(1);
    call.world.send(call.speaker, &forged);
    assert_eq!(call.heard().len(), 6);
    let drops = call.world.stats().drops;
    assert_eq!(drops.count(DropReason::UnknownAddress), 1);
    assert_eq!(drops.count(DropReason::SrtpReplayed), 2);
    assert_eq!(drops.count(DropReason::SrtpUnauthenticated), 1);
}

#[test]
fn a_peer_that_falls_silent_is_sent_nothing_and_comes_back_with_its_next_check() {
    let mut call = Call::new(6, Conditions::GOOD);
    call.speak_frames(10);
    let before = call.heard();
    call.world.silence(call.listener);
    call.world.run_for(Duration::from_secs(40));
    let transport = call.world.transport(call.listener);
    let state = |ice| Event::TransportState { transport, ice, dtls: DtlsState::Connected };
    assert_eq!(call.world.events.last(), Some(&state(IceState::Disconnected)));
    call.speak_frames(10);
    assert!(call.heard().is_empty());
    let check = call.world.participant(call.listener).check();
    call.world.send(call.listener, &check);
    call.world.run_for(FRAME);
    assert_eq!(call.world.events.last(), Some(&state(IceState::Completed)));
    call.speak_frames(10);
    let after = call.heard();
    assert_eq!(after.len(), 10);
    assert_seamless(&[before, after].concat());
}

#[test]
fn a_thousand_streams_of_one_listener_are_all_reported_although_one_batch_cannot_hold_it() {
    let mut call = Call::new(15, Conditions::GOOD);
    let streams = CONSUMERS_PER_TRANSPORT_MAX as u32 - 1;
    for n in 1..=streams {
        let mut table = audio_consumer("0", LISTENER_SSRC + n);
        table.cname = "x".repeat(CNAME_LEN_MAX).into();
        call.world.consume(call.listener, call.producer, table).unwrap();
    }
    call.speak_frames(UNTOLD_FRAMES);
    let listener = call.world.participant(call.listener);
    let reported: HashSet<u32> = listener
        .reports
        .iter()
        .filter_map(|report| report.as_any().downcast_ref::<rtcp::sender_report::SenderReport>())
        .map(|report| report.ssrc)
        .collect();
    assert_eq!(reported, (LISTENER_SSRC..=LISTENER_SSRC + streams).collect());
    assert_eq!(call.world.stats().drops.count(DropReason::SendBufferFull), 0);
}

#[test]
fn what_was_said_while_a_listener_was_away_leaves_no_gap() {
    let mut call = Call::new(12, Conditions::GOOD);
    call.speak_frames(10);
    call.world.silence(call.listener);
    call.world.run_for(Duration::from_secs(40));
    // More than half of all sequence numbers: a listener that missed as many could not tell how often they rolled over.
    for _ in 0..40_000 {
        let packet = call.packet();
        call.world.send_rtp(call.speaker, &packet);
        call.frame += 1;
        call.frames_of_ssrc += 1;
        call.world.run_for(Duration::from_millis(1));
    }
    let check = call.world.participant(call.listener).check();
    call.world.send(call.listener, &check);
    call.world.run_for(FRAME);
    call.speak_frames(10);
    let heard = call.heard();
    let expected: Vec<u32> = (0..10).chain(40_010..40_020).collect();
    assert_eq!(heard.iter().map(frame_number).collect::<Vec<_>>(), expected);
    assert_seamless(&heard);
}

#[test]
fn reports_go_both_ways_and_tell_round_trips() {
    let mut call = Call::new(7, Conditions::GOOD);
    call.speak_frames(UNTOLD_FRAMES);
    let listener = call.world.participant(call.listener);
    let reports = std::mem::take(&mut listener.reports);
    let sender_report = reports
        .iter()
        .filter_map(|report| report.as_any().downcast_ref::<rtcp::sender_report::SenderReport>())
        .next_back()
        .expect("a sender report");
    assert_eq!(sender_report.ssrc, LISTENER_SSRC);
    let sent = UNTOLD_FRAMES - 50..=UNTOLD_FRAMES;
    assert!(sent.contains(&sender_report.packet_count), "{}", sender_report.packet_count);
    assert_eq!(sender_report.octet_count, sender_report.packet_count * 4);

    let speaker = call.world.participant(call.speaker);
    let reports = std::mem::take(&mut speaker.reports);
    let blocks: Vec<_> = reports
        .iter()
        .filter_map(|report| report.as_any().downcast_ref::<rtcp::receiver_report::ReceiverReport>())
        .flat_map(|report| &report.reports)
        .collect();
    assert!(blocks.iter().all(|block| block.ssrc == SPEAKER_SSRC && block.total_lost == 0) && blocks.len() >= 2);
    let reference = reports
        .iter()
        .filter_map(|report| report.as_any().downcast_ref::<rtcp::extended_report::ExtendedReport>())
        .next_back()
        .expect("a reference time");
    assert_eq!(call.world.stats().latency.buckets, [0; 8], "no round trip is known");

    // Both answer; the network takes 10 ms each way.
    let ntp = (sender_report.ntp_time >> 16) as u32;
    let answer = rtcp::receiver_report::ReceiverReport {
        ssrc: 99,
        reports: vec![rtcp::reception_report::ReceptionReport {
            ssrc: LISTENER_SSRC,
            last_sender_report: ntp,
            delay: 0,
            ..Default::default()
        }],
        ..Default::default()
    };
    let sent_by_listener = answer.marshal();
    let sent_by_speaker = dlrr(reference);
    for (link, compound) in [(call.listener, sent_by_listener), (call.speaker, sent_by_speaker)] {
        let datagram = call.world.participant(link).protect_rtcp(&compound);
        call.world.send(link, &datagram);
    }
    call.speak_frames(150);
    let latency = call.world.stats().latency;
    assert!(latency.buckets.iter().sum::<u64>() >= 2, "{latency:?}");

    trait MarshalReport {
        fn marshal(&self) -> Vec<u8>;
    }
    impl<T: rtp_util::marshal::Marshal> MarshalReport for T {
        fn marshal(&self) -> Vec<u8> {
            rtp_util::marshal::Marshal::marshal(self).unwrap().to_vec()
        }
    }
    fn dlrr(reference: &rtcp::extended_report::ExtendedReport) -> Vec<u8> {
        let time = reference.reports[0]
            .as_any()
            .downcast_ref::<rtcp::extended_report::ReceiverReferenceTimeReportBlock>()
            .expect("a reference time block")
            .ntp_timestamp;
        let reply = rtcp::extended_report::ExtendedReport {
            sender_ssrc: SPEAKER_SSRC,
            reports: vec![Box::new(rtcp::extended_report::DLRRReportBlock {
                reports: vec![rtcp::extended_report::DLRRReport {
                    ssrc: reference.sender_ssrc,
                    last_rr: (time >> 16) as u32,
                    dlrr: 0,
                }],
            })],
        };
        MarshalReport::marshal(&reply)
    }
}

#[test]
fn closing_takes_all_that_hangs_on_it_and_leaves_nothing() {
    let mut call = Call::new(8, Conditions::GOOD);
    let stats = call.world.stats();
    assert_eq!((stats.routers, stats.transports, stats.producers, stats.consumers), (1, 2, 1, 1));
    let transport = call.world.transport(call.speaker);
    call.world.command(Command::CloseTransport { transport });
    let stats = call.world.stats();
    assert_eq!((stats.routers, stats.transports, stats.producers, stats.consumers), (1, 1, 0, 0));
    // What is gone is no error to close again.
    call.world.command(Command::CloseTransport { transport });
    call.world.command(Command::CloseConsumer { consumer: call.consumer });
    call.world.command(Command::CloseRouter { router: call.router });
    let stats = call.world.stats();
    assert_eq!((stats.routers, stats.transports, stats.producers, stats.consumers), (0, 0, 0, 0));
    let check = call.world.participant(call.listener).check();
    call.world.send(call.listener, &check);
    call.world.run_for(FRAME);
    assert_eq!(call.world.stats().drops.count(DropReason::StunUnknownUser), 1);
}

#[test]
fn what_cannot_be_made_is_refused_and_changes_nothing() {
    let mut call = Call::new(9, Conditions::GOOD);
    let duplicate = call.world.publish(call.speaker, audio_producer("1", Some(SPEAKER_SSRC)));
    assert_eq!(duplicate, Err(CommandError::DuplicateSsrc));
    let duplicate = call.world.consume(call.listener, call.producer, audio_consumer("1", LISTENER_SSRC));
    assert_eq!(duplicate, Err(CommandError::DuplicateSsrc));
    // Not even once it is free again: its packet indices were used under the transport's key.
    call.world.command(Command::CloseConsumer { consumer: call.consumer });
    let again = call.world.consume(call.listener, call.producer, audio_consumer("1", LISTENER_SSRC));
    assert_eq!(again, Err(CommandError::DuplicateSsrc));
    call.world.consume(call.listener, call.producer, audio_consumer("1", LISTENER_SSRC + 1)).unwrap();
    let other_room = call.world.add_router();
    let stranger = call.world.add_connected_link(other_room);
    let foreign = call.world.consume(stranger, call.producer, audio_consumer("0", LISTENER_SSRC));
    assert_eq!(foreign, Err(CommandError::NotFound));
    let transport = call.world.transport(stranger);
    for fingerprints in [vec![], vec![Fingerprint::Sha256([7; 32]); 7]] {
        let dtls = DtlsTable { role: DtlsRole::Server, fingerprints };
        let refused = call.world.request(|request| Command::ConnectTransport { request, transport, dtls });
        assert_eq!(refused, Err(CommandError::BadTable));
    }
    let mut empty = audio_producer("2", Some(7));
    empty.codecs.clear();
    assert_eq!(call.world.publish(call.speaker, empty), Err(CommandError::BadTable));
    let stats = call.world.stats();
    assert_eq!((stats.producers, stats.consumers), (1, 1));
}

#[test]
fn an_address_that_its_peer_has_left_is_free_for_another_and_no_sooner() {
    let mut call = Call::new(17, Conditions::GOOD);
    let address = "192.0.2.66:5000".parse().unwrap();
    let check = call.world.participant(call.speaker).check();
    call.world.send_from(address, &check);
    // The speaker's own checks bring it back to where it was.
    for (seconds, refused) in [(5, 1), (20, 2), (10, 2)] {
        call.world.run_for(Duration::from_secs(seconds));
        let check = call.world.participant(call.listener).check();
        call.world.send_from(address, &check);
        call.world.run_for(FRAME);
        assert_eq!(call.world.stats().drops.count(DropReason::StunAddressTaken), refused);
    }
    // The listener's, where the speaker is heard no more.
    let packet = call.packet();
    let datagram = call.world.participant(call.speaker).protect(&packet);
    call.world.send_from(address, &datagram);
    call.world.run_for(FRAME);
    assert_eq!(call.world.stats().drops.count(DropReason::RtpUnknownStream), 1);
}

#[test]
fn requests_that_a_stuck_handshake_thread_leaves_stay_few() {
    let mut world = World::new(16, Conditions::GOOD);
    let router = world.add_router();
    let links: Vec<_> = (0..20).map(|_| world.add_link(router)).collect();
    let local = std::net::IpAddr::from([203, 0, 113, 1]);
    // One record with one byte of a certificate.
    let piece = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 11, 0, 0, 9, 0, 2, 0, 0, 0, 0, 0, 1, 7];
    for link in &links {
        let (source, check) = (world.participant(*link).address, world.participant(*link).check());
        let now = world.now();
        for datagram in std::iter::once(&check[..]).chain(std::iter::repeat_n(&piece[..], 100)) {
            assert!(world.shard.input_mut().push(datagram, source, local, now));
            world.shard.handle_input(now);
            while world.shard.poll_output(now).is_some() {}
        }
    }
    assert!(world.shard.stats_mut().drops.count(DropReason::DtlsOverload) > 900);
    let transports: Vec<_> = links.iter().map(|link| world.transport(*link)).collect();
    for transport in &transports[1..] {
        let now = world.now();
        world.shard.handle_command(now, Command::CloseTransport { transport: *transport });
    }
    let left: Vec<_> = std::iter::from_fn(|| world.shard.poll_dtls()).collect();
    assert!(left.len() <= 101 && left.iter().all(|request| request.transport() == transports[0]), "{}", left.len());
}

#[test]
fn a_publisher_that_sends_more_than_any_encoder_is_cut_and_the_next_second_is_heard() {
    let mut call = Call::new(15, Conditions::GOOD);
    for _ in 0..1000 {
        let mut packet = call.packet();
        packet.payload = vec![0; 1100].into();
        call.world.send_rtp(call.speaker, &packet);
        call.frame += 1;
        call.frames_of_ssrc += 1;
    }
    let heard = call.heard().len();
    assert!((80..100).contains(&heard), "{heard}");
    assert_eq!(call.world.stats().drops.count(DropReason::RtpOverRate), 1000 - heard as u64);
    call.speak_frames(10);
    assert_eq!(call.heard().len(), 10);
}

#[test]
fn a_participant_cannot_take_the_address_of_another() {
    let mut call = Call::new(10, Conditions::GOOD);
    let victim = call.world.participant(call.listener).address;
    let check = call.world.participant(call.speaker).check();
    call.world.send_from(victim, &check);
    call.speak_frames(10);
    assert_eq!(call.heard().len(), 10);
    assert_eq!(call.world.stats().drops.count(DropReason::StunAddressTaken), 1);
}
