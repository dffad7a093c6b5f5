//! NTP timestamps as RTCP carries them (RFC 3550 section 4), and the round trip that follows from them.

use std::time::Duration;

/// A moment: seconds since 1900 in the upper 32 bits, their fraction in the lower. It wraps in 2036.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NtpTimestamp(pub u64);

/// The middle 32 bits of an [`NtpTimestamp`]: a moment in 1/65536 s that wraps after 18 hours. 0 stands for "none yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactNtp(pub u32);

/// A span in 1/65536 s, below 18 hours and 12 minutes 16 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactDelay(pub u32);

impl NtpTimestamp {
    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        // Whole seconds and their fraction apart: a product of all nanoseconds would not fit.
        let fraction = (u64::from(duration.subsec_nanos()) << 32) / NANOS_PER_SECOND;
        Self(self.0.wrapping_add(duration.as_secs() << 32).wrapping_add(fraction))
    }

    /// How long `earlier` was before this moment; the difference is taken across the wrap, so a later `earlier` gives a
    /// span of more than 68 years.
    pub fn since(self, earlier: Self) -> Duration {
        let difference = self.0.wrapping_sub(earlier.0);
        let nanos = ((difference & u64::from(u32::MAX)) * NANOS_PER_SECOND) >> 32;
        Duration::new(difference >> 32, nanos as u32)
    }

    /// How many ticks of a clock of `rate_hz` this moment is after `earlier`, or, as timestamps wrap, before it.
    pub fn ticks_since(self, earlier: Self, rate_hz: u32) -> u32 {
        let difference = self.0.wrapping_sub(earlier.0) as i64;
        ((i128::from(difference) * i128::from(rate_hz)) >> 32) as u32
    }

    /// The moment `ticks` of a clock of `rate_hz` later, or earlier where they are negative; `rate_hz` is not 0.
    #[must_use]
    pub fn plus_ticks(self, ticks: i32, rate_hz: u32) -> Self {
        Self(self.0.wrapping_add_signed((i64::from(ticks) << 32) / i64::from(rate_hz.max(1))))
    }

    /// The middle 32 bits.
    pub fn compact(self) -> CompactNtp {
        CompactNtp((self.0 >> 16) as u32)
    }
}

impl CompactDelay {
    /// `duration` rounded down; one that is too long becomes the longest.
    pub fn from_duration(duration: Duration) -> Self {
        let seconds = duration.as_secs() << 16;
        let fraction = (u64::from(duration.subsec_nanos()) << 16) / NANOS_PER_SECOND;
        if duration.as_secs() > u64::from(u16::MAX) { Self(u32::MAX) } else { Self((seconds + fraction) as u32) }
    }

    /// The span, exact to 15 µs.
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos((u64::from(self.0) * NANOS_PER_SECOND) >> 16)
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The time on the network, there and back, of a report that was sent at `sent`, kept by the peer for `delay`, and answered
/// by what came at `received` (RFC 3550 section 6.4.1, RFC 3611 section 4.5).
///
/// `None` where the peer had no report yet. What clocks of 15 µs make negative is no time at all.
pub fn round_trip(received: NtpTimestamp, sent: CompactNtp, delay: CompactDelay) -> Option<Duration> {
    if sent == CompactNtp::default() {
        return None;
    }
    let span = received.compact().0.wrapping_sub(sent.0).wrapping_sub(delay.0);
    if span > i32::MAX as u32 {
        return Some(Duration::ZERO);
    }
    Some(CompactDelay(span).to_duration())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_round_trip_of_rfc_3550_comes_out() {
        // Figure 2 of section 6.4.1.
        let received = NtpTimestamp(0x0000_b710_8000_0000);
        assert_eq!(received.compact(), CompactNtp(0xb710_8000));
        let delay = CompactDelay::from_duration(Duration::from_millis(5250));
        assert_eq!(delay, CompactDelay(0x0005_4000));
        let round_trip = round_trip(received, CompactNtp(0xb705_2000), delay);
        assert_eq!(round_trip, Some(Duration::from_millis(6125)));
    }

    #[test]
    fn ticks_count_both_ways() {
        let noon = NtpTimestamp(77 << 32);
        let later = noon.plus(Duration::from_millis(500));
        assert_eq!(later.ticks_since(noon, 90_000), 45_000);
        assert_eq!(noon.ticks_since(later, 90_000), 45_000_u32.wrapping_neg());
        assert_eq!(noon.plus_ticks(45_000, 90_000), later);
        assert_eq!(later.plus_ticks(-45_000, 90_000), noon);
    }

    #[test]
    fn a_round_trip_is_unknown_before_the_first_report_and_never_negative() {
        let now = NtpTimestamp(0x1_0000_0000);
        assert_eq!(round_trip(now, CompactNtp(0), CompactDelay(0)), None);
        assert_eq!(round_trip(now, now.compact(), CompactDelay(1)), Some(Duration::ZERO));
        // Across the wrap of the compact form.
        let sent = NtpTimestamp(0xffff_ffff_0000).compact();
        let answered = NtpTimestamp(0x1_0000_0000_0000 + (1 << 16));
        assert_eq!(round_trip(answered, sent, CompactDelay(1)), Some(Duration::from_nanos(15_258)));
    }

    #[test]
    fn a_delay_over_18_hours_is_the_longest() {
        assert_eq!(CompactDelay::from_duration(Duration::from_secs(65_536)), CompactDelay(u32::MAX));
        assert_eq!(CompactDelay::from_duration(Duration::MAX), CompactDelay(u32::MAX));
        assert_eq!(CompactDelay::from_duration(Duration::from_secs(65_535)), CompactDelay(0xffff_0000));
    }

    proptest! {
        #[test]
        fn moments_and_spans_agree_within_their_grain(start: u64, nanos in 0u64..1 << 60) {
            let span = Duration::from_nanos(nanos);
            let start = NtpTimestamp(start);
            let difference = span.abs_diff(start.plus(span).since(start));
            prop_assert!(difference <= Duration::from_nanos(1), "{difference:?}");
        }

        #[test]
        fn a_delay_loses_less_than_16_us(nanos in 0u64..65_536 * NANOS_PER_SECOND) {
            let delay = Duration::from_nanos(nanos);
            let lost = delay.checked_sub(CompactDelay::from_duration(delay).to_duration());
            prop_assert!(lost.is_some_and(|lost| lost < Duration::from_micros(16)));
        }
    }
}
