//! Publishers with several encodings: the highest that is active is forwarded, and changed only at a key frame.

use std::time::{Duration, Instant};

use netsim::decoder::Decoded;
use netsim::{Conditions, EncodingSetup, PublisherSetup};
use shard_protocol::tables::PayloadFormat;

use crate::scene::{FAR, FORMATS, SECOND, SLACK, Scene, Viewer};

const HIGH: usize = 2;

/// The encodings of the frames that a viewer could decode in the last half second, each once.
fn latest_encodings(scene: &mut Scene, viewer: Viewer) -> Vec<u8> {
    let since = scene.now() - SECOND / 2;
    let mut encodings: Vec<u8> =
        scene.decoded_since(viewer, since).iter().map(|frame: &Decoded| frame.label.encoding).collect();
    encodings.dedup();
    encodings
}

#[test]
fn the_highest_encoding_is_forwarded_and_nothing_of_the_others() {
    for format in FORMATS {
        let mut scene = Scene::new(1, FAR, PublisherSetup::simulcast(format), 2);
        scene.run_for(5 * SECOND);
        for viewer in scene.viewers.clone() {
            assert_eq!(latest_encodings(&mut scene, viewer), [2], "{format:?}");
            let verdict = scene.judge(viewer, SLACK);
            // It may begin with the one whose key frame comes first.
            assert!(verdict.breaks.len() <= 2, "{format:?}: {:?}", verdict.breaks);
        }
    }
}

#[test]
fn an_encoding_that_stops_is_left_within_a_second_at_a_key_frame_of_the_next_lower() {
    for format in FORMATS {
        let mut scene = Scene::new(2, FAR, PublisherSetup::simulcast(format), 2);
        scene.run_for(3 * SECOND);
        for (stopped, next) in [(2, 1), (1, 0)] {
            let stopped_at = scene.now();
            scene.publisher().set_active(stopped, false);
            scene.run_for(3 * SECOND);
            for viewer in scene.viewers.clone() {
                assert_eq!(latest_encodings(&mut scene, viewer), [next], "{format:?}");
                let decoded = scene.decoded_since(viewer, stopped_at);
                let first = decoded.iter().find(|frame| frame.label.encoding == next).unwrap();
                assert!(first.label.is_key);
                assert!(first.at <= stopped_at + Duration::from_millis(1200), "{:?}", first.at - stopped_at);
            }
        }
        for verdict in scene.judge_all(SLACK) {
            assert_eq!(verdict.missing, 0);
        }
    }
}

#[test]
fn an_encoding_that_starts_is_taken_at_its_key_frame() {
    for format in FORMATS {
        let mut scene = Scene::new(3, FAR, PublisherSetup::simulcast(format), 2);
        scene.publisher().set_active(HIGH, false);
        scene.run_for(3 * SECOND);
        let viewer = scene.viewers[0];
        assert_eq!(latest_encodings(&mut scene, viewer), [1]);
        let started_at = scene.now();
        scene.publisher().set_active(HIGH, true);
        scene.run_for(3 * SECOND);
        for viewer in scene.viewers.clone() {
            assert_eq!(latest_encodings(&mut scene, viewer), [2], "{format:?}");
            let decoded = scene.decoded_since(viewer, started_at);
            let first = decoded.iter().find(|frame| frame.label.encoding == 2).unwrap();
            assert!(first.label.is_key);
            assert!(first.at <= started_at + Duration::from_millis(1200), "{:?}", first.at - started_at);
        }
        for verdict in scene.judge_all(SLACK) {
            assert_eq!(verdict.missing, 0);
        }
    }
}

#[test]
fn all_encodings_may_stop_and_any_may_start_again() {
    for started in 0..3 {
        let mut scene = Scene::new(4, FAR, PublisherSetup::simulcast(PayloadFormat::Vp8), 2);
        scene.run_for(2 * SECOND);
        (0..3).for_each(|encoding| scene.publisher().set_active(encoding, false));
        scene.run_for(10 * SECOND);
        scene.publisher().set_active(started, true);
        scene.run_for(3 * SECOND);
        for viewer in scene.viewers.clone() {
            assert_eq!(latest_encodings(&mut scene, viewer), [started as u8]);
            scene.judge(viewer, SLACK);
        }
    }
}

