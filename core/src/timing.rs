//! A timing has the settings with every default filled in, and the durations that follow from them.

use std::time::Duration;

/// The first pause after a failure is at most this long, whatever the ttl is: a store that failed
/// for a moment must not leave a name without a leader for minutes.
const MAX_FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// These are [`Settings`](crate::Settings) that were validated, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timing {
    /// This is the effective value of [`Settings::ttl`](crate::Settings::ttl).
    pub ttl: Duration,
    /// This is the effective value of [`Settings::margin`](crate::Settings::margin).
    pub margin: Duration,
    /// This is the effective value of [`Settings::stop_grace`](crate::Settings::stop_grace).
    pub stop_grace: Duration,
    /// This is the effective value of [`Settings::tolerance`](crate::Settings::tolerance).
    pub tolerance: Duration,
    /// This is the effective value of
    /// [`Settings::heartbeat_interval`](crate::Settings::heartbeat_interval).
    pub heartbeat_interval: Duration,
    /// This is the effective value of
    /// [`Settings::heartbeat_retries`](crate::Settings::heartbeat_retries).
    pub heartbeat_retries: u32,
    /// This is the effective value of [`Settings::poll_interval`](crate::Settings::poll_interval).
    pub poll_interval: Duration,
    /// A waiter that receives hints asks at this interval at most: the
    /// [poll interval](crate::Settings::poll_interval) if that is set, and otherwise the ttl.
    pub poll_interval_with_hints: Duration,
    /// This is the effective value of [`Settings::start_delay`](crate::Settings::start_delay).
    pub start_delay: Duration,
}

impl Timing {
    /// Two clocks drift apart by less than one part in this many: NTP slews each by at most 500
    /// parts in a million (RFC 5905), and an oscillator in working order drifts by less.
    pub const DRIFT: u32 = 500;

    pub(crate) const MAX_RETRIES: u32 = 100;
    const MAX_CALL_LIMIT: Duration = Duration::from_secs(10);
    const MAX_LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
    pub(crate) const MIN_INTERVAL: Duration = Duration::from_millis(1);

    /// Returns the time between a heartbeat and its retries. A heartbeat without a reply continues
    /// after its retry was sent.
    #[must_use]
    pub fn retry_interval(&self) -> Duration {
        self.heartbeat_interval / 2
    }

    /// Returns how long to wait before the next call to the store after that many failures in a
    /// row.
    pub(crate) fn backoff(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let first = self.retry_interval().min(MAX_FIRST_BACKOFF);
        first.saturating_mul(1 << doublings).min(self.poll_interval)
    }

    /// Returns the range of the random delay with which each waiting instance acts.
    pub(crate) fn jitter(&self) -> Duration {
        (self.ttl / 50).min(Duration::from_millis(100))
    }

    /// Returns how long a call to the store other than a renewal may take: the tolerance, because a
    /// later grant could not be used, and at most 10 s, whatever the ttl.
    #[must_use]
    pub fn call_limit(&self) -> Duration {
        self.tolerance.min(Self::MAX_CALL_LIMIT)
    }

    /// Returns how long leaving may take once the job has stopped: the release of the lease and, at
    /// the same time, the withdrawal of this instance's record. It is the tolerance, but at most
    /// 5 s, even when the store hangs.
    #[must_use]
    pub fn leave_timeout(&self) -> Duration {
        self.tolerance.min(Self::MAX_LEAVE_TIMEOUT)
    }

    /// Returns the timing of a lock, which has no job to start or to stop: its guard is kept until
    /// its lease is no longer trusted.
    pub(crate) fn without_job(&self) -> Self {
        let tolerance = self.ttl.saturating_sub(self.margin);
        Self { stop_grace: Duration::ZERO, tolerance, start_delay: Duration::ZERO, ..self.clone() }
    }
}
