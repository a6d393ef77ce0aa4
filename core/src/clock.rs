//! Leases are trusted by a monotonic clock that also counts suspended time.

mod suspend;

use std::fmt;

use futures_util::future::BoxFuture;

use crate::Moment;

/// A clock is monotonic and also counts the time for which the machine is suspended.
///
/// A lease expires on the store's clock while a laptop sleeps or a virtual machine is frozen. A
/// clock that stops during that time would trust the lease for too long.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the present moment, which is never earlier than one returned before.
    fn now(&self) -> Moment;

    /// Waits until that moment: it returns then or soon after, never before.
    ///
    /// Dropping the future is safe.
    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()>;

    /// Returns whether the clock's timers fire in every runtime. If so, a client runs its
    /// heartbeats and elections on Leasehold's own thread, separate from the application's threads.
    ///
    /// The default is `false`: under a test clock, such as one with paused time, everything runs in
    /// the caller's runtime.
    fn is_real_time(&self) -> bool {
        false
    }
}

/// This clock is the machine's: `CLOCK_BOOTTIME` on Linux and Android, where its origin is the
/// machine's boot, the same for all processes.
///
/// On macOS it is `CLOCK_MONOTONIC` and on Windows the performance counter, which count suspended
/// time too. Other Unix systems have no such clock: there it is `CLOCK_MONOTONIC`, and suspended
/// time is not counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    #[cfg(unix)]
    fn read() -> Moment {
        use std::time::Duration;

        use rustix::time::{ClockId, clock_gettime};
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const ID: ClockId = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const ID: ClockId = ClockId::Monotonic;
        let time = clock_gettime(ID);
        // Both parts are never negative on these clocks.
        Moment::from_origin(Duration::new(
            u64::try_from(time.tv_sec).unwrap_or_default(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        ))
    }

    #[cfg(not(unix))]
    fn read() -> Moment {
        use std::sync::OnceLock;
        use std::time::Instant;
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        Moment::from_origin(ORIGIN.get_or_init(Instant::now).elapsed())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Self::read()
    }

    fn is_real_time(&self) -> bool {
        true
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let left = moment.saturating_since(Self::read());
                if left.is_zero() {
                    return;
                }
                // Timers stop while the machine is suspended.
                match left <= suspend::INTERVAL {
                    true => tokio::time::sleep(left).await,
                    false => suspend::sleep(moment, Self::read).await,
                }
            }
        })
    }
}

/// This is tokio's clock, for tests under paused time: it advances when every task is idle.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// Creates a clock whose origin is now.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it reads the time")]
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Moment {
        Moment::from_origin(self.origin.elapsed())
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(self.origin + moment.since_origin()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_panicking() {
        let late = Moment::ORIGIN + Duration::MAX;
        assert_eq!(late + Duration::from_secs(1), late);
        assert_eq!(Moment::ORIGIN.saturating_sub(Duration::MAX), Moment::ORIGIN);
        assert_eq!(Moment::ORIGIN.saturating_since(late), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_system_clock_sleep_never_ends_early() {
        let clock = SystemClock;
        let until = clock.now() + Duration::from_millis(20);
        clock.sleep_until(until).await;
        assert!(clock.now() >= until);
    }
}
