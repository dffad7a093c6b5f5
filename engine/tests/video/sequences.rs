//! Random sequences of everything that happens to a stream, held against the strict model of what a decoder may see.
//!
//! A failure is shrunk to the fewest steps that still fail, and printed with the seed of its world.

use std::time::Duration;

use netsim::{Bursts, Conditions, EncodingSetup, PublisherSetup};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError};
use shard_protocol::Command;
use shard_protocol::command::PauseReason;
use shard_protocol::tables::PayloadFormat;

use crate::scene::{FAR, SECOND, Scene, Viewer};

/// Sequences of each of the tests below.
const CASES: u32 = 1000;

/// How long all may take to be well again once the network is: to give up on what is lost, to ask for a key frame, and to
/// get it.
const RECOVERY: Duration = Duration::from_secs(4);

/// How far time may be off over a break: what a frame may be late on a network as bad as this one.
const SLACK: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug)]
struct Weather {
    loss: f64,
    is_bursty: bool,
    jitter_ms: u64,
    repeats: f64,
}

impl Weather {
    fn conditions(self) -> Conditions {
        let bursts = self.is_bursty.then_some(Bursts { begin: 0.01, end: 0.1 });
        let jitter = Duration::from_millis(self.jitter_ms);
        Conditions { loss: self.loss, bursts, repeats: self.repeats, jitter, ..FAR }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    PauseConsumer(usize),
    ResumeConsumer(usize),
    PauseProducer,
    ResumeProducer,
    SwitchOff,
    SwitchOn,
    Restart,
    Start(usize),
    Stop(usize),
    Join,
    Leave(usize),
    Padding(usize),
    AskForKeyFrame(usize),
    Change(Weather),
}

#[derive(Clone, Debug)]
struct Sequence {
    seed: u64,
    weather: Weather,
    /// What happens, and the milliseconds until the next.
    steps: Vec<(Step, u64)>,
}

fn weather() -> impl Strategy<Value = Weather> {
    let loss = prop_oneof![3 => Just(0.0), 1 => Just(0.02), 1 => Just(0.1), 1 => Just(0.3)];
    let jitter_ms = prop_oneof![3 => Just(0), 1 => Just(8), 1 => Just(40)];
    let repeats = prop_oneof![3 => Just(0.0), 1 => Just(0.1)];
    (loss, prop::bool::weighted(0.2), jitter_ms, repeats).prop_map(|(loss, is_bursty, jitter_ms, repeats)| Weather {
        loss,
        is_bursty,
        jitter_ms,
        repeats,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_usize).prop_map(Step::PauseConsumer),
        2 => (0..4_usize).prop_map(Step::ResumeConsumer),
        1 => Just(Step::PauseProducer),
        1 => Just(Step::ResumeProducer),
        1 => Just(Step::SwitchOff),
        1 => Just(Step::SwitchOn),
        1 => Just(Step::Restart),
        3 => (0..3_usize).prop_map(Step::Start),
        3 => (0..3_usize).prop_map(Step::Stop),
        1 => Just(Step::Join),
        1 => (0..4_usize).prop_map(Step::Leave),
        1 => (0..3_usize).prop_map(Step::Padding),
        1 => (0..4_usize).prop_map(Step::AskForKeyFrame),
        2 => weather().prop_map(Step::Change),
    ]
}

fn sequence() -> impl Strategy<Value = Sequence> {
    // Often at once, so that things meet; seldom for long.
    let wait_ms = prop_oneof![1 => Just(0_u64), 4 => 1..80_u64, 3 => 80..700_u64];
    let steps = prop::collection::vec((step(), wait_ms), 1..14);
    (any::<u64>(), weather(), steps).prop_map(|(seed, weather, steps)| Sequence { seed, weather, steps })
}

/// Small frames of few packets, so that thousands of sequences take seconds.
fn setup(format: PayloadFormat, encodings: usize) -> PublisherSetup {
    let all = [("l", 100, 200, 1500), ("m", 66, 900, 2500), ("h", 50, 1800, 4000)];
    let encoding = |&(rid, interval_ms, delta_len, key_len): &(&'static str, u64, usize, usize)| EncodingSetup {
        rid: (encodings > 1).then_some(rid),
        interval: Duration::from_millis(interval_ms),
        delta_len,
        key_len,
    };
    let encodings = all[all.len() - encodings..].iter().map(encoding).collect();
    PublisherSetup { encodings, ..PublisherSetup::camera(format) }
}

struct Run {
    scene: Scene,
    encodings: usize,
    gone: Vec<Viewer>,
}

impl Run {
    fn viewer(&self, place: usize) -> Option<Viewer> {
        self.scene.viewers.get(place).copied()
    }

