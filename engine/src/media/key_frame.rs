//! When a publisher is asked for a key frame: once for all who want one, not too often, and again where none comes.

use std::time::{Duration, Instant};

/// The least time from a request that was answered to the next. A key frame is some ten times as large as another: more of
/// them would cost everybody's quality whenever somebody comes.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a request may take to be answered where nothing is known of the publisher: a round trip over half the globe and
/// an encoder's next frame.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// Tries at that pace; more is no lost request but a publisher that does not answer.
const QUICK_TRIES: u32 = 3;

/// Tries in all for one wish; the next who wants one begins anew.
const TRIES_MAX: u32 = 10;

/// The key frames of one encoding.
#[derive(Clone, Copy, Debug)]
pub struct KeyFrames {
    /// Requests made since somebody wanted one; `None` where nobody does.
    tries: Option<u32>,
    first_asked_at: Option<Instant>,
    asked_at: Option<Instant>,
    /// How long the next answer may take, by the last: were a key frame asked for again that is under way, two would come.
    answer_time: Duration,
    /// When the newest one was asked for that has come. What a publisher sends by itself, such as its first, keeps nobody
    /// waiting who comes a moment later.
    answered: Option<Instant>,
}

impl Default for KeyFrames {
    fn default() -> Self {
        Self { tries: None, first_asked_at: None, asked_at: None, answer_time: ANSWER_TIME, answered: None }
    }
}

impl KeyFrames {
    /// Somebody needs one to go on. Whether that is news: nobody else has been waiting for one.
    pub fn want(&mut self) -> bool {
        let is_news = self.tries.is_none_or(|tries| tries >= TRIES_MAX);
        if is_news {
            self.tries = Some(0);
        }
        is_news
    }

    /// One has begun.
    pub fn on_key_frame(&mut self, now: Instant) {
        if self.tries.take().is_some_and(|tries| tries > 0) {
            self.answered = self.asked_at;
            // Which of several requests it answers cannot be told: at most so long, and half as much again for the jitter.
            let answered_in = self.first_asked_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            self.answer_time = (answered_in * 3 / 2).clamp(ANSWER_TIME, INTERVAL);
        }
    }

    /// When the publisher is to be asked.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        let tries = self.tries.filter(|&tries| tries < TRIES_MAX)?;
        let patience = if tries < QUICK_TRIES { self.answer_time } else { INTERVAL };
        let after_try = self.asked_at.map(|at| at + patience);
        let after_answer = self.answered.map(|asked_at| asked_at + INTERVAL);
        after_try.max(after_answer).or(Some(now))
    }

    /// Whether to ask now; if so, that counts as a try.
    pub fn take_request(&mut self, now: Instant) -> bool {
        let is_due = self.next_at(now).is_some_and(|at| at <= now);
        if is_due {
            if self.tries == Some(0) {
                self.first_asked_at = Some(now);
            }
            self.tries = self.tries.map(|tries| tries + 1);
            self.asked_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    /// The times in ms at which a publisher is asked that answers after `answer`, if at all, while somebody wants a key
    /// frame all the time that `is_wanted` says.
    fn asked(answer: Option<Duration>, seconds: u32, is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
        let start = Instant::now();
        let mut key_frames = KeyFrames::default();
        let mut asked = Vec::new();
        let mut answers_at = std::collections::VecDeque::new();
        for ms in (0..seconds * 1000).step_by(STEP.as_millis() as usize) {
            let now = start + Duration::from_millis(u64::from(ms));
            while answers_at.pop_front_if(|at| *at <= now).is_some() {
                key_frames.on_key_frame(now);
            }
            if is_wanted(ms) {
                key_frames.want();
            }
            if key_frames.take_request(now) {
                asked.push(ms);
                answers_at.extend(answer.map(|answer| now + answer));
            }
        }
        asked
    }

    #[test]
    fn the_first_wish_is_passed_on_at_once_and_all_others_cost_one_key_frame_a_second() {
        let answer = Some(Duration::from_millis(50));
        assert_eq!(asked(answer, 3, |ms| ms == 0), [0]);
        assert_eq!(asked(answer, 4, |_| true), [0, 1000, 2000, 3000]);
    }

    #[test]
    fn a_publisher_far_away_is_not_asked_again_for_what_is_under_way_once_that_is_known() {
        for answer_ms in [250, 400, 650] {
            let asked = asked(Some(Duration::from_millis(answer_ms)), 20, |_| true);
            let at_pace = asked.windows(2).skip(3).all(|pair| pair[1] - pair[0] >= 1000);
            assert!(at_pace, "{answer_ms} ms: {asked:?}");
        }
    }

    #[test]
    fn a_key_frame_that_nobody_asked_for_keeps_nobody_waiting() {
        let now = Instant::now();
        let mut key_frames = KeyFrames::default();
        key_frames.on_key_frame(now);
        key_frames.want();
        assert!(key_frames.take_request(now + STEP));
    }

    #[test]
    fn a_request_that_is_not_answered_is_repeated_quickly_then_slowly_and_at_last_given_up() {
        let times = asked(None, 60, |ms| ms == 0);
        assert_eq!(times[..5], [0, 300, 600, 1600, 2600]);
        assert_eq!(times.len(), TRIES_MAX as usize);
    }

    #[test]
    fn a_publisher_that_never_answers_is_not_flooded_however_many_want() {
        assert!(asked(None, 60, |_| true).len() <= 90);
    }
}
