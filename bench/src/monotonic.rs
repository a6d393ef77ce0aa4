//! The monotonic clock of the machine, whose times can be compared between processes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the time since a moment that is the same for all processes of this machine.
pub(crate) fn now() -> Duration {
    since_start(ClockId::Monotonic)
}

/// Returns the processor time that this process has used so far.
pub(crate) fn processor_time() -> Duration {
    since_start(ClockId::ProcessCPUTime)
}

fn since_start(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}