    fn carry_out(&mut self, step: Step) {
        let now = self.scene.now();
        match step {
            Step::PauseConsumer(place) => {
                if let Some(viewer) = self.viewer(place) {
                    self.scene.pause_consumer(viewer);
                }
            }
            Step::ResumeConsumer(place) => {
                if let Some(viewer) = self.viewer(place) {
                    self.scene.resume_consumer(viewer);
                }
            }
            Step::PauseProducer => self.scene.pause_producer(PauseReason::State),
            Step::ResumeProducer => self.scene.resume_producer(PauseReason::State),
            Step::SwitchOff => self.scene.publisher().pause(),
            Step::SwitchOn => self.scene.publisher().resume(),
            Step::Restart => self.scene.publisher().restart(),
            Step::Start(encoding) => self.scene.publisher().set_active(encoding % self.encodings, true),
            Step::Stop(encoding) => self.scene.publisher().set_active(encoding % self.encodings, false),
            Step::Join => {
                self.scene.join();
            }
            Step::Leave(place) => {
                if place < self.scene.viewers.len() {
                    let viewer = self.scene.viewers.remove(place);
                    self.scene.world.command(Command::CloseConsumer { consumer: viewer.consumer });
                    self.gone.push(viewer);
                }
            }
            Step::Padding(encoding) => self.scene.publisher().send_padding(now, encoding % self.encodings),
            Step::AskForKeyFrame(place) => {
                if let Some(viewer) = self.viewer(place) {
                    self.scene.receiver(viewer).request_key_frame();
                }
            }
            Step::Change(weather) => self.scene.world.set_conditions(weather.conditions()),
        }
    }

    /// Lets everything flow over a good network, and waits until all are well.
    fn calm(&mut self) {
        self.scene.world.set_conditions(FAR);
        self.scene.resume_producer(PauseReason::State);
        for viewer in self.scene.viewers.clone() {
            self.scene.resume_consumer(viewer);
        }
        self.scene.publisher().resume();
        if !(0..self.encodings).any(|encoding| self.scene.publisher().is_active(encoding)) {
            self.scene.publisher().set_active(0, true);
        }
        self.scene.run_for(RECOVERY);
    }

    /// The highest encoding that is there, and the frames that it makes in a second.
    fn expected(&mut self) -> (usize, usize) {
        let publisher = self.scene.publisher();
        let highest = (0..self.encodings).rev().find(|encoding| publisher.is_active(*encoding)).unwrap_or(0);
        let interval = publisher.setup().encodings[highest].interval;
        (highest, (SECOND.as_millis() / interval.as_millis()) as usize)
    }
}

fn check(format: PayloadFormat, encodings: usize, sequence: &Sequence) -> Result<(), TestCaseError> {
    let scene = Scene::new(sequence.seed, sequence.weather.conditions(), setup(format, encodings), 2);
    let mut run = Run { scene, encodings, gone: Vec::new() };
    for (step, wait_ms) in &sequence.steps {
        run.carry_out(*step);
        run.scene.run_for(Duration::from_millis(*wait_ms));
    }
    run.calm();

    let (encoding, frames) = run.expected();
    let since = run.scene.now() - SECOND;
    for viewer in run.scene.viewers.clone() {
        let verdict =
            run.scene.try_judge(viewer, SLACK).map_err(|fault| TestCaseError::fail(format!("{viewer:?}: {fault}")))?;
        let last = verdict.decoded.iter().filter(|frame| frame.at > since);
        let last = last.filter(|frame| usize::from(frame.label.encoding) == encoding).count();
        prop_assert!(
            last + 2 >= frames,
            "{viewer:?}: {last} of {frames} frames of encoding {encoding} in the last second"
        );
    }
    for viewer in run.gone.clone() {
        run.scene
            .try_judge(viewer, SLACK)
            .map_err(|fault| TestCaseError::fail(format!("{viewer:?}, gone: {fault}")))?;
    }
    let repeated =
        run.scene.viewers.iter().map(|viewer| run.scene.world.participant(viewer.link).unopened).sum::<usize>();
    prop_assert_eq!(repeated, 0);
    Ok(())
}

fn config(seed: u64) -> Config {
    Config { cases: CASES, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() }
}

macro_rules! sequences {
    ($($name:ident: $seed:literal, $format:ident, $encodings:literal;)*) => {
        $(
            #[test]
            fn $name() {
                proptest!(config($seed), |(sequence in sequence())| check(PayloadFormat::$format, $encodings, &sequence)?);
            }
        )*
    };
}

sequences! {
    a_decoder_of_vp8_sees_nothing_wrong_whatever_happens: 1, Vp8, 1;
    a_decoder_of_vp8_with_three_encodings_sees_nothing_wrong_whatever_happens: 2, Vp8, 3;
    a_decoder_of_vp9_with_two_encodings_sees_nothing_wrong_whatever_happens: 3, Vp9, 2;
    a_decoder_of_h264_with_three_encodings_sees_nothing_wrong_whatever_happens: 4, H264, 3;
    a_decoder_of_av1_sees_nothing_wrong_whatever_happens: 5, Av1, 1;
}
