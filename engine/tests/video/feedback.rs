//! What publishers are told: transport-wide arrivals, and how much they may send.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use netsim::{Conditions, PublisherSetup};
use rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc};
use rtp::header::Header;
use rtp::packet::Packet;
use shard_protocol::Command;
use shard_protocol::tables::PayloadFormat;

use crate::scene::{FAR, SECOND, Scene};

/// What feedback says of one packet: its transport-wide number, and when it came if it did.
type Status = (u16, Option<i64>);

/// All statuses of one feedback packet; times in microseconds.
fn statuses(feedback: &TransportLayerCc) -> Vec<Status> {
    let symbols = feedback.packet_chunks.iter().flat_map(|chunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => vec![run.packet_status_symbol; usize::from(run.run_length)],
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
    });
    let mut deltas = feedback.recv_deltas.iter();
    let mut at = i64::from(feedback.reference_time) * 64_000;
    let status = |(place, symbol): (usize, SymbolTypeTcc)| {
        let number = feedback.base_sequence_number.wrapping_add(place as u16);
        if symbol == SymbolTypeTcc::PacketNotReceived {
            return (number, None);
        }
        at += deltas.next().expect("a delta for each packet that came").delta;
        (number, Some(at))
    };
    let statuses = symbols.take(usize::from(feedback.packet_status_count)).enumerate().map(status).collect();
    assert_eq!(deltas.count(), 0, "a delta too many");
    statuses
}

fn arrivals(scene: &mut Scene) -> Vec<(Instant, TransportLayerCc)> {
    std::mem::take(&mut scene.feedback().arrivals)
}

#[test]
fn arrivals_are_told_ten_times_a_second_each_number_once_and_to_a_quarter_of_a_millisecond() {
    let mut scene = Scene::new(1, FAR, PublisherSetup::simulcast(PayloadFormat::Vp8), 1);
    scene.world.add_publisher(scene.speaker, PublisherSetup::microphone());
    scene.world.set_line(scene.speaker, Conditions { loss: 0.05, ..FAR }, FAR);
    scene.run_for(20 * SECOND);
    let feedback = arrivals(&mut scene);
    assert!((190..=205).contains(&feedback.len()), "{} in 20 s", feedback.len());
    let late = feedback.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    assert!(late <= Duration::from_millis(150), "{late:?} between two");
    for pair in feedback.windows(2) {
        let (before, after) = (&pair[0].1, &pair[1].1);
        assert_eq!(after.base_sequence_number, before.base_sequence_number.wrapping_add(before.packet_status_count));
        assert_eq!(after.fb_pkt_count, before.fb_pkt_count.wrapping_add(1));
    }

    let told: Vec<Status> = feedback.iter().flat_map(|(_, feedback)| statuses(feedback)).collect();
    let first = told[0].0;
    let sent = &scene.world.participant(scene.speaker).sent;
    let reached = |number: usize| sent[usize::from(first) + number].reached_at;
    assert!(told.len() > 2000 && told.len() + 50 > sent.len(), "{} of {}", told.len(), sent.len());
    let (origin, told_origin) = (reached(0).unwrap(), told[0].1.unwrap());
    for (place, (number, at)) in told.iter().enumerate() {
        assert_eq!(*number, first.wrapping_add(place as u16));
        assert_eq!(at.is_some(), reached(place).is_some(), "number {number}");
        if let Some((at, reached)) = at.zip(reached(place)) {
            let error = (at - told_origin) - (reached - origin).as_micros() as i64;
            assert!(error.abs() <= 250, "number {number} is off by {error} us");
        }
    }
}

