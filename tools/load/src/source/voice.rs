//! Synthetic voice with the sizes and times of Opus: 20 ms frames of changing size while its turn lasts, comfort frames
//! or nothing in between.

use std::time::Duration;

use peer::VoicePayload;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::SourcePacket;
use crate::shape::{Silent, Span};

/// One frame's time.
const FRAME_NS: u64 = 20_000_000;
/// Ticks of the 48 kHz clock in a frame.
const FRAME_TICKS: u64 = 960;
/// Between two comfort frames (RFC 7587 3.1.3).
const COMFORT_NS: u64 = 400_000_000;
/// Bytes of a frame: speech at 32 kbit/s with variable rate has 80 on average, and these bounds.
const FRAME_LENS: std::ops::Range<usize> = 50..111;
/// Bytes of a comfort frame. Opus takes one to three; the fields that make a payload checkable need these.
const COMFORT_LEN: usize = 21;
/// The level of speech, with the voice bit.
const LEVEL_SPEECH: u8 = 0x80 | 30;
/// The level of silence (RFC 6464 3).
const LEVEL_SILENCE: u8 = 127;

/// A microphone.
pub struct Voice {
    publisher: u32,
    turns: Vec<Span>,
    silent: Silent,
    rng: StdRng,
    counter: u64,
    /// The beginning of its frames, in nanoseconds since the run's beginning.
    phase_ns: u64,
    due_ns: Option<u64>,
    was_speaking: bool,
}

impl Voice {
    /// A microphone that is switched on at `from_ns` since the run's beginning.
    pub fn new(publisher: u32, turns: Vec<Span>, silent: Silent, from_ns: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(publisher.into());
        // Frames of many participants are spread over the time of one.
        let phase_ns = from_ns + rng.random_range(0..FRAME_NS);
        let mut voice = Self { publisher, turns, silent, rng, counter: 0, phase_ns, due_ns: None, was_speaking: false };
        voice.due_ns = if voice.is_speaking(phase_ns) || silent == Silent::Dtx {
            Some(phase_ns)
        } else {
            voice.next_turn_ns(phase_ns)
        };
        voice
    }

    /// When the next frame is due.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// The frame that is due.
    pub fn poll_packet(&mut self, sent_at_ns: u64) -> SourcePacket {
        let due_ns = self.due_ns.unwrap_or(self.phase_ns);
        let is_speaking = self.is_speaking(due_ns);
        let len = if is_speaking { self.rng.random_range(FRAME_LENS) } else { COMFORT_LEN };
        let payload = VoicePayload { publisher: self.publisher, counter: self.counter, sent_at_ns };
        let packet = SourcePacket {
            payload: payload.encode(len).into(),
            timestamp: ((due_ns - self.phase_ns) / FRAME_NS * FRAME_TICKS) as u32,
            marker: is_speaking && !self.was_speaking,
            audio_level: Some(if is_speaking { LEVEL_SPEECH } else { LEVEL_SILENCE }),
        };
        self.counter += 1;
        self.was_speaking = is_speaking;
        self.due_ns = self.next_ns(due_ns, is_speaking);
        packet
    }

    fn next_ns(&self, due_ns: u64, is_speaking: bool) -> Option<u64> {
        let next_ns = due_ns + FRAME_NS;
        if is_speaking && self.is_speaking(next_ns) {
            return Some(next_ns);
        }
        let turn_ns = self.next_turn_ns(due_ns);
        match self.silent {
            Silent::None => turn_ns,
            // A turn's end is told at once by a first comfort frame.
            Silent::Dtx if is_speaking => Some(next_ns),
            Silent::Dtx => Some(turn_ns.unwrap_or(u64::MAX).min(due_ns + COMFORT_NS)),
        }
    }

    fn is_speaking(&self, at_ns: u64) -> bool {
        let at = Duration::from_nanos(at_ns);
        let begun = self.turns.partition_point(|turn| turn.0 <= at);
        begun.checked_sub(1).and_then(|last| self.turns.get(last)).is_some_and(|turn| at < turn.1)
    }

    /// The first frame of the next turn that begins after `after_ns`.
    fn next_turn_ns(&self, after_ns: u64) -> Option<u64> {
        let after = Duration::from_nanos(after_ns);
        let turn = self.turns.get(self.turns.partition_point(|turn| turn.0 <= after))?;
        let begins_ns = u64::try_from(turn.0.as_nanos()).ok()?;
        Some(self.phase_ns + begins_ns.saturating_sub(self.phase_ns).div_ceil(FRAME_NS) * FRAME_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// All frames of ten seconds with a turn in the third and fourth: due time, length, marker, timestamp.
    fn frames(silent: Silent) -> Vec<(u64, usize, bool, u32)> {
        let mut voice = Voice::new(5, vec![(2 * SECOND, 4 * SECOND)], silent, 0);
        let mut frames = Vec::new();
        while let Some(due_ns) = voice.due_ns().filter(|due_ns| *due_ns < 10_000_000_000) {
            let packet = voice.poll_packet(due_ns);
            frames.push((due_ns, packet.payload.len(), packet.marker, packet.timestamp));
        }
        frames
    }

    #[test]
    fn a_turn_has_a_frame_every_20_ms_and_begins_with_the_marker() {
        let frames = frames(Silent::None);
        assert_eq!(frames.len(), 100);
        assert!(frames.windows(2).all(|pair| pair[1].0 - pair[0].0 == FRAME_NS && pair[1].3 - pair[0].3 == 960));
        assert_eq!(frames.iter().filter(|frame| frame.2).count(), 1);
        assert!(frames[0].2 && frames.iter().all(|frame| FRAME_LENS.contains(&frame.1)));
    }

    #[test]
    fn silence_has_a_comfort_frame_every_400_ms_on_the_same_clock() {
        let frames = frames(Silent::Dtx);
        let comfort: Vec<_> = frames.iter().filter(|frame| frame.1 == COMFORT_LEN).collect();
        assert!((19..=21).contains(&comfort.len()), "{}", comfort.len());
        assert_eq!(frames.iter().filter(|frame| frame.1 > COMFORT_LEN).count(), 100);
        for pair in frames.windows(2) {
            assert_eq!((pair[1].0 - pair[0].0) / FRAME_NS * FRAME_TICKS, u64::from(pair[1].3 - pair[0].3));
            assert!(pair[1].0 - pair[0].0 <= COMFORT_NS);
        }
    }
}
