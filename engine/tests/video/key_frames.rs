//! Beginning, stopping and going on: always with a key frame, asked for no more often than it helps.

use std::time::Duration;

use netsim::{Conditions, PublisherSetup, ReceiverSetup, consumer};
use rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtp_util::marshal::Marshal;
use shard_protocol::Command;
use shard_protocol::command::PauseReason;
use shard_protocol::tables::PayloadFormat;

use crate::scene::{FAR, FORMATS, FRAME, SECOND, SLACK, Scene};

/// From the wish for a key frame to its arrival on a network of 50 ms round trip: to the publisher, a frame's wait, and two
/// ways back.
const KEY_FRAME_TIME: Duration = Duration::from_millis(25 + 34 + 50 + 10);

#[test]
fn one_who_joins_late_begins_with_a_key_frame_that_was_asked_for_at_once() {
    // AV1 says by itself where a key frame begins, for publishers without the extension.
    let plain = PublisherSetup { has_dependency_descriptor: false, ..PublisherSetup::camera(PayloadFormat::Av1) };
    for setup in FORMATS.map(PublisherSetup::camera).into_iter().chain([plain]) {
        let format = setup.format;
        let mut scene = Scene::new(1, FAR, setup, 1);
        scene.run_for(5 * SECOND);
        let link = scene.world.add_connected_link(scene.router);
        let joined_at = scene.now();
        let viewer = scene.watch(link);
        scene.run_for(2 * SECOND);
        assert_eq!(scene.key_frames_asked(joined_at), 1, "{format:?}");
        let decoded = scene.decoded_since(viewer, joined_at);
        assert!(decoded[0].label.is_key);
        assert!(decoded[0].at <= joined_at + KEY_FRAME_TIME, "{format:?}: {:?}", decoded[0].at - joined_at);
        assert!(decoded.len() >= 55, "{} frames", decoded.len());
        scene.judge_all(SLACK);
    }
}

