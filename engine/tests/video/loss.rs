//! Losses, bursts, reordering and repeats on either hop.

use std::time::Duration;

use netsim::{Bursts, Conditions, EncodingSetup, PublisherSetup, ReceiverSetup};
use shard_protocol::tables::PayloadFormat;

use crate::scene::{FAR, FORMATS, FRAME, SECOND, SLACK, Scene};

/// What a viewer's picture can wait for without standing still for long.
const IN_TIME: Duration = Duration::from_millis(400);

#[test]
fn on_a_good_network_all_is_forwarded_once_and_nothing_is_asked_for() {
    for format in FORMATS {
        let mut scene = Scene::new(1, Conditions::GOOD, PublisherSetup::camera(format), 2);
        scene.run_for(10 * SECOND);
        for verdict in scene.judge_all(SLACK) {
            assert!(verdict.decoded.len() >= 298, "{format:?}: {} frames", verdict.decoded.len());
            assert_eq!((verdict.breaks.len(), verdict.missing), (0, 0));
        }
        for viewer in scene.viewers.clone() {
            assert!(scene.receiver(viewer).arrivals.iter().all(|arrival| !arrival.is_retransmission));
            assert_eq!(scene.share_within(viewer, Duration::from_millis(20)), 1.0);
        }
        assert!(scene.feedback().losses.is_empty());
    }
}

#[test]
fn at_ten_percent_loss_nearly_every_packet_arrives_in_time() {
    for (seed, format) in FORMATS.into_iter().enumerate() {
        let conditions = Conditions { loss: 0.1, ..FAR };
        let mut scene = Scene::new(seed as u64, conditions, PublisherSetup::camera(format), 3);
        scene.run_for(60 * SECOND);
        for viewer in scene.viewers.clone() {
            let share = scene.share_within(viewer, IN_TIME);
            assert!(share >= 0.995, "{format:?}, {viewer:?}: {share} in time");
        }
        scene.judge_all(SECOND);
    }
}

#[test]
fn the_service_asks_for_each_lost_packet_once_a_round_trip_and_no_more_often_than_it_must() {
    let mut scene = Scene::new(5, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 2);
    let (up, down) = (Conditions { loss: 0.1, ..FAR }, FAR);
    scene.world.set_line(scene.speaker, up, down);
    scene.run_for(30 * SECOND);
    let losses = std::mem::take(&mut scene.feedback().losses);
    let lost = scene.publisher().log.len() as f64 * 0.1;
    // A retransmission is lost as often as the packet itself.
    let expected = lost / 0.9;
    assert!((0.8 * expected..1.3 * expected).contains(&(losses.len() as f64)), "{} for {expected}", losses.len());
    let mut asked_at = std::collections::HashMap::new();
    for (at, ssrc, sequence) in losses {
        if let Some(before) = asked_at.insert((ssrc, sequence), at) {
            assert!(at - before >= Duration::from_millis(45), "{sequence} again after {:?}", at - before);
        }
    }
    // What one hop loses is mended there: the viewers' own requests find nothing to send that they have not got.
    for verdict in scene.judge_all(SECOND) {
        assert_eq!(verdict.breaks.len(), 0);
        assert!(verdict.decoded.len() > 880, "{} frames", verdict.decoded.len());
    }
}

#[test]
fn a_loss_towards_one_receiver_is_mended_from_the_store_and_costs_the_publisher_nothing() {
    let mut scene = Scene::new(6, FAR, PublisherSetup::camera(PayloadFormat::H264), 3);
    let unlucky = scene.viewers[0];
    scene.world.set_line(unlucky.link, FAR, Conditions { loss: 0.1, ..FAR });
    scene.run_for(30 * SECOND);
    assert!(scene.feedback().losses.is_empty());
    assert_eq!(scene.publisher().repeats, 0);
    assert!(scene.share_within(unlucky, IN_TIME) >= 0.999);
    let is_mended = |scene: &mut Scene, viewer| {
        scene.receiver(viewer).arrivals.iter().filter(|arrival| arrival.is_retransmission).count()
    };
    assert!(is_mended(&mut scene, unlucky) > 150);
    for lucky in [scene.viewers[1], scene.viewers[2]] {
        assert_eq!(is_mended(&mut scene, lucky), 0);
    }
    scene.judge_all(SLACK);
}

