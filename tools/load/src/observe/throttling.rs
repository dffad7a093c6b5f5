//! Whether the processor under this tool keeps its pace.
//!
//! A thread does the same piece of work again and again, and looks how much CPU time each took. That is time of its own, in
//! which waiting for a core does not count; so it tells of the processor alone, which heat slows down, or a limit of power that it
//! shares with others on the same host. Neither a server nor a generator can do anything about that. A core that stands still
//! altogether is not seen.

use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::thread_cpu;

/// Between two pieces of work: a small part of the tens of milliseconds for which processors are throttled.
const PROBE_INTERVAL: Duration = Duration::from_millis(2);
/// Steps of a piece of work, each of which needs the one before: about 10 µs at 3 GHz, half a percent of a core.
const PROBE_STEPS: u64 = 10_000;
/// The processor is throttled where a piece of work takes more than so many times the least that one took. The clock of an idle core
/// may be a sixth of a turbo's, and another thread on the same core makes a factor of two; one that was throttled has been seen at
/// a twelfth of its pace.
pub const THROTTLED_FACTOR: u32 = 8;
/// Slow pieces of work that lie further apart tell nothing of the time between: the thread had no core.
const PROBE_GAP_MAX: Duration = Duration::from_millis(20);

/// How much of the measured time the processor was throttled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// In percent of the time.
    pub percent: f64,
    /// How often.
    pub periods: u64,
    /// For how long at the longest.
    pub longest_ms: f64,
}

/// A thread that watches; it ends when nobody has its watch any more.
#[derive(Debug, Default)]
pub struct ThrottlingWatch {
    record: Mutex<Record>,
}

impl ThrottlingWatch {
    /// Starts one whose times count from `epoch`.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(epoch: Instant) -> io::Result<Arc<Self>> {
        let watch = Arc::new(Self::default());
        let watched = Arc::downgrade(&watch);
        thread::Builder::new().name("throttling".into()).spawn(move || run(&watched, epoch))?;
        Ok(watch)
    }

    /// Notes what a piece of work took that was done at a time.
    pub fn note(&self, at: Duration, cost: Duration) {
        if let Ok(mut record) = self.record.lock() {
            record.note(at, cost);
        }
    }

    /// The processor was throttled at some time within `time`.
    pub fn is_throttled(&self, time: &Range<Duration>) -> bool {
        self.record.lock().is_ok_and(|record| record.within(time).next().is_some())
    }

    /// What there was of it within `time`.
    pub fn throttling(&self, time: &Range<Duration>) -> Throttling {
        self.record.lock().map(|record| record.throttling(time)).unwrap_or_default()
    }
}

fn run(watched: &Weak<ThrottlingWatch>, epoch: Instant) {
    while let Some(watch) = watched.upgrade() {
        let before = thread_cpu();
        work();
        let cost = thread_cpu().saturating_sub(before);
        watch.note(epoch.elapsed(), cost);
        drop(watch);
        thread::sleep(PROBE_INTERVAL);
    }
}

fn work() {
    let mut value = black_box(1u64);
    for step in 0..PROBE_STEPS {
        value = value.wrapping_mul(3).wrapping_add(step);
    }
    black_box(value);
}

/// What the pieces of work have told.
#[derive(Debug, Default)]
struct Record {
    least: Option<Duration>,
    /// When the last one was done, where that was slow.
    slow_at: Option<Duration>,
    /// Between two slow ones and more: a single one may have been interrupted.
    throttled: Vec<Range<Duration>>,
}

impl Record {
    fn note(&mut self, at: Duration, cost: Duration) {
        let least = self.least.map_or(cost, |least| least.min(cost));
        self.least = Some(least);
        let slow_before = self.slow_at.take();
        if cost <= least * THROTTLED_FACTOR {
            return;
        }
        self.slow_at = Some(at);
        match (slow_before, self.throttled.last_mut()) {
            (Some(before), _) if at - before > PROBE_GAP_MAX => {}
            (Some(before), Some(period)) if period.end == before => period.end = at,
            (Some(before), _) => self.throttled.push(before..at),
            (None, _) => {}
        }
    }

    /// The periods that lie within `time`, or the parts of them that do.
    fn within(&self, time: &Range<Duration>) -> impl Iterator<Item = Range<Duration>> {
        let Range { start, end } = *time;
        let latest = self.throttled.iter().rev().skip_while(move |period| period.start >= end);
        let within = latest.take_while(move |period| period.end > start);
        within.map(move |period| period.start.max(start)..period.end.min(end))
    }

    fn throttling(&self, time: &Range<Duration>) -> Throttling {
        let lens = || self.within(time).map(|period| period.end - period.start);
        let share = lens().sum::<Duration>().as_secs_f64() / (time.end - time.start).as_secs_f64().max(f64::EPSILON);
        Throttling {
            percent: 100.0 * share,
            periods: lens().count() as u64,
            longest_ms: 1000.0 * lens().max().unwrap_or_default().as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(10);
    const SLOW: Duration = Duration::from_micros(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Pieces of work every 2 ms, of which those of some times are slow.
    fn record(is_slow: impl Fn(u64) -> bool) -> Record {
        let mut record = Record::default();
        (0..1000).step_by(2).for_each(|at| record.note(ms(at), if is_slow(at) { SLOW } else { QUICK }));
        record
    }

    #[test]
    fn what_is_slow_for_a_while_is_throttled() {
        let record = record(|at| (100..=150).contains(&at) || (400..=450).contains(&at));
        assert_eq!(record.throttled, [ms(100)..ms(150), ms(400)..ms(450)]);
        let all = record.throttling(&(ms(0)..ms(800)));
        assert_eq!((all.percent, all.periods, all.longest_ms), (12.5, 2, 50.0));
        let part = record.throttling(&(ms(125)..ms(325)));
        assert_eq!((part.percent, part.periods, part.longest_ms), (12.5, 1, 25.0));
        assert_eq!(record.throttling(&(ms(150)..ms(400))), Throttling::default());
    }

    #[test]
    fn a_single_slow_one_and_a_slower_clock_are_not() {
        let record = record(|at| at % 10 == 0);
        assert_eq!(record.throttled, []);
        let mut record = Record::default();
        (0..100).for_each(|at| record.note(ms(at), QUICK * if at < 50 { 1 } else { THROTTLED_FACTOR }));
        assert_eq!(record.throttled, []);
    }

    #[test]
    fn nothing_is_known_of_a_time_without_work() {
        let mut record = record(|_| false);
        [1000, 1100, 1102].into_iter().for_each(|at| record.note(ms(at), SLOW));
        assert_eq!(record.throttled, [ms(1100)..ms(1102)]);
    }

    #[test]
    fn a_period_that_goes_on_is_seen() {
        let mut record = record(|_| false);
        record.note(ms(1000), SLOW);
        assert!(record.within(&(ms(900)..ms(1010))).next().is_none());
        record.note(ms(1002), SLOW);
        assert!(record.within(&(ms(900)..ms(1010))).next().is_some());
    }

    #[test]
    fn a_thread_watches_until_nobody_has_its_watch() {
        let watch = ThrottlingWatch::start(Instant::now()).expect("a thread");
        while watch.record.lock().expect("nobody has panicked").least.is_none() {
            thread::yield_now();
        }
        run(&Weak::new(), Instant::now());
    }
}
