//! Locks and elections share one set of settings, whose defaults all follow from the ttl.

use std::time::Duration;

use crate::{Capabilities, Error, Result, Timing, check_ttl};

/// The settings say how leases are acquired, renewed and released. Every default follows from
/// [`ttl`](Self::ttl).
///
/// | setting | default | at 15 s |
/// |---|---|---|
/// | `ttl` | 15 s | 15 s |
/// | `margin` | ttl / 20 | 750 ms |
/// | `stop_grace` | ttl / 3, at most 5 s | 5 s |
/// | `tolerance` | ttl − margin − stop grace | 9.25 s |
/// | `heartbeat_interval` | tolerance × 2 / (heartbeat retries + 3), at most ttl / 5 | 3 s |
/// | `heartbeat_retries` | 3 | 3 |
/// | `poll_interval` | ttl / 3; with hints, the ttl | 5 s; 15 s |
/// | `start_delay` | 0 | 0 |
///
/// Impossible combinations are refused when a lock or an election is created; the message names the
/// values and a fix.
///
/// ```
/// use std::time::Duration;
/// use leasehold_core::Settings;
///
/// let settings = Settings::new()
///     .ttl(Duration::from_secs(30))
///     .heartbeat_interval(Duration::from_secs(5));
/// # let _ = settings;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    ttl: Duration,
    margin: Option<Duration>,
    stop_grace: Option<Duration>,
    tolerance: Option<Duration>,
    heartbeat_interval: Option<Duration>,
    heartbeat_retries: u32,
    poll_interval: Option<Duration>,
    start_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(15),
            margin: None,
            stop_grace: None,
            tolerance: None,
            heartbeat_interval: None,
            heartbeat_retries: 3,
            poll_interval: None,
            start_delay: Duration::ZERO,
        }
    }
}

impl Settings {
    /// Creates settings with every default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a lease lasts without a renewal. After a crash, the name becomes free this
    /// long after the last renewal.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// Sets how much earlier than the store the holder stops trusting its lease.
    ///
    /// The margin covers the drift between the two clocks during one ttl, and the time that killing
    /// a job takes.
    #[must_use]
    pub fn margin(self, margin: Duration) -> Self {
        Self { margin: Some(margin), ..self }
    }

    /// Sets how long a job's `stop` may take before its tasks are aborted.
    #[must_use]
    pub fn stop_grace(self, grace: Duration) -> Self {
        Self { stop_grace: Some(grace), ..self }
    }

