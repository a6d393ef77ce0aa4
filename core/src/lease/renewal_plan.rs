//! The renewal plan decides when the renewals of one lease are sent, and how it reacts to the
//! replies. It is pure.

use std::time::Duration;

use super::{LeaseSchedule, RenewalWindow};
use crate::Moment;

/// A renewal plan schedules the renewals of one lease, for a term or a guard.
///
/// A renewal without a reply continues while its retry is sent. The first reply counts, from the
/// moment at which its renewal was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RenewalPlan {
    schedule: LeaseSchedule,
    /// The latest requested renewal has this window.
    window: RenewalWindow,
    /// Hints are ignored until a renewal has a reply, because they would use up the retries.
    ignore_hints: bool,
    /// A hint caused the latest renewal.
    by_hint: bool,
    /// The latest renewal is a retry of one whose reply has arrived since. The next heartbeat is
    /// not due yet, so a failure of this retry does not count against it.
    uncounted: bool,
    /// Renewals are retried for as long as the lease is trusted.
    retry_until_expiry: bool,
}

/// After a failed renewal, the plan returns one of these decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// The plan sends another renewal.
    Renew(RenewalWindow),
    /// The plan waits, because another renewal is in progress or about to be sent.
    Wait,
    /// All retries have failed.
    GiveUp,
}

impl RenewalPlan {
    /// Creates the plan of a term, which is given up once all retries have failed.
    pub(crate) fn until_retries_fail(schedule: LeaseSchedule, now: Moment) -> Self {
        let window = schedule.next_window(now);
        Self {
            schedule,
            window,
            ignore_hints: false,
            by_hint: false,
            uncounted: false,
            retry_until_expiry: false,
        }
    }

    /// Creates the plan of a guard, which is kept for as long as its lease is trusted.
    pub(crate) fn until_expiry(schedule: LeaseSchedule, now: Moment) -> Self {
        Self { retry_until_expiry: true, ..Self::until_retries_fail(schedule, now) }
    }

    pub(crate) fn schedule(&self) -> &LeaseSchedule {
        &self.schedule
    }

    /// Returns the window of the latest requested renewal.
    pub(crate) fn window(&self) -> RenewalWindow {
        self.window
    }

    /// Returns the same plan with every moment earlier by that duration.
    pub(crate) fn shifted_back(&self, by: Duration) -> Self {
        Self {
            schedule: self.schedule.shifted_back(by),
            window: self.window.shifted_back(by),
            ..self.clone()
        }
    }

    /// Returns a retry of the latest renewal if that has no reply by its `retry_at` and a retry is
    /// left.
    pub(crate) fn retry(&mut self, now: Moment) -> Option<RenewalWindow> {
        if now < self.window.retry_at {
            return None;
        }
        self.schedule_retry(now)
    }

    /// Records that the store extended the lease. `in_flight` says whether another renewal has no
    /// reply yet. Returns the next renewal, unless it was already sent.
    pub(crate) fn record_extension(
        &mut self,
        sent: Moment,
        left: Duration,
        now: Moment,
        in_flight: bool,
    ) -> Option<RenewalWindow> {
        let was_exhausted = self.is_exhausted();
        self.schedule.record_extension(sent, left);
        if in_flight && sent < self.window.earliest {
            self.uncounted = self.schedule.due() > self.window.latest;
            self.schedule.set_next_due(self.window.latest.max(self.schedule.due()));
            if was_exhausted {
                // The retry was set to the end of the lease, which is later now.
                self.window.retry_at = self.schedule.due().max(now);
            }
            return None;
        }
        if self.by_hint && sent < self.window.earliest {
            // The reply is older than the hint, whose renewal was not sent yet.
            self.window = self.schedule.window_now(now);
            return Some(self.window);
        }
        self.ignore_hints = false;
        Some(self.next_window(now))
    }

    /// Records that a renewal sent at `sent` failed. `in_flight` says whether another has no reply
    /// yet.
    pub(crate) fn record_failure(
        &mut self,
        sent: Moment,
        now: Moment,
        in_flight: bool,
    ) -> AfterFailure {
        if !self.is_exhausted() {
            if sent < self.window.earliest {
                // Its retry was already requested.
                return AfterFailure::Wait;
            }
            if let Some(window) = self.schedule_retry(now) {
                return AfterFailure::Renew(window);
            }
        }
        if in_flight { AfterFailure::Wait } else { AfterFailure::GiveUp }
    }

    /// Returns a renewal to send now because the lease may have changed, unless an earlier hint or
    /// a failure already requested one.
    pub(crate) fn renew_now(&mut self, now: Moment) -> Option<RenewalWindow> {
        if self.ignore_hints {
            return None;
        }
        self.ignore_hints = true;
        self.by_hint = true;
        self.uncounted = false;
        self.window = self.schedule.window_now(now);
        Some(self.window)
    }

    fn is_exhausted(&self) -> bool {
        !self.retry_until_expiry && self.schedule.is_exhausted()
    }

    fn schedule_retry(&mut self, now: Moment) -> Option<RenewalWindow> {
        self.ignore_hints = true;
        if !self.uncounted {
            self.schedule.record_failure(now);
        }
        if self.is_exhausted() {
            // Nothing more is sent unless a renewal in progress gets a reply.
            self.window.retry_at = self.schedule.step_down_at();
            return None;
        }
        Some(self.next_window(now))
    }

    fn next_window(&mut self, now: Moment) -> RenewalWindow {
        self.by_hint = false;
        self.uncounted = false;
        self.window = self.schedule.next_window(now);
        // It may be overdue because of a late reply; later renewals keep their interval.
        self.schedule.set_next_due(self.window.latest);
        self.window
    }
}

#[cfg(test)]
mod tests;