#[test]
fn where_nothing_can_be_sent_again_the_picture_goes_on_with_key_frames() {
    for publisher_has in [true, false] {
        let camera = PublisherSetup::camera(PayloadFormat::Vp8);
        let mut scene = Scene::new(7, FAR, PublisherSetup { has_retransmission: publisher_has, ..camera }, 0);
        scene.receivers_have_retransmission = !publisher_has;
        let viewer = scene.join();
        // The way that has none loses.
        let lossy = Conditions { loss: 0.01, ..FAR };
        if publisher_has {
            scene.world.set_line(viewer.link, FAR, lossy);
        } else {
            scene.world.set_line(scene.speaker, lossy, FAR);
        }
        scene.run_for(30 * SECOND);
        let verdict = scene.judge(viewer, SLACK);
        assert!(scene.receiver(viewer).arrivals.iter().all(|arrival| !arrival.is_retransmission));
        assert!(scene.key_frames_asked(scene.now() - 30 * SECOND) > 5);
        let longest = verdict.decoded.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
        assert!(longest < 3 * SECOND, "{longest:?} without picture");
        assert!(verdict.decoded.len() > 300, "{} frames", verdict.decoded.len());
    }
}

#[test]
fn bursts_are_mended_and_the_picture_goes_on_after_those_that_are_not() {
    for seed in 0..8 {
        // Bursts of ten datagrams in the mean, a tenth of all.
        let bursts = Some(Bursts { begin: 0.011, end: 0.1 });
        let mut scene = Scene::new(seed, Conditions { bursts, ..FAR }, PublisherSetup::camera(PayloadFormat::Vp8), 2);
        scene.run_for(20 * SECOND);
        scene.world.set_conditions(FAR);
        scene.run_for(3 * SECOND);
        let now = scene.now();
        for verdict in scene.judge_all(SECOND) {
            let last = verdict.decoded.iter().filter(|frame| frame.at > now - SECOND).count();
            assert!(last >= 29, "seed {seed}: {last} frames in the last second");
            assert!(verdict.decoded.len() > 300, "seed {seed}: {} frames in all", verdict.decoded.len());
        }
    }
}

#[test]
fn packets_that_overtake_each_other_within_the_wait_are_not_asked_for() {
    for (seed, format) in FORMATS.into_iter().enumerate() {
        let mut scene = Scene::new(seed as u64, FAR, PublisherSetup::camera(format), 2);
        // Nothing comes later than 9 ms after one that was sent behind it: the wait is 10 ms.
        scene.world.set_line(scene.speaker, Conditions { jitter: Duration::from_millis(9), ..FAR }, FAR);
        scene.run_for(10 * SECOND);
        assert!(scene.feedback().losses.is_empty(), "{format:?}: {:?}", scene.feedback().losses);
        assert_eq!(scene.publisher().repeats, 0);
        for (viewer, verdict) in scene.viewers.clone().into_iter().zip(scene.judge_all(SLACK)) {
            assert_eq!((verdict.missing, verdict.breaks.len()), (0, 0));
            assert!(verdict.decoded.len() >= 298, "{} frames", verdict.decoded.len());
            // A key frame's packets that overtook its first are sent when they are asked for, a round trip later.
            assert_eq!(scene.share_within(viewer, Duration::from_millis(150)), 1.0);
        }
    }
}

#[test]
fn a_stream_begins_whole_although_its_first_packets_overtake_each_other() {
    for seed in 0..50 {
        let jitter = Duration::from_millis(30);
        let mut scene = Scene::new(seed, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 0);
        scene.receiver_setup = ReceiverSetup { round_trip: FAR.delay * 2, asks: true };
        scene.world.set_line(scene.speaker, Conditions { jitter, ..FAR }, FAR);
        scene.run_for(SECOND);
        let viewer = scene.join();
        let joined_at = scene.now();
        scene.run_for(2 * SECOND);
        let verdict = scene.judge(viewer, Duration::from_millis(100));
        let first = verdict.decoded.first().expect("a frame");
        assert!(first.at <= joined_at + Duration::from_millis(400), "seed {seed}: {:?}", first.at - joined_at);
        assert_eq!(Some(first.label.frame), verdict.first.map(|label| label.frame), "seed {seed}");
    }
}