    /// Sets how long heartbeats may fail, counted from the last successful one, before the leader
    /// steps down (the original's `tolerance`).
    ///
    /// The rest of the ttl is for stopping: tolerance + stop grace + margin ≤ ttl.
    #[must_use]
    pub fn tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance: Some(tolerance), ..self }
    }

    /// Sets how often a lease is renewed (the original's `heartbeatInterval`).
    ///
    /// A heartbeat may be sent up to half an interval early, and the first at any time, to share a
    /// batch with others.
    #[must_use]
    pub fn heartbeat_interval(self, interval: Duration) -> Self {
        Self { heartbeat_interval: Some(interval), ..self }
    }

    /// Sets how often a failed heartbeat is retried, half an interval apart, before the leader
    /// steps down (the original's `maxHeartbeatRetryCount`). A retry may be sent a quarter of an
    /// interval early to share a batch with others.
    ///
    /// A heartbeat that was sent late, because many leases of the client are renewed, is retried as
    /// much later.
    ///
    /// A heartbeat without a reply continues after its retry was sent, and still counts if its
    /// reply arrives later, so a slow store costs no lease. The leader then steps down when the
    /// tolerance has passed.
    #[must_use]
    pub fn heartbeat_retries(self, retries: u32) -> Self {
        Self { heartbeat_retries: retries, ..self }
    }

    /// Sets how often a waiting instance polls the name without a hint (the original's
    /// `checkMasterInterval`).
    ///
    /// Without this setting, it polls once per ttl while it receives hints and the name is held, and
    /// otherwise three times. It also asks when the lease in force should have ended.
    ///
    /// An instance that waits in the queue of a lock does not poll: its heartbeats show its
    /// position.
    #[must_use]
    pub fn poll_interval(self, interval: Duration) -> Self {
        Self { poll_interval: Some(interval), ..self }
    }

    /// Sets how long an election waits before its first attempt (the original's `initDelay`).
    #[must_use]
    pub fn start_delay(self, delay: Duration) -> Self {
        Self { start_delay: delay, ..self }
    }

    /// Fills in the defaults and checks that the settings fit together and fit the store.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid); the message names the
    /// values and the fix.
    pub fn resolve(&self, capabilities: &Capabilities) -> Result<Timing> {
        check_ttl(self.ttl, capabilities)?;
        let ttl = self.ttl;
        let retries = self.heartbeat_retries;
        if retries > Timing::MAX_RETRIES {
            return Err(Error::invalid(format!("{retries} heartbeat retries exceed the limit"))
                .with_fix(format!("use at most {}", Timing::MAX_RETRIES)));
        }
        let margin = self.margin.unwrap_or(ttl / 20);
        let min_margin = ttl / Timing::DRIFT;
        if margin < min_margin {
            return Err(Error::invalid(format!(
                "a margin of {margin:?} does not cover the drift of two clocks over a ttl of {ttl:?}"
            ))
            .with_fix(format!("use {min_margin:?} or more")));
        }
        let stop_grace = self.stop_grace.unwrap_or((ttl / 3).min(Duration::from_secs(5)));
        let reserved = margin.saturating_add(stop_grace);
        let Some(max_tolerance) = ttl.checked_sub(reserved).filter(|left| !left.is_zero()) else {
            return Err(Error::invalid(format!(
                "a ttl of {ttl:?} leaves no time for heartbeats after a stop grace of \
                 {stop_grace:?} and a margin of {margin:?}"
            ))
            .with_fix("use a longer ttl or a shorter stop grace"));
        };
        let tolerance = self.tolerance.unwrap_or(max_tolerance);
        if tolerance > max_tolerance {
            return Err(Error::invalid(format!(
                "a tolerance of {tolerance:?}, a stop grace of {stop_grace:?} and a margin of \
                 {margin:?} do not fit into a ttl of {ttl:?}"
            ))
            .with_fix(format!("use a tolerance of {max_tolerance:?} or less, or a longer ttl")));
        }
        let max_interval = tolerance * 2 / (retries + 3);
        let heartbeat_interval = self.heartbeat_interval.unwrap_or(max_interval.min(ttl / 5));
        if heartbeat_interval > max_interval {
            return Err(Error::invalid(format!(
                "a heartbeat interval of {heartbeat_interval:?} with {retries} retries does not \
                 fit into a tolerance of {tolerance:?} (ttl {ttl:?}, stop grace {stop_grace:?}, \
                 margin {margin:?})"
            ))
            .with_fix(format!(
                "use a heartbeat interval of {max_interval:?} or less, fewer retries, or a \
                 longer ttl"
            )));
        }
        let poll_interval = self.poll_interval.unwrap_or(ttl / 3);
        for (setting, value) in
            [("heartbeat interval", heartbeat_interval), ("poll interval", poll_interval)]
        {
            if !(Timing::MIN_INTERVAL..=crate::MAX_TTL).contains(&value) {
                return Err(Error::invalid(format!("a {setting} of {value:?} is out of range"))
                    .with_fix(format!("use {:?} to {:?}", Timing::MIN_INTERVAL, crate::MAX_TTL)));
            }
        }
        if self.start_delay > crate::MAX_TTL {
            return Err(Error::invalid(format!(
                "a start delay of {:?} is out of range",
                self.start_delay
            ))
            .with_fix(format!("use at most {:?}", crate::MAX_TTL)));
        }
        Ok(Timing {
            ttl,
            margin,
            stop_grace,
            tolerance,
            heartbeat_interval,
            heartbeat_retries: retries,
            poll_interval,
            poll_interval_with_hints: self.poll_interval.unwrap_or(ttl),
            start_delay: self.start_delay,
        })
    }
}

#[cfg(test)]
mod tests;
