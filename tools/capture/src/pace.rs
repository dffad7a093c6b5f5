//! How a stream's frames follow one another: in clock ticks and in time.

use crate::stream::CapturedPacket;

/// Clock rates of what is sent over RTP, of dynamic payload types.
const CLOCK_RATES_HZ: [u32; 7] = [8_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];

/// How far the measured rate may be off: less than half of what lies between 44.1 and 48 kHz.
const RATE_TOLERANCE: f64 = 0.04;

/// Frames before their pace means something.
const FRAMES_MIN: usize = 3;

/// The step from one frame to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Clock ticks, at least one.
    pub(crate) step_ticks: u32,
    /// Time, at least a nanosecond.
    pub(crate) interval_ns: u64,
    /// The clock's rate, if time and timestamps fit one.
    pub(crate) clock_rate_hz: Option<u32>,
}

/// The first packet of a frame, which is what has one timestamp.
#[derive(Clone, Copy, Debug)]
struct Frame {
    ticks: u64,
    at_ns: u64,
}

impl Pace {
    /// What a stream that says nothing of its pace is given: that of Opus.
    pub(crate) const UNKNOWN: Self = Self { step_ticks: 960, interval_ns: 20_000_000, clock_rate_hz: None };

    /// Finds the pace of `packets`.
    pub(crate) fn of(packets: &[CapturedPacket]) -> Self {
        let frames = frames(packets);
        let step = median(frames.windows(2).map(|pair| pair[1].ticks - pair[0].ticks));
        let Some(step_ticks) = step.and_then(|step| u32::try_from(step).ok()) else { return Self::UNKNOWN };
        // Where frames are missing, the time is that of several.
        let typical = frames.windows(2).filter(|pair| pair[1].ticks - pair[0].ticks == u64::from(step_ticks));
        let time = median(typical.map(|pair| pair[1].at_ns - pair[0].at_ns));
        let clock_rate_hz = clock_rate(&frames, step_ticks, time.unwrap_or(0));
        // Captured times jitter; those that follow from the clock do not.
        let exact_ns = clock_rate_hz.map(|rate| u64::from(step_ticks) * 1_000_000_000 / u64::from(rate));
        let interval_ns = exact_ns.or(time).filter(|&ns| ns > 0).unwrap_or(Self::UNKNOWN.interval_ns);
        Self { step_ticks, interval_ns, clock_rate_hz }
    }
}

/// The frames in the order of their timestamps, without those that came late.
fn frames(packets: &[CapturedPacket]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for packet in packets {
        if frames.last().is_none_or(|last| packet.ticks > last.ticks) {
            frames.push(Frame { ticks: packet.ticks, at_ns: packet.at_ns });
        }
    }
    frames
}

/// By the slope of ticks over time; where the stream paused, so that this fits no clock, by the typical frame.
fn clock_rate(frames: &[Frame], step_ticks: u32, interval_ns: u64) -> Option<u32> {
    if frames.len() < FRAMES_MIN {
        return None;
    }
    let typical = f64::from(step_ticks) * 1e9 / interval_ns as f64;
    slope(frames).into_iter().chain([typical]).find_map(|rate| {
        let is_near = |known: &u32| (rate / f64::from(*known) - 1.0).abs() < RATE_TOLERANCE;
        CLOCK_RATES_HZ.into_iter().find(is_near)
    })
}

/// Ticks a second, by least squares.
fn slope(frames: &[Frame]) -> Option<f64> {
    let count = frames.len() as f64;
    let mean_s = frames.iter().map(|frame| frame.at_ns as f64 / 1e9).sum::<f64>() / count;
    let mean_ticks = frames.iter().map(|frame| frame.ticks as f64).sum::<f64>() / count;
    let (mut product, mut square) = (0.0, 0.0);
    for frame in frames {
        let s = frame.at_ns as f64 / 1e9 - mean_s;
        product += s * (frame.ticks as f64 - mean_ticks);
        square += s * s;
    }
    (square > 0.0).then(|| product / square)
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<_> = values.collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Packets of these times in milliseconds and ticks.
    fn pace(packets: impl IntoIterator<Item = (u64, u64)>) -> Pace {
        let packets: Vec<_> = packets
            .into_iter()
            .enumerate()
            .map(|(place, (at_ms, ticks))| CapturedPacket {
                at_ns: at_ms * 1_000_000,
                place: place as u64,
                ticks,
                marker: false,
                payload_type: 96,
                payload: Bytes::new(),
            })
            .collect();
        Pace::of(&packets)
    }

    #[test]
    fn the_clock_is_found_through_jitter_loss_and_bursts() {
        let voice = pace((0..50).map(|n| (n * 20 + n * 7 % 11, n * 960)));
        assert_eq!(voice, Pace { step_ticks: 960, interval_ns: 20_000_000, clock_rate_hz: Some(48_000) });
        let lossy = pace((0..50).filter(|n| n % 5 != 3).map(|n| (n * 20, n * 160)));
        assert_eq!(lossy, Pace { step_ticks: 160, interval_ns: 20_000_000, clock_rate_hz: Some(8_000) });
        let video = pace((0..90).map(|n| (n / 3 * 33 + n % 3, n / 3 * 3000)));
        assert_eq!(video, Pace { step_ticks: 3000, interval_ns: 33_333_333, clock_rate_hz: Some(90_000) });
    }

    #[test]
    fn a_stream_that_paused_tells_its_clock_by_its_frames() {
        let paused = pace((0..100).map(|n| (n * 20 + n / 50 * 7000, n * 960)));
        assert_eq!(paused.clock_rate_hz, Some(48_000));
    }

    #[test]
    fn what_says_nothing_has_the_pace_of_voice() {
        assert_eq!(pace([]), Pace::UNKNOWN);
        assert_eq!(pace([(0, 0)]), Pace::UNKNOWN);
        assert_eq!(pace([(0, 0), (20, 0), (40, 0)]), Pace::UNKNOWN);
        // All at one time.
        assert_eq!(pace((0..9).map(|n| (0, n * 960))), Pace::UNKNOWN);
        assert_eq!(pace((0..9).map(|n| (n * 10, n * 7))).clock_rate_hz, None);
        assert_eq!(pace((0..9).map(|n| (n * 10, n * 7))).interval_ns, 10_000_000);
    }
}