#[test]
fn what_the_network_repeats_goes_out_once() {
    let conditions = Conditions { repeats: 0.3, ..FAR };
    let mut scene = Scene::new(7, FAR, PublisherSetup::camera(PayloadFormat::Vp9), 2);
    scene.world.set_line(scene.speaker, conditions, conditions);
    scene.run_for(10 * SECOND);
    scene.judge_all(SLACK);
    for viewer in scene.viewers.clone() {
        let receiver = scene.receiver(viewer);
        let mut numbers: Vec<u64> = receiver.arrivals.iter().map(|arrival| arrival.sequence).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "each number once");
        assert_eq!(scene.world.participant(viewer.link).repeated, 0);
    }
}

#[test]
fn a_stream_goes_on_through_every_wrap_of_its_numbers() {
    let encoding = EncodingSetup { rid: None, interval: Duration::from_millis(1), delta_len: 60, key_len: 60 };
    let setup = PublisherSetup { encodings: vec![encoding], ..PublisherSetup::camera(PayloadFormat::Vp8) };
    let mut scene = Scene::new(9, Conditions { loss: 0.01, ..Conditions::GOOD }, setup, 1);
    scene.run_for(70 * SECOND);
    let viewer = scene.viewers[0];
    assert!(scene.share_within(viewer, IN_TIME) > 0.9999);
    let verdict = scene.judge(viewer, SLACK);
    assert!(verdict.decoded.len() > 69_000 && verdict.breaks.is_empty(), "{} frames", verdict.decoded.len());
}

#[test]
fn padding_in_the_medias_stream_leaves_no_hole() {
    for format in FORMATS {
        let mut scene = Scene::new(8, Conditions { loss: 0.02, ..FAR }, PublisherSetup::camera(format), 2);
        for _ in 0..100 {
            scene.run_for(Duration::from_millis(70));
            let now = scene.now();
            scene.publisher().send_padding(now, 0);
        }
        scene.run_for(SECOND);
        for (viewer, verdict) in scene.viewers.clone().into_iter().zip(scene.judge_all(SLACK)) {
            assert_eq!((verdict.missing, verdict.breaks.len()), (0, 0), "{format:?}");
            let padding = scene.receiver(viewer).arrivals.iter().filter(|arrival| arrival.content.is_none()).count();
            assert!(padding >= 90, "{format:?}: {padding}");
        }
    }
}

#[test]
fn what_a_screen_loses_is_mended_over_a_long_way() {
    let encoding =
        EncodingSetup { rid: None, interval: Duration::from_nanos(33_333_333), delta_len: 16_000, key_len: 120_000 };
    for round_trip_ms in [60, 150, 300] {
        let far = Conditions { delay: Duration::from_millis(round_trip_ms / 2), ..Conditions::GOOD };
        let setup = PublisherSetup { encodings: vec![encoding], ..PublisherSetup::camera(PayloadFormat::Vp8) };
        let mut scene = Scene::new(1, far, setup, 1);
        scene.world.set_line(scene.speaker, Conditions { loss: 0.02, ..far }, far);
        scene.run_for(20 * SECOND);
        let viewer = scene.viewers[0];
        let decoded = scene.judge(viewer, SECOND).decoded.len();
        // Of 600 frames; where the round trip is long a packet that is lost three times costs a key frame.
        assert!(decoded > 560, "{decoded} frames decoded with a round trip of {round_trip_ms} ms");
    }
}

#[test]
fn what_is_lost_of_frames_that_come_in_one_turn_is_asked_for() {
    let mut scene = Scene::new(12, FAR, PublisherSetup::simulcast(PayloadFormat::Vp8), 2);
    scene.world.set_coalescing(2 * FRAME);
    scene.run_for(3 * SECOND);
    // It begins with the encoding that came first and changes to the highest.
    let breaks = scene.judge_all(SLACK + 2 * FRAME).into_iter().map(|verdict| verdict.breaks.len()).max();
    scene.world.set_line(scene.speaker, Conditions { loss: 0.02, ..FAR }, FAR);
    scene.run_for(20 * SECOND);
    scene.world.set_line(scene.speaker, FAR, FAR);
    scene.run_for(2 * SECOND);
    for verdict in scene.judge_all(SLACK + 10 * FRAME) {
        assert_eq!((Some(verdict.breaks.len()), verdict.missing), (breaks, 0));
        assert!(verdict.decoded.len() >= 740, "{} frames", verdict.decoded.len());
    }
}
