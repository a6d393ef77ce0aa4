//! This module defines the time around a call, and the precision of a store's clock.

use std::time::{Duration, Instant};

use crate::CLOCK_TOLERANCE;

/// A precision states how exactly a store measures time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Precision {
    /// The store's clock has this step. The time that is left may be rounded up or down by this
    /// much.
    pub(crate) step: Duration,
    /// The store may notice the end of a lease this much late.
    pub(crate) notices: Duration,
}

impl Precision {
    /// Two clocks drift apart by less than one part in this number.
    const DRIFT: u32 = 500;

    /// Returns the possible error in the end of a lease that has that much time left.
    fn slack(self, left: Duration) -> Duration {
        CLOCK_TOLERANCE + self.step + left / Self::DRIFT
    }
}

/// A window is the time between the start and the end of a call, by the caller's monotonic clock.
/// The store decided within it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) before: Instant,
    pub(crate) after: Instant,
    pub(crate) precision: Precision,
}

impl Window {
    /// Returns whether a lease with that ttl, granted or renewed in the call, may expire within the
    /// call.
    pub(super) fn outlasts(self, ttl: Duration) -> bool {
        let slack = self.precision.slack(ttl);
        self.after.duration_since(self.before) + slack >= ttl
    }
}

/// These are the earliest and the latest end of a lease that is neither renewed nor released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    earliest: Instant,
    latest: Instant,
}

impl End {
    /// Returns the end of a lease for which the store reports now that this much time is left.
    pub(super) fn after(left: Duration, at: Window) -> Self {
        let slack = at.precision.slack(left);
        Self { earliest: at.before + left.saturating_sub(slack), latest: at.after + left + slack }
    }

    /// Returns whether the lease may be in force while the call is decided.
    pub(super) fn may_be_ahead(self, at: Window) -> bool {
        at.before <= self.latest + at.precision.notices
    }

    /// Returns whether the lease may have expired while the call is decided.
    pub(super) fn may_be_past(self, at: Window) -> bool {
        at.after >= self.earliest
    }

    /// Returns whether the store may report that this much time is left.
    pub(super) fn is_in(self, left: Duration, at: Window) -> bool {
        let reported = Self::after(left, at);
        reported.latest >= self.earliest && reported.earliest <= self.latest + at.precision.notices
    }

    /// Returns whether the lease may still be in force when this time has passed.
    pub(super) fn may_outlast(self, time: Duration, at: Window) -> bool {
        Self::after(time, at).earliest <= self.latest + at.precision.notices
    }

    /// Describes how much time is left.
    pub(super) fn in_words(self, at: Window) -> String {
        let least = self.earliest.saturating_duration_since(at.after);
        let most = self.latest.saturating_duration_since(at.before);
        format!("{} to {} ms left", least.as_millis(), most.as_millis())
    }
}

/// Returns whether a lease that was requested with that ttl may have this much time left. A store
/// may decide first and read the time that is left afterwards.
pub(super) fn lasts(left: Duration, ttl: Duration, at: Window) -> bool {
    let (slack, took) = (at.precision.slack(ttl), at.after.duration_since(at.before));
    left <= ttl + slack && ttl <= left + slack + took
}
