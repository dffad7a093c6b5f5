//! The wall clock of a publisher, beside the service's own.
//!
//! A publisher's sender reports tie each of its streams to its clock. One offset for all its streams carries that over to
//! the service's clock, so that what was captured together stays together, however its packets travelled.

use crate::wire::rtcp::NtpTimestamp;

/// The share by which the offset follows reports that took longer than the quickest: 1/64 a report follows any clock's
/// drift, and hardly a queue's growth.
const FOLLOW_SHIFT: u32 = 6;

/// A step of the publisher's clock, in NTP's 2^-32 s: no queue holds a report for a second.
const STEP_MIN: i64 = 1 << 32;

/// How far the service's clock is ahead of one publisher's, the quickest way of its reports counted in.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublisherClock {
    /// In 2^-32 s; it wraps.
    offset: Option<u64>,
}

impl PublisherClock {
    /// Notes a report that was made at `theirs` on the publisher's clock and came at `ours` on the service's.
    pub fn on_sender_report(&mut self, theirs: NtpTimestamp, ours: NtpTimestamp) {
        let offset = ours.0.wrapping_sub(theirs.0);
        let Some(known) = self.offset else {
            self.offset = Some(offset);
            return;
        };
        let later = offset.wrapping_sub(known) as i64;
        self.offset = Some(if !(0..STEP_MIN).contains(&later) {
            offset
        } else {
            known.wrapping_add_signed(later >> FOLLOW_SHIFT)
        });
    }

    /// What the publisher's clock shows when the service's shows `ours`; `None` before its first report.
    pub fn theirs(&self, ours: NtpTimestamp) -> Option<NtpTimestamp> {
        self.offset.map(|offset| NtpTimestamp(ours.0.wrapping_sub(offset)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_quickest_report_counts_and_a_clock_that_is_set_is_followed() {
        let (ours, theirs) = (NtpTimestamp(900 << 32), NtpTimestamp(100 << 32));
        let ms = Duration::from_millis;
        let mut clock = PublisherClock::default();
        assert_eq!(clock.theirs(ours), None);
        clock.on_sender_report(theirs, ours.plus(ms(30)));
        clock.on_sender_report(theirs, ours.plus(ms(10)));
        clock.on_sender_report(theirs, ours.plus(ms(40)));
        let behind = theirs.since(clock.theirs(ours).unwrap());
        assert!((ms(10)..ms(11)).contains(&behind), "{behind:?}");
        let set = NtpTimestamp(5 << 32);
        clock.on_sender_report(set, ours);
        assert_eq!(clock.theirs(ours), Some(set));
    }
}