#[test]
fn an_encoding_that_comes_and_goes_quickly_never_leaves_a_viewer_without_picture() {
    for seed in 0..10 {
        let conditions = Conditions { loss: 0.02, jitter: Duration::from_millis(5), ..FAR };
        let mut scene = Scene::new(seed, conditions, PublisherSetup::simulcast(PayloadFormat::Vp8), 2);
        scene.run_for(2 * SECOND);
        for on in [false, true, false, true, false, true] {
            scene.publisher().set_active(HIGH, on);
            scene.run_for(Duration::from_millis(700));
        }
        scene.run_for(3 * SECOND);
        for viewer in scene.viewers.clone() {
            assert_eq!(latest_encodings(&mut scene, viewer), [2], "seed {seed}");
            let verdict = scene.judge(viewer, Duration::from_millis(300));
            let longest = verdict.decoded.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
            assert!(longest < Duration::from_millis(1500), "seed {seed}: {longest:?} without picture");
        }
    }
}

#[test]
fn encodings_that_rest_together_are_no_reason_to_switch() {
    let encoding = |rid, len| EncodingSetup { rid: Some(rid), interval: SECOND, delta_len: len, key_len: 5 * len };
    let encodings = vec![encoding("l", 300), encoding("m", 900), encoding("h", 1500)];
    let setup = PublisherSetup { encodings, ..PublisherSetup::camera(PayloadFormat::Vp8) };
    let mut scene = Scene::new(3, FAR, setup, 1);
    scene.run_for(10 * SECOND);
    let since = scene.now();
    scene.run_for(60 * SECOND);
    assert_eq!(scene.key_frames_asked(since), 0);
    let decoded = scene.decoded_since(scene.viewers[0], since);
    assert!(decoded.len() > 55 && decoded.iter().all(|frame| frame.label.encoding == 2));
}

/// Three encodings with a frame of several packets each `interval`.
fn encodings(interval: Duration) -> PublisherSetup {
    let encoding = |(rid, delta_len)| EncodingSetup { rid: Some(rid), interval, delta_len, key_len: 3 * delta_len };
    let encodings = [("l", 1500), ("m", 3000), ("h", 6000)].map(encoding).to_vec();
    PublisherSetup { encodings, ..PublisherSetup::camera(PayloadFormat::Vp8) }
}

/// Whether each frame that a viewer could decode since `since` was of the highest encoding.
fn is_highest_since(scene: &mut Scene, since: Instant) -> bool {
    let viewer = scene.viewers[0];
    let decoded = scene.decoded_since(viewer, since);
    !decoded.is_empty() && decoded.iter().all(|frame| usize::from(frame.label.encoding) == HIGH)
}

#[test]
fn encodings_of_a_slow_picture_rest_together_and_none_has_stopped() {
    let mut scene = Scene::new(3, FAR, encodings(SECOND), 1);
    scene.run_for(10 * SECOND);
    let since = scene.now();
    scene.run_for(60 * SECOND);
    assert_eq!(scene.key_frames_asked(since), 0);
    assert!(is_highest_since(&mut scene, since));
}

#[test]
fn encodings_that_rest_with_their_track_go_on_without_a_switch() {
    let mut scene = Scene::new(3, FAR, encodings(Duration::from_millis(66)), 1);
    scene.run_for(5 * SECOND);
    scene.publisher().pause();
    scene.run_for(3 * SECOND);
    let since = scene.now();
    scene.publisher().resume();
    scene.run_for(5 * SECOND);
    assert_eq!(scene.key_frames_asked(since), 0);
    assert!(is_highest_since(&mut scene, since));
}

#[test]
fn an_encoding_that_is_slow_by_habit_has_not_stopped() {
    let mut setup = encodings(Duration::from_millis(66));
    setup.encodings[HIGH].interval = Duration::from_millis(700);
    let mut scene = Scene::new(3, FAR, setup, 1);
    scene.run_for(5 * SECOND);
    let since = scene.now();
    scene.run_for(20 * SECOND);
    assert_eq!(scene.key_frames_asked(since), 0);
    assert!(is_highest_since(&mut scene, since));
}

#[test]
fn padding_does_not_keep_an_encoding_alive_that_has_stopped() {
    for has_retransmission in [false, true] {
        let setup = PublisherSetup { has_retransmission, ..PublisherSetup::simulcast(PayloadFormat::Vp8) };
        let mut scene = Scene::new(2, FAR, setup, 1);
        scene.run_for(3 * SECOND);
        scene.publisher().set_active(HIGH, false);
        let stopped_at = scene.now();
        let mut viewers = scene.viewers.clone();
        for _ in 0..2 {
            for _ in 0..50 {
                let now = scene.now();
                scene.publisher().send_padding(now, HIGH);
                scene.run_for(Duration::from_millis(100));
            }
            viewers.push(scene.join());
        }
        scene.run_for(SECOND);
        for viewer in viewers {
            assert_eq!(latest_encodings(&mut scene, viewer), [1]);
        }
        let asked = scene.key_frames_asked(stopped_at);
        assert!(asked <= 3, "{asked}: one for the change, and one for each who came");
    }
}
