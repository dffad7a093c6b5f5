//! One-way latency, and what of it was measured while the processor was not throttled.

use super::histogram::Durations;

/// One-way latency, noted window by window. Whether the processor was throttled in a window is said at its end.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// That of all windows that have ended.
    pub all: Durations,
    /// That of those in which the processor was not throttled.
    pub unthrottled: Durations,
    window: Durations,
}

impl Latency {
    /// Notes one in nanoseconds.
    pub fn note_ns(&mut self, latency_ns: u64) {
        self.window.note_ns(latency_ns);
    }

    /// Ends the window.
    pub fn end_window(&mut self, is_throttled: bool) {
        if self.window.is_empty() {
            return;
        }
        self.all.add(&self.window);
        if !is_throttled {
            self.unthrottled.add(&self.window);
        }
        self.window.clear();
    }

    /// Takes that of another's windows that have ended.
    pub fn add(&mut self, other: &Self) {
        self.all.add(&other.all);
        self.unthrottled.add(&other.unthrottled);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.all.clear();
        self.unthrottled.clear();
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_throttled_window_is_left_out_of_what_is_unthrottled() {
        let mut latency = Latency::default();
        for (latency_ms, is_throttled) in [(1, false), (90, true), (2, false)] {
            latency.note_ns(latency_ms * 1_000_000);
            latency.end_window(is_throttled);
        }
        latency.note_ns(3_000_000);
        let mut both = Latency::default();
        both.add(&latency);
        let (all, unthrottled) = (both.all.summary(), both.unthrottled.summary());
        assert_eq!((all.count, unthrottled.count), (3, 2));
        assert!((89.0..91.0).contains(&all.max_ms) && (1.9..2.1).contains(&unthrottled.max_ms));
        latency.clear();
        latency.end_window(false);
        assert!(latency.all.is_empty() && latency.unthrottled.is_empty());
    }
}
