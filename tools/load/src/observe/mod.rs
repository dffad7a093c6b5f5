//! What is seen beside the media: of the server its process and its metrics, of the host its processor's pace.

pub mod metrics;
pub mod process;
pub mod throttling;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The CPU time that this thread has taken.
pub fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
