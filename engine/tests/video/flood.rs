//! One receiver that asks for more than it misses costs itself, and nobody else.

use std::time::{Duration, Instant};

use netsim::PublisherSetup;
use shard_protocol::stats::DropReason;
use shard_protocol::tables::PayloadFormat;

use crate::scene::{FAR, SECOND, SLACK, Scene, Viewer};

/// What one consumer may be sent again in a second.
const BYTES_PER_SECOND: usize = 250_000;

/// When each packet came to a viewer.
fn arrivals(scene: &mut Scene, viewer: Viewer) -> Vec<(Duration, u64)> {
    let start = scene.publisher().epoch();
    let since = |at: Instant| at - start;
    scene.receiver(viewer).arrivals.iter().map(|arrival| (since(arrival.at), arrival.sequence)).collect()
}

/// Ten seconds in which the first of two viewers asks for all that it was sent lately, every 5 ms, or behaves.
fn run(is_flooded: bool) -> Scene {
    let mut scene = Scene::new(1, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 2);
    let attacker = scene.viewers[0];
    for _ in 0..2000 {
        if is_flooded {
            let receiver = scene.receiver(attacker);
            let numbers: Vec<u16> =
                receiver.arrivals.iter().rev().map(|arrival| arrival.sequence as u16).take(250).collect();
            receiver.request_packets(&numbers);
        }
        scene.run_for(Duration::from_millis(5));
    }
    scene
}

#[test]
fn a_flood_of_requests_is_answered_within_its_senders_budget_and_others_see_nothing_of_it() {
    let mut flooded = run(true);
    let mut calm = run(false);
    let (attacker, other) = (flooded.viewers[0], flooded.viewers[1]);
    assert_eq!(arrivals(&mut flooded, other), arrivals(&mut calm, other));
    assert_eq!(flooded.publisher().repeats, 0, "the publisher is not asked");

    let again = flooded.receiver(attacker).arrivals.iter().filter(|arrival| arrival.is_retransmission);
    let bytes: usize = again.map(|arrival| arrival.payload.len()).sum();
    assert!(bytes > 0 && bytes <= 11 * BYTES_PER_SECOND, "{bytes} bytes in 10 s");
    let refused = flooded.world.stats().drops.count(DropReason::RetransmissionRefused);
    assert!(refused > 1000, "{refused}");
    flooded.judge_all(SLACK);
    assert_eq!(flooded.share_within(attacker, Duration::from_millis(100)), 1.0, "its own stream goes on too");
}

#[test]
fn requests_for_what_was_never_sent_or_is_long_gone_find_nothing() {
    let mut scene = Scene::new(2, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    let viewer = scene.viewers[0];
    scene.run_for(30 * SECOND);
    let arrivals = &scene.receiver(viewer).arrivals;
    let (first, newest) = (arrivals[0].sequence as u16, arrivals[arrivals.len() - 1].sequence as u16);
    let asked: Vec<u16> = (0..200).flat_map(|n| [first.wrapping_add(n), newest.wrapping_add(20 + n)]).collect();
    for numbers in asked.chunks(100) {
        scene.receiver(viewer).request_packets(numbers);
        scene.run_for(SECOND / 2);
    }
    assert!(scene.receiver(viewer).arrivals.iter().all(|arrival| !arrival.is_retransmission));
    scene.judge(viewer, SLACK);
}

#[test]
fn a_flood_of_key_frame_requests_is_throttled() {
    let mut scene = Scene::new(3, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 2);
    let attacker = scene.viewers[0];
    scene.run_for(SECOND);
    let since = scene.now();
    for _ in 0..5000 {
        scene.receiver(attacker).request_key_frame();
        scene.run_for(Duration::from_millis(1));
    }
    scene.run_for(SECOND);
    let asked = scene.key_frames_asked(since);
    assert!((4..=6).contains(&asked), "{asked} in 5 s");
}

#[test]
fn one_who_asks_for_much_keeps_nobody_from_its_packets_in_the_same_turn() {
    let mut scene = Scene::new(1, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 2);
    let (attacker, other) = (scene.viewers[0], scene.viewers[1]);
    scene.run_for(5 * SECOND);
    for (viewer, count) in [(attacker, 200), (other, 5)] {
        let receiver = scene.receiver(viewer);
        let newest = receiver.arrivals.iter().rev().map(|arrival| arrival.sequence as u16);
        let numbers: Vec<u16> = newest.take(count).collect();
        receiver.request_packets(&numbers);
    }
    scene.run_for(SECOND);
    let again = scene.receiver(other).arrivals.iter().filter(|arrival| arrival.is_retransmission).count();
    assert_eq!(again, 5);
}

#[test]
fn a_recorded_packet_of_a_stream_that_ended_long_ago_is_refused() {
    let mut scene = Scene::new(3, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    scene.run_for(SECOND);
    // The first packet of a key frame that names its stream by the MID.
    let mut packet = vec![0x90, 0x80 | 96, 0, 9, 0, 0, 0, 9, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 0x40, b'v', 0, 0];
    packet.extend_from_slice(&[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
    let speaker = scene.speaker;
    let recorded = scene.world.participant(speaker).try_protect(&packet).unwrap();
    scene.world.send(speaker, &recorded);
    scene.run_for(SECOND / 10);
    for _ in 0..40 {
        scene.publisher().restart();
        scene.run_for(SECOND / 5);
    }
    let unknown = |scene: &mut Scene| scene.world.stats().drops.count(DropReason::RtpUnknownStream);
    let before = unknown(&mut scene);
    scene.world.send(speaker, &recorded);
    scene.run_for(SECOND);
    assert_eq!(unknown(&mut scene), before + 1);
    let (viewer, since) = (scene.viewers[0], scene.now());
    scene.run_for(2 * SECOND);
    let arrivals = scene.receiver(viewer).arrivals.iter().filter(|arrival| arrival.at > since).count();
    assert!(arrivals >= 100, "{arrivals}: the stream of now goes on");
}
