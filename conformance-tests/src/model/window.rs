//! The time around a call, and how exactly a store keeps time.

use std::time::{Duration, Instant};

use crate::CLOCK_TOLERANCE;

/// How exactly a store keeps time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Precision {
    /// The steps of its clock: by so much may what is left be rounded, up or down.
    pub(crate) step: Duration,
    /// How late it may notice that a lease is over.
    pub(crate) notices: Duration,
}

impl Precision {
    /// Two clocks drift apart by less than this share of a time.
    const DRIFT: u32 = 500;

    /// By how much the end of a lease may be mistaken that lasts so much longer.
    fn slack(self, left: Duration) -> Duration {
        CLOCK_TOLERANCE + self.step + left / Self::DRIFT
    }
}

/// A call, by the monotonic clock of who makes it: the store decided between the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) before: Instant,
    pub(crate) after: Instant,
    pub(crate) precision: Precision,
}

impl Window {
    /// Whether a lease of that ttl that was granted or renewed within the call may be over within it.
    pub(super) fn outlasts(self, ttl: Duration) -> bool {
        let slack = self.precision.slack(ttl);
        self.after.duration_since(self.before) + slack >= ttl
    }
}

/// When a lease ends, unless it is renewed or released: between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    earliest: Instant,
    latest: Instant,
}

impl End {
    /// Of a lease of which the store says now that so much is left.
    pub(super) fn after(left: Duration, at: Window) -> Self {
        let slack = at.precision.slack(left);
        Self { earliest: at.before + left.saturating_sub(slack), latest: at.after + left + slack }
    }

    /// Whether the lease may be in force while the call is decided.
    pub(super) fn may_be_ahead(self, at: Window) -> bool {
        at.before <= self.latest + at.precision.notices
    }

    /// Whether the lease may be over while the call is decided.
    pub(super) fn may_be_past(self, at: Window) -> bool {
        at.after >= self.earliest
    }

    /// Whether the store may say that so much is left.
    pub(super) fn is_in(self, left: Duration, at: Window) -> bool {
        let told = Self::after(left, at);
        told.latest >= self.earliest && told.earliest <= self.latest + at.precision.notices
    }

    /// How much is left, in words.
    pub(super) fn in_words(self, at: Window) -> String {
        let least = self.earliest.saturating_duration_since(at.after);
        let most = self.latest.saturating_duration_since(at.before);
        format!("{} to {} ms left", least.as_millis(), most.as_millis())
    }
}

/// Whether a lease that was asked for with that ttl may last so long. A store may decide first and
/// then read what is left.
pub(super) fn lasts(left: Duration, ttl: Duration, at: Window) -> bool {
    let (slack, took) = (at.precision.slack(ttl), at.after.duration_since(at.before));
    left <= ttl + slack && ttl <= left + slack + took
}
