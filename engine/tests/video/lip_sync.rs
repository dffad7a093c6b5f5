//! Sound and picture that were captured together stay together: sender reports carry the publisher's clock through.

use std::time::{Duration, Instant};

use netsim::{Conditions, LinkId, PublisherSetup, ReceiverSetup, World, clock_rate_hz, consumer};
use rtcp::sender_report::SenderReport;
use shard_protocol::ids::ProducerId;
use shard_protocol::tables::PayloadFormat;

use crate::scene::{FAR, SECOND};

const AUDIO_SSRC: u32 = 0x0002_0000;
const VIDEO_SSRC: u32 = 0x0003_0000;

/// What a receiver may be wrong by, in seconds.
const ERROR_MAX: f64 = 0.005;

/// One who speaks with a camera on, and one who watches.
struct Scene {
    world: World,
    speaker: LinkId,
    viewer: LinkId,
    audio: ProducerId,
    video: ProducerId,
}

impl Scene {
    fn new(seed: u64, conditions: Conditions, camera: PublisherSetup) -> Self {
        let mut world = World::new(seed, conditions);
        let router = world.add_router();
        let speaker = world.add_connected_link(router);
        let viewer = world.add_connected_link(router);
        let audio = world.add_publisher(speaker, PublisherSetup::microphone());
        let video = world.add_publisher(speaker, camera);
        Self { world, speaker, viewer, audio, video }
    }

    fn watch(&mut self) {
        let setup = ReceiverSetup::default();
        let table = consumer(PayloadFormat::Opus, "a", AUDIO_SSRC, None);
        self.world.add_receiver(self.viewer, self.audio, table, setup);
        let table = consumer(PayloadFormat::Vp8, "v", VIDEO_SSRC, Some(VIDEO_SSRC + 1));
        self.world.add_receiver(self.viewer, self.video, table, setup);
    }

    /// By how much sound and picture are told apart, in seconds, by each report of the picture since `since` and the report
    /// of the sound next to it: the time on the reports' clock at which each was captured, less the time at which it was.
    fn errors_since(&mut self, since: Instant) -> Vec<f64> {
        let participant = self.world.participant(self.viewer);
        let reports = |ssrc: u32| -> Vec<(Instant, SenderReport)> {
            let all = participant.feedback.sender_reports.iter();
            all.filter(|(at, report)| *at >= since && report.ssrc == ssrc).cloned().collect()
        };
        let told = |place: usize, (at, report): &(Instant, SenderReport)| -> Option<(u64, f64)> {
            let receiver = &participant.receivers[place];
            // The reports speak of what is sent about then.
            let arrival = receiver.arrivals.iter().find(|arrival| arrival.content.is_some() && arrival.at >= *at)?;
            let ticks = f64::from(arrival.timestamp.wrapping_sub(report.rtp_time) as i32);
            let (label, _) = arrival.content?;
            let told =
                report.ntp_time as f64 / (1_u64 << 32) as f64 + ticks / f64::from(clock_rate_hz(receiver.format()));
            Some((report.ntp_time, told - label.captured.as_secs_f64()))
        };
        let audio: Vec<_> = reports(AUDIO_SSRC).iter().filter_map(|report| told(0, report)).collect();
        let video: Vec<_> = reports(VIDEO_SSRC).iter().filter_map(|report| told(1, report)).collect();
        assert!(audio.len() >= 3 && video.len() >= 3, "{} and {} reports", audio.len(), video.len());
        let next_to = |ntp: u64| audio.iter().min_by_key(|(other, _)| other.abs_diff(ntp));
        video.iter().filter_map(|(ntp, video)| next_to(*ntp).map(|(_, audio)| video - audio)).collect()
    }

    fn assert_together_since(&mut self, since: Instant) {
        for error in self.errors_since(since) {
            assert!(error.abs() <= ERROR_MAX, "sound and picture are {:.1} ms apart", error * 1000.0);
        }
    }
}

#[test]
fn a_sound_and_a_frame_that_were_captured_together_are_told_to_be() {
    for seed in 0..10 {
        let conditions = Conditions { jitter: Duration::from_millis(30), ..FAR };
        let mut scene = Scene::new(seed, conditions, PublisherSetup::camera(PayloadFormat::Vp8));
        scene.watch();
        let since = scene.world.now();
        scene.world.run_for(20 * SECOND);
        scene.assert_together_since(since);
    }
}

#[test]
fn one_who_joins_late_finds_sound_and_picture_together_from_the_first_reports_on() {
    for seed in 0..10 {
        let conditions = Conditions { jitter: Duration::from_millis(30), loss: 0.02, ..FAR };
        let mut scene = Scene::new(seed, conditions, PublisherSetup::camera(PayloadFormat::Vp8));
        scene.world.run_for(10 * SECOND);
        let since = scene.world.now();
        scene.watch();
        scene.world.run_for(8 * SECOND);
        scene.assert_together_since(since);
    }
}

#[test]
fn a_switch_of_encodings_and_a_new_ssrc_leave_sound_and_picture_together() {
    for seed in 0..10 {
        let conditions = Conditions { jitter: Duration::from_millis(30), ..FAR };
        let mut scene = Scene::new(seed, conditions, PublisherSetup::simulcast(PayloadFormat::Vp8));
        scene.watch();
        scene.world.run_for(10 * SECOND);
        let camera = |scene: &mut Scene, change: &dyn Fn(&mut netsim::Publisher)| {
            let speaker = scene.speaker;
            change(&mut scene.world.participant(speaker).publishers[1]);
            // Until the publisher has reported of what it sends now.
            scene.world.run_for(5 * SECOND);
            let since = scene.world.now();
            scene.world.run_for(8 * SECOND);
            scene.assert_together_since(since);
        };
        camera(&mut scene, &|publisher| publisher.set_active(2, false));
        camera(&mut scene, &|publisher| publisher.set_active(2, true));
        camera(&mut scene, &|publisher| publisher.restart());
    }
}
