//! One received stream as its headers tell it: loss, repeats, order and jitter, without a look at the content.

use peer::{LossReport, Place, Window};
use serde::Serialize;

/// The figures of a stream.
#[derive(Clone, Debug)]
pub struct StreamFigures {
    clock_rate_hz: f64,
    window: Window,
    /// The lowest place that arrived.
    lowest: u64,
    counts: Counts,
    /// When the latest came, in nanoseconds, and its timestamp.
    latest: Option<(u64, u32)>,
    /// In ticks of the clock.
    jitter: f64,
    /// The greatest that it came to.
    jitter_max: f64,
    /// Expected and arrived at the last report.
    reported: (u64, u64),
}

/// What became of the packets of one or many streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Places between the lowest and the highest that arrived.
    pub expected: u64,
    /// Packets that arrived for the first time.
    pub received: u64,
    /// Packets that had arrived before.
    pub repeats: u64,
    /// Packets that arrived after a later one.
    pub reordered: u64,
}

impl Counts {
    /// Places that no packet had.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    /// The share of places that no packet had, 0 to 1.
    pub fn loss(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { self.lost() as f64 / self.expected as f64 }
    }

    /// Takes those of another stream.
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.received += other.received;
        self.repeats += other.repeats;
        self.reordered += other.reordered;
    }

    /// Counts an arrival.
    pub fn note(&mut self, place: Place) {
        match place {
            Place::Repeat => self.repeats += 1,
            Place::Late => {
                self.reordered += 1;
                self.received += 1;
            }
            Place::First | Place::Ahead(_) => self.received += 1,
        }
    }
}