#[test]
fn one_who_joins_at_any_time_after_a_key_frame_waits_for_the_rest_of_a_second_at_most() {
    for wait in (0..10).map(|tenths| Duration::from_millis(100 * tenths)) {
        let mut scene = Scene::new(10, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
        scene.run_for(2 * SECOND);
        let links = [(); 2].map(|()| scene.world.add_connected_link(scene.router));
        scene.watch(links[0]);
        scene.run_for(KEY_FRAME_TIME + wait);
        let joined_at = scene.now();
        let viewer = scene.watch(links[1]);
        scene.run_for(2 * SECOND);
        let waited = scene.decoded_since(viewer, joined_at)[0].at - joined_at;
        // The picture's own way to the viewer comes on top.
        assert!(waited <= SECOND + FAR.delay, "{waited:?} after {wait:?}");
        scene.judge_all(SLACK);
    }
}

#[test]
fn a_consumer_goes_on_after_a_pause_with_a_key_frame_and_no_gap() {
    for format in FORMATS {
        let mut scene = Scene::new(2, FAR, PublisherSetup::camera(format), 2);
        scene.run_for(2 * SECOND);
        let (paused, other) = (scene.viewers[0], scene.viewers[1]);
        for pause in [FRAME / 2, 3 * FRAME, 3 * SECOND] {
            scene.pause_consumer(paused);
            scene.run_for(pause);
            let resumed_at = scene.now();
            scene.resume_consumer(paused);
            scene.run_for(3 * SECOND);
            assert_eq!(scene.key_frames_asked(resumed_at), 1, "{format:?} after {pause:?}");
            // What was under way when it was resumed is not decodable without what was held back.
            let decoded = scene.decoded_since(paused, resumed_at + FAR.delay);
            assert!(decoded[0].label.is_key, "{format:?} after {pause:?}");
            assert!(decoded[0].at <= resumed_at + KEY_FRAME_TIME);
        }
        let verdict = scene.judge(paused, SLACK);
        assert_eq!((verdict.breaks.len(), verdict.missing), (3, 0), "{format:?}");
        let verdict = scene.judge(other, SLACK);
        assert_eq!((verdict.breaks.len(), verdict.missing), (0, 0), "the other saw nothing of it");
    }
}

#[test]
fn all_go_on_after_a_producers_pause_with_one_key_frame() {
    for reason in [PauseReason::Owner, PauseReason::State] {
        let mut scene = Scene::new(3, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 5);
        scene.run_for(2 * SECOND);
        scene.pause_producer(reason);
        scene.run_for(2 * SECOND);
        let resumed_at = scene.now();
        scene.resume_producer(reason);
        scene.run_for(2 * SECOND);
        assert_eq!(scene.key_frames_asked(resumed_at), 1);
        for viewer in scene.viewers.clone() {
            let decoded = scene.decoded_since(viewer, resumed_at);
            assert!(decoded[0].label.is_key && decoded[0].at <= resumed_at + KEY_FRAME_TIME);
            let verdict = scene.judge(viewer, SLACK);
            assert_eq!((verdict.breaks.len(), verdict.missing), (1, 0));
        }
    }
}

#[test]
fn a_track_that_is_switched_off_and_on_goes_on_without_a_key_frame() {
    let mut scene = Scene::new(4, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 2);
    scene.run_for(2 * SECOND);
    scene.publisher().pause();
    scene.run_for(10 * SECOND);
    let resumed_at = scene.now();
    scene.publisher().resume();
    scene.run_for(2 * SECOND);
    assert!(scene.key_frames_asked(resumed_at) <= 1, "what was missed in silence is nothing");
    for verdict in scene.judge_all(SLACK) {
        assert!(verdict.decoded.len() >= 118, "{}", verdict.decoded.len());
    }
}

#[test]
fn a_publisher_that_begins_anew_with_another_ssrc_goes_on_in_the_receivers_stream() {
    for format in FORMATS {
        for setup in [PublisherSetup::camera(format), PublisherSetup::simulcast(format)] {
            let mut scene = Scene::new(5, FAR, setup, 2);
            for _ in 0..4 {
                scene.run_for(2 * SECOND);
                scene.publisher().restart();
            }
            scene.run_for(2 * SECOND);
            let now = scene.now();
            for verdict in scene.judge_all(SLACK) {
                assert!(verdict.breaks.iter().filter(|(one, other)| one.run != other.run).count() == 4, "{format:?}");
                assert_eq!(verdict.missing, 0);
                assert!(verdict.decoded.iter().filter(|frame| frame.at > now - SECOND).count() >= 29);
            }
        }
    }
}

#[test]
fn what_is_sent_again_of_a_stream_that_has_ended_is_no_part_of_the_next() {
    for seed in 0..40 {
        let setup = if seed % 2 == 0 { PublisherSetup::camera } else { PublisherSetup::simulcast };
        let mut scene = Scene::new(seed, FAR, setup(PayloadFormat::Vp8), 2);
        scene.run_for(SECOND);
        let speaker = scene.speaker;
        scene.world.set_line(speaker, Conditions { loss: 1.0, ..FAR }, FAR);
        scene.run_for(FRAME);
        // What comes next shows the gap; what is asked for takes so long that another stream has begun.
        scene.world.set_line(speaker, FAR, FAR);
        scene.run_for(2 * FRAME);
        scene.world.set_line(speaker, Conditions { delay: Duration::from_millis(300), ..FAR }, FAR);
        scene.run_for(FRAME);
        assert!(scene.publisher().repeats > 0);
        scene.world.set_line(speaker, FAR, FAR);
        scene.publisher().restart();
        scene.run_for(3 * SECOND);
        let now = scene.now();
        // Time is told by arrivals where the new stream has not been reported yet.
        for verdict in scene.judge_all(Duration::from_millis(400)) {
            assert!(verdict.decoded.iter().filter(|frame| frame.at > now - SECOND).count() >= 29, "seed {seed}");
        }
    }
}

#[test]
fn a_hundred_viewers_cost_the_publisher_one_key_frame_a_second() {
    let mut scene = Scene::new(6, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 0);
    let links: Vec<_> = (0..100).map(|_| scene.world.add_link(scene.router)).collect();
    scene.run_for(2 * SECOND);
    let joined_at = scene.now();
    for link in links {
        let viewer = scene.watch(link);
        scene.run_for(Duration::from_millis(10));
        scene.receiver(viewer).request_key_frame();
    }
    for _ in 0..20 {
        scene.run_for(Duration::from_millis(100));
        for viewer in scene.viewers.clone() {
            scene.receiver(viewer).request_key_frame();
        }
    }
    scene.run_for(SECOND);
    let asked: Vec<_> = scene.feedback().key_frames.iter().filter(|(at, _)| *at >= joined_at).copied().collect();
    assert!((2..=4).contains(&asked.len()), "{} in four seconds", asked.len());
    assert!(asked.windows(2).all(|pair| pair[1].0 - pair[0].0 >= SECOND), "{asked:?}");
    for viewer in scene.viewers.clone() {
        let decoded = scene.decoded_since(viewer, joined_at);
        assert!(decoded[0].at <= joined_at + 2 * SECOND + 2 * KEY_FRAME_TIME, "{:?}", decoded[0].at - joined_at);
    }
}

#[test]
fn a_request_that_is_lost_is_repeated_soon() {
    for seed in 0..10 {
        let mut scene = Scene::new(seed, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
        scene.run_for(3 * SECOND);
        let link = scene.world.add_connected_link(scene.router);
        let joined_at = scene.now();
        scene.world.set_line(scene.speaker, FAR, Conditions { loss: 1.0, ..FAR });
        let viewer = scene.watch(link);
        scene.run_for(Duration::from_millis(100));
        scene.world.set_line(scene.speaker, FAR, FAR);
        scene.run_for(2 * SECOND);
        let decoded = scene.decoded_since(viewer, joined_at);
        let waited = decoded.first().expect("a frame").at - joined_at;
        assert!(waited <= Duration::from_millis(600), "seed {seed}: {waited:?}");
    }
}

#[test]
fn a_publisher_that_makes_no_key_frames_is_not_flooded_with_requests() {
    let setup = PublisherSetup { heeds_key_frame_requests: false, ..PublisherSetup::camera(PayloadFormat::Vp8) };
    let mut scene = Scene::new(8, FAR, setup, 0);
    scene.run_for(SECOND);
    for _ in 0..10 {
        scene.join();
    }
    let joined_at = scene.now();
    for _ in 0..100 {
        for viewer in scene.viewers.clone() {
            scene.receiver(viewer).request_key_frame();
        }
        scene.run_for(Duration::from_millis(200));
    }
    let asked = scene.key_frames_asked(joined_at);
    assert!((10..=30).contains(&asked), "{asked} requests in 20 s");
    for viewer in scene.viewers.clone() {
        assert!(scene.receiver(viewer).arrivals.is_empty(), "nothing begins without a key frame");
    }
}

#[test]
fn viewers_and_signaling_can_ask_for_a_key_frame() {
    let mut scene = Scene::new(9, FAR, PublisherSetup::camera(PayloadFormat::H264), 1);
    let viewer = scene.viewers[0];
    let keys_since =
        |scene: &mut Scene, since| scene.decoded_since(viewer, since).iter().filter(|frame| frame.label.is_key).count();
    for ask in 0..3 {
        scene.run_for(2 * SECOND);
        let asked_at = scene.now();
        match ask {
            0 => scene.receiver(viewer).request_key_frame(),
            1 => scene.world.command(Command::RequestKeyFrame { consumer: viewer.consumer }),
            _ => {
                let media_ssrc = scene.receiver(viewer).ssrc;
                let fir = vec![FirEntry { ssrc: media_ssrc, sequence_number: 1 }];
                let request = FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir }.marshal().unwrap();
                let datagram = scene.world.participant(viewer.link).protect_rtcp(&request);
                scene.world.send(viewer.link, &datagram);
            }
        }
        scene.run_for(SECOND);
        assert_eq!(scene.key_frames_asked(asked_at), 1);
        assert_eq!(keys_since(&mut scene, asked_at), 1);
    }
    assert_eq!(scene.judge(viewer, SLACK).breaks.len(), 0, "no more than the key frame comes of it");
}

#[test]
fn one_who_cannot_take_the_codec_costs_no_key_frames() {
    let mut scene = Scene::new(3, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 1);
    scene.run_for(3 * SECOND);
    let link = scene.world.add_connected_link(scene.router);
    let table = consumer(PayloadFormat::H264, "x", 0x2_0000, Some(0x2_0001));
    let producer = scene.producer;
    scene.world.add_receiver(link, producer, table, ReceiverSetup::default());
    let since = scene.now();
    scene.run_for(30 * SECOND);
    let asked = scene.key_frames_asked(since);
    assert!(asked <= 2, "{asked} in 30 s");
}

#[test]
fn many_viewers_cost_a_publisher_far_away_one_key_frame_a_second_too() {
    for delay_ms in [25, 160, 250, 350] {
        let far = Conditions { delay: Duration::from_millis(delay_ms), ..FAR };
        let mut scene = Scene::new(3, FAR, PublisherSetup::camera(PayloadFormat::Vp8), 2);
        scene.world.set_line(scene.speaker, far, far);
        scene.run_for(5 * SECOND);
        let viewer = scene.viewers[0];
        let since = scene.now();
        for _ in 0..400 {
            scene.receiver(viewer).request_key_frame();
            scene.run_for(Duration::from_millis(50));
        }
        let made = &scene.publisher().log;
        let made = made.iter().filter(|sent| sent.sent_at >= since && sent.label.starts_key_frame()).count();
        assert!((15..=21).contains(&made), "{made} in 20 s with {delay_ms} ms each way");
    }
}

#[test]
fn what_is_lost_while_nobody_watches_is_not_asked_for() {
    let setup = PublisherSetup { has_retransmission: false, ..PublisherSetup::camera(PayloadFormat::Vp8) };
    let mut scene = Scene::new(7, FAR, setup, 0);
    scene.world.set_line(scene.speaker, Conditions { loss: 0.01, ..FAR }, FAR);
    let since = scene.now();
    scene.run_for(60 * SECOND);
    assert_eq!((scene.key_frames_asked(since), scene.feedback().losses.len()), (0, 0));
}

#[test]
fn a_loss_that_a_key_frame_has_made_up_for_asks_for_no_other() {
    for seed in 0..10 {
        let setup = PublisherSetup { has_retransmission: false, ..PublisherSetup::camera(PayloadFormat::Vp8) };
        let mut scene = Scene::new(seed, FAR, setup, 1);
        scene.run_for(3 * SECOND);
        let since = scene.now();
        scene.world.set_line(scene.speaker, Conditions { loss: 1.0, ..FAR }, FAR);
        scene.run_for(Duration::from_millis(40));
        scene.world.set_line(scene.speaker, FAR, FAR);
        scene.run_for(Duration::from_millis(200));
        // Before the service has given the packet up.
        let viewer = scene.viewers[0];
        scene.receiver(viewer).request_key_frame();
        scene.run_for(10 * SECOND);
        assert_eq!(scene.key_frames_asked(since), 1, "seed {seed}");
    }
}

#[test]
fn frames_that_come_in_one_turn_are_taken_one_after_the_other() {
    for format in FORMATS {
        let mut scene = Scene::new(11, FAR, PublisherSetup::camera(format), 1);
        // Two frames a turn at the least, so that the one that nobody can begin with comes together with the key frame.
        scene.world.set_coalescing(2 * FRAME);
        scene.run_for(3 * SECOND);
        for _ in 0..5 {
            let joined_at = scene.now();
            let viewer = scene.join();
            scene.run_for(3 * SECOND);
            assert_eq!(scene.key_frames_asked(joined_at), 1, "{format:?}");
            let decoded = scene.decoded_since(viewer, joined_at);
            assert!(decoded[0].label.is_key && decoded.len() >= 80, "{format:?}: {} frames", decoded.len());
        }
        for verdict in scene.judge_all(SLACK + 2 * FRAME) {
            assert_eq!((verdict.breaks.len(), verdict.missing), (0, 0), "{format:?}");
        }
    }
}
