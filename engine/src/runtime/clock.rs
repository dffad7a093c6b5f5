//! The wall clock, read only to name a moment to others: kernel stamps in, NTP time out. And the clock of a thread's work.
//!
//! Everything else of the engine runs on the monotonic `now` that the event loop takes once a turn.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// Seconds from the NTP era 0 (1900) to the Unix epoch (1970), RFC 5905 section 6.
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// The oldest age that a kernel stamp is believed to have. A turn lasts milliseconds; an older stamp means that the wall
/// clock was set meanwhile.
const STAMP_AGE_MAX: Duration = Duration::from_secs(1);

/// The wall clock as time since the Unix epoch; zero for a clock set before it.
pub(super) fn realtime() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// CPU time that the calling thread has taken; zero on a system that does not tell.
pub(super) fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// A time since the Unix epoch as an NTP timestamp: seconds in the upper half, their fraction in the lower
/// (RFC 5905 section 6). Wraps with the era, in 2036, as all NTP timestamps do.
pub(super) fn ntp(realtime: Duration) -> u64 {
    let seconds = realtime.as_secs().wrapping_add(NTP_UNIX_OFFSET_S);
    let fraction = (u64::from(realtime.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

/// The monotonic moment of a kernel stamp, where `realtime` and `now` are the same moment on both clocks. A stamp from the
/// future, or one that is not believable, is `now`.
pub(super) fn instant_of(stamp: Duration, realtime: Duration, now: Instant) -> Instant {
    match realtime.saturating_sub(stamp) {
        age if age > STAMP_AGE_MAX => now,
        age => now.checked_sub(age).unwrap_or(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_has_its_fraction_in_the_lower_half() {
        assert_eq!(ntp(Duration::ZERO), NTP_UNIX_OFFSET_S << 32);
        assert_eq!(ntp(Duration::from_millis(1500)), ((NTP_UNIX_OFFSET_S + 1) << 32) | (1 << 31));
    }

    #[test]
    fn ntp_time_wraps_into_the_next_era() {
        let era_end = Duration::from_secs((1 << 32) - NTP_UNIX_OFFSET_S);
        assert_eq!(ntp(era_end), 0);
    }

    #[test]
    fn a_stamp_keeps_its_age_and_an_unbelievable_one_is_now() {
        let now = Instant::now() + Duration::from_secs(60);
        let realtime = Duration::from_secs(1_000_000);
        let age = Duration::from_millis(3);
        assert_eq!(instant_of(realtime - age, realtime, now), now - age);
        assert_eq!(instant_of(realtime + age, realtime, now), now);
        assert_eq!(instant_of(realtime - Duration::from_secs(3600), realtime, now), now);
    }
}