#[test]
fn a_number_that_comes_late_or_twice_is_told_as_it_came_first() {
    for seed in 0..10 {
        let mut scene = Scene::new(seed, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
        // No packet is overtaken by its own retransmission.
        let up = Conditions { loss: 0.05, repeats: 0.1, jitter: Duration::from_millis(45), ..FAR };
        scene.world.set_line(scene.speaker, up, FAR);
        scene.run_for(10 * SECOND);
        let told = arrivals(&mut scene);
        let sent = &scene.world.participant(scene.speaker).sent;
        let mut origin = None;
        // What was told last of a number counts.
        let mut came = HashMap::new();
        for (number, at) in told.iter().flat_map(|(_, feedback)| statuses(feedback)) {
            let reached = sent[usize::from(number)].reached_at;
            if let Some(at) = at {
                let reached = reached.expect("no number is invented");
                let (told_origin, origin) = *origin.get_or_insert((at, reached));
                let since = reached.saturating_duration_since(origin).as_micros() as i64
                    - origin.saturating_duration_since(reached).as_micros() as i64;
                assert!((at - told_origin - since).abs() <= 250, "seed {seed}: number {number}");
            }
            came.insert(number, at.is_some());
        }
        // The last ones are not told yet, or have not been when the run ends.
        let end = scene.world.now() - Duration::from_millis(200);
        let sent = &scene.world.participant(scene.speaker).sent;
        let is_due = |number: &u16| sent[usize::from(*number)].reached_at.is_some_and(|at| at < end);
        for number in (0..sent.len() as u16).filter(is_due) {
            assert_eq!(came.get(&number), Some(&true), "seed {seed}: number {number}");
        }
    }
}

#[test]
fn those_who_only_speak_or_only_watch_are_told_nothing_of_arrivals() {
    let mut scene = Scene::new(2, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    let speaker = scene.world.add_connected_link(scene.router);
    scene.world.add_publisher(speaker, PublisherSetup::microphone());
    scene.run_for(3 * SECOND);
    for link in [speaker, scene.viewers[0].link] {
        let feedback = &scene.world.participant(link).feedback;
        assert!(feedback.arrivals.is_empty() && feedback.estimates.is_empty());
    }
}

/// The limit that the publisher was told last, and of how many streams.
fn limit(scene: &mut Scene) -> (u64, Vec<u32>) {
    let (_, estimate) = scene.feedback().estimates.last().cloned().expect("a limit");
    (estimate.bitrate as u64, estimate.ssrcs)
}

#[test]
fn a_publisher_is_told_the_sum_of_its_producers_limits() {
    let mut scene = Scene::new(3, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    scene.run_for(3 * SECOND);
    let (bits, ssrcs) = limit(&mut scene);
    assert!((2_140_000..=2_150_000).contains(&bits), "{bits}");
    assert!(ssrcs.contains(&scene.publisher().ssrc(0)));
    scene.world.add_publisher(scene.speaker, PublisherSetup::microphone());
    scene.run_for(3 * SECOND);
    let (bits, _) = limit(&mut scene);
    assert!((2_268_000..=2_278_000).contains(&bits), "{bits}");
}

#[test]
fn an_operators_limit_caps_what_a_publisher_is_told() {
    let mut scene = Scene::new(4, FAR, PublisherSetup::simulcast(PayloadFormat::Vp8), 0);
    scene.world.set_incoming_bitrate_max(Some(600_000));
    let speaker = scene.world.add_connected_link(scene.router);
    scene.world.add_publisher(speaker, PublisherSetup::simulcast(PayloadFormat::Vp8));
    scene.run_for(3 * SECOND);
    let participant = scene.world.participant(speaker);
    let (_, estimate) = participant.feedback.estimates.last().expect("a limit");
    assert!((590_000.0..=600_000.0).contains(&estimate.bitrate), "{}", estimate.bitrate);
    assert!((0..3).all(|encoding| estimate.ssrcs.contains(&participant.publishers[0].ssrc(encoding))));
}

#[test]
fn publishers_hear_how_each_of_their_streams_is_received() {
    let mut scene = Scene::new(5, FAR, PublisherSetup::simulcast(PayloadFormat::H264), 0);
    scene.world.set_line(scene.speaker, Conditions { loss: 0.1, ..FAR }, FAR);
    scene.run_for(20 * SECOND);
    for encoding in 0..3 {
        let ssrc = scene.publisher().ssrc(encoding);
        let reports: Vec<_> =
            scene.feedback().receptions.iter().filter(|(_, report)| report.ssrc == ssrc).cloned().collect();
        assert!(reports.len() >= 18, "{}", reports.len());
        let lost = reports.iter().map(|(_, report)| f64::from(report.fraction_lost) / 256.0).sum::<f64>()
            / reports.len() as f64;
        // What is sent again does not hide what was lost.
        assert!((0.05..0.15).contains(&lost), "encoding {encoding}: {lost}");
    }
}

#[test]
fn probes_alone_are_told_of_in_time() {
    let mut scene = Scene::new(3, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    scene.run_for(3 * SECOND);
    scene.publisher().pause();
    scene.run_for(Duration::from_millis(2100));
    let rtx = scene.publisher().table().encodings[0].rtx_ssrc.unwrap().0;
    for probe in 0..10_u16 {
        let sent_at = scene.now();
        let mut header =
            Header { version: 2, payload_type: 97, sequence_number: 40_000 + probe, ssrc: rtx, ..Header::default() };
        header.set_extension(3, Bytes::copy_from_slice(&(5000 + probe).to_be_bytes())).unwrap();
        // It repeats a number that has come, as browsers' probes do.
        let packet = Packet { header, payload: Bytes::from_static(&[0, 1, 2, 3]) };
        let (speaker, before) = (scene.speaker, scene.feedback().arrivals.len());
        scene.world.send_rtp(speaker, &packet);
        scene.run_for(Duration::from_millis(1730));
        let told_after = scene.feedback().arrivals.get(before).map(|(at, _)| *at - sent_at);
        assert!(told_after.is_some_and(|after| after < Duration::from_millis(200)), "{told_after:?}");
    }
}

#[test]
fn a_hole_of_hundreds_of_numbers_is_told_whole_and_counted_on() {
    let mut scene = Scene::new(3, Conditions::GOOD, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    scene.run_for(3 * SECOND);
    scene.publisher().pause();
    scene.run_for(SECOND);
    let media = scene.publisher().table().encodings[0].ssrc.unwrap().0;
    let number = scene.publisher().log.last().unwrap().sequence;
    let from = scene.feedback().arrivals.len();
    let next = scene.world.participant(scene.speaker).sent.len() as u16;
    let mut header = Header {
        version: 2,
        payload_type: 96,
        sequence_number: number.wrapping_add(1),
        ssrc: media,
        ..Header::default()
    };
    header.set_extension(3, Bytes::copy_from_slice(&(next + 300).to_be_bytes())).unwrap();
    let packet = Packet { header, payload: Bytes::from_static(&[0x10, 1, 2, 3]) };
    let speaker = scene.speaker;
    scene.world.send_rtp(speaker, &packet);
    scene.run_for(SECOND);
    let [before, told] = &scene.feedback().arrivals[from - 1..] else { panic!("one telling") };
    assert_eq!(told.1.fb_pkt_count, before.1.fb_pkt_count.wrapping_add(1));
    assert_eq!(told.1.base_sequence_number.wrapping_add(told.1.packet_status_count), next + 301);
    assert!(told.1.packet_status_count >= 300);
}

#[test]
fn a_microphone_is_limited_no_more_once_the_camera_is_closed() {
    let mut scene = Scene::new(3, Conditions::GOOD, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    scene.world.add_publisher(scene.speaker, PublisherSetup::microphone());
    scene.run_for(3 * SECOND);
    let producer = scene.producer;
    scene.world.command(Command::CloseProducer { producer });
    let closed_at = scene.now() + SECOND;
    scene.run_for(3 * SECOND);
    assert!(!scene.feedback().estimates.is_empty());
    assert!(scene.feedback().estimates.iter().all(|(at, _)| *at < closed_at));
}