impl StreamFigures {
    /// Of a stream whose timestamps have this clock.
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.into(),
            window: Window::default(),
            lowest: 0,
            counts: Counts::default(),
            latest: None,
            jitter: 0.0,
            jitter_max: 0.0,
            reported: (0, 0),
        }
    }

    /// Takes a packet's header and the nanosecond of its arrival.
    pub fn note(&mut self, sequence: u16, timestamp: u32, arrived_at_ns: u64) -> Place {
        let extended = self.window.extend(sequence);
        let place = self.window.note(extended);
        self.counts.note(place);
        match place {
            Place::First => {
                self.lowest = extended;
                self.latest = Some((arrived_at_ns, timestamp));
            }
            Place::Ahead(_) => self.note_jitter(timestamp, arrived_at_ns),
            Place::Late => {
                self.lowest = self.lowest.min(extended);
                self.note_jitter(timestamp, arrived_at_ns);
            }
            Place::Repeat => {}
        }
        place
    }

    /// What became of the packets so far.
    pub fn counts(&self) -> Counts {
        Counts { expected: self.expected(), ..self.counts }
    }

    /// When the latest packet arrived, in nanoseconds since the Unix epoch.
    pub fn latest_at_ns(&self) -> Option<u64> {
        self.latest.map(|(at_ns, _)| at_ns)
    }

    /// The greatest interarrival jitter (RFC 3550 6.4.1) in milliseconds: one bad second is heard, however calm the rest was.
    pub fn jitter_ms(&self) -> f64 {
        self.jitter_max * 1000.0 / self.clock_rate_hz
    }

    /// What a receiver report says, since the last one (RFC 3550 A.3); `None` where nothing came.
    pub fn poll_report(&mut self) -> Option<LossReport> {
        let highest = self.window.highest()?;
        let (expected, arrived) = (self.expected(), self.counts.received + self.counts.repeats);
        let (expected_before, arrived_before) = std::mem::replace(&mut self.reported, (expected, arrived));
        let expected_since = expected.saturating_sub(expected_before);
        let lost_since = expected_since.saturating_sub(arrived - arrived_before);
        let fraction_lost = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        Some(LossReport {
            fraction_lost: u8::try_from(fraction_lost).unwrap_or(u8::MAX),
            total_lost: u32::try_from(self.counts().lost()).unwrap_or(u32::MAX),
            // The window puts the first number one cycle up.
            highest_sequence: highest.wrapping_sub(1 << 16) as u32,
            jitter: self.jitter as u32,
        })
    }

    fn expected(&self) -> u64 {
        self.window.highest().map_or(0, |highest| highest - self.lowest + 1)
    }

    fn note_jitter(&mut self, timestamp: u32, arrived_at_ns: u64) {
        if let Some((before_ns, timestamp_before)) = self.latest.replace((arrived_at_ns, timestamp)) {
            let arrival_ticks = arrived_at_ns.saturating_sub(before_ns) as f64 * self.clock_rate_hz / 1e9;
            let media_ticks = f64::from(timestamp.wrapping_sub(timestamp_before) as i32);
            self.jitter += ((arrival_ticks - media_ticks).abs() - self.jitter) / 16.0;
            self.jitter_max = self.jitter_max.max(self.jitter);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    /// Counts by remembering everything.
    fn reference(places: &[u64]) -> Counts {
        let (mut seen, mut counts, mut highest) = (HashSet::new(), Counts::default(), None);
        for &place in places {
            match (seen.insert(place), highest) {
                (false, _) => counts.repeats += 1,
                (true, Some(highest)) if place < highest => {
                    counts.received += 1;
                    counts.reordered += 1;
                }
                (true, _) => counts.received += 1,
            }
            highest = highest.max(Some(place));
        }
        let lowest = places.iter().min().copied().unwrap_or(0);
        counts.expected = highest.map_or(0, |highest| highest - lowest + 1);
        counts
    }

    proptest! {
        #[test]
        fn counts_are_those_of_one_who_remembers_everything(
            start in 0u64..70_000,
            fates in prop::collection::vec((0usize..4, 0u64..40), 1..400),
        ) {
            // Each place is lost, delayed by some places, or delayed and repeated.
            let mut arrivals = Vec::new();
            for (step, &(copies, delay)) in fates.iter().enumerate() {
                let place = start + step as u64;
                let copies = [1, 1, 0, 2][copies];
                arrivals.extend((0..copies).map(|copy| (place + delay * (copy + 1), place)));
            }
            arrivals.sort_by_key(|(at, _)| *at);
            let places: Vec<u64> = arrivals.into_iter().map(|(_, place)| place).collect();
            let mut figures = StreamFigures::new(48_000);
            for &place in &places {
                figures.note(place as u16, place as u32 * 960, place * 20_000_000);
            }
            prop_assert_eq!(figures.counts(), reference(&places));
        }
    }

    #[test]
    fn jitter_is_none_where_arrivals_keep_the_pace_and_follows_where_they_do_not() {
        let (mut even, mut odd) = (StreamFigures::new(48_000), StreamFigures::new(48_000));
        for place in 0..500u64 {
            even.note(place as u16, place as u32 * 960, place * 20_000_000);
            // Every other packet is 8 ms late, so that each differs from the one before by 8 ms.
            odd.note(place as u16, place as u32 * 960, place * 20_000_000 + place % 2 * 8_000_000);
        }
        assert_eq!(even.jitter_ms(), 0.0);
        assert!((odd.jitter_ms() - 8.0).abs() < 0.01, "{}", odd.jitter_ms());
    }

    #[test]
    fn a_bad_second_is_not_forgotten_in_the_calm_after_it() {
        let mut figures = StreamFigures::new(48_000);
        for place in 0..2000u64 {
            // One packet is held for 200 ms, and all behind it.
            let at_ns = if place < 100 { place * 20_000_000 } else { (place * 20_000_000).max(2_200_000_000) };
            figures.note(place as u16, place as u32 * 960, at_ns);
        }
        // A sixteenth of 200 ms, and a little more from those that came at once.
        assert!((12.5..18.0).contains(&figures.jitter_ms()), "{}", figures.jitter_ms());
    }

    #[test]
    fn a_report_tells_the_loss_since_the_last_one() {
        let mut figures = StreamFigures::new(48_000);
        assert_eq!(figures.poll_report(), None);
        for sequence in 0..4 {
            figures.note(sequence, 0, 0);
        }
        let report = figures.poll_report().map(|report| (report.fraction_lost, report.total_lost));
        assert_eq!(report, Some((0, 0)));
        for sequence in [5, 7] {
            figures.note(sequence, 0, 0);
        }
        let report = figures.poll_report().map(|report| (report.fraction_lost, report.total_lost));
        assert_eq!(report, Some((128, 2)));
        assert_eq!(figures.poll_report().map(|report| report.highest_sequence), Some(7));
    }
}
