//! An entry that waits in a queue is renewed like a held lease, but it is not trusted.

use std::time::Duration;

use super::super::{AfterFailure, LeaseSchedule, RenewalPlan, RenewalWindow};
use crate::{FencingToken, Moment};

/// A waiting entry has the renewals of one waiter.
///
/// Nothing grants the lock to a waiter: its entry holds the lock once enough of those ahead have
/// left or expired. The reply to a renewal says so. A renewal is sent when a heartbeat is due, when
/// an entry ahead may have expired, and after a hint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WaitingEntry {
    /// The entry keeps this token when it holds the lock.
    token: FencingToken,
    plan: RenewalPlan,
    /// An entry ahead may have expired at this moment.
    recheck_at: Option<Moment>,
    /// There was a hint after a renewal that an earlier hint had caused, and that one may have been
    /// decided before.
    hinted: bool,
}

/// A waiter does not look again earlier than this: a store may round the time that is left of the
/// entries ahead down to zero.
const MIN_RECHECK: Duration = Duration::from_millis(50);

impl WaitingEntry {
    /// Creates the entry of that token. If it is known that none of those ahead expires before some
    /// time has passed, this is `recheck`.
    pub(super) fn new(
        token: FencingToken,
        schedule: LeaseSchedule,
        recheck: Option<Duration>,
        now: Moment,
    ) -> Self {
        // It is kept for as long as it lasts, since there is no work to stop.
        let plan = RenewalPlan::until_expiry(schedule, now);
        Self { token, plan, recheck_at: recheck_at(recheck, now), hinted: false }
    }

    /// Makes every moment earlier by that duration.
    pub(super) fn shift_back(&mut self, by: Duration) {
        self.plan = self.plan.shifted_back(by);
        self.recheck_at = self.recheck_at.map(|at| at.saturating_sub(by));
    }

    pub(super) fn token(&self) -> FencingToken {
        self.token
    }

    /// Returns the window of the latest requested renewal.
    pub(super) fn window(&self) -> RenewalWindow {
        self.plan.window()
    }

    /// Returns the moment until which the store certainly keeps the entry.
    pub(super) fn ends_at(&self) -> Moment {
        self.plan.schedule().lease_ends_at()
    }

    /// Returns when the entry needs a tick if nothing else happens.
    pub(super) fn next_tick(&self) -> Moment {
        let next = self.plan.window().retry_at.min(self.ends_at());
        self.recheck_at.map_or(next, |at| at.min(next))
    }

    /// Returns the renewal to request at a tick, if there is any.
    pub(super) fn on_tick(&mut self, now: Moment) -> Option<RenewalWindow> {
        if self.recheck_at.is_some_and(|at| now >= at) {
            self.recheck_at = None;
            if let Some(window) = self.on_hint(now) {
                return Some(window);
            }
        }
        self.plan.retry(now)
    }

    /// Returns the renewal to request because the entry may hold the lock by now.
    pub(super) fn on_hint(&mut self, now: Moment) -> Option<RenewalWindow> {
        let window = self.plan.renew_now(now);
        self.hinted = window.is_none();
        window
    }

    /// Records that the entry was extended, by a request that was sent at `sent`, and returns the
    /// next renewal to request.
    pub(super) fn record_extension(
        &mut self,
        sent: Moment,
        left: Duration,
        recheck: Option<Duration>,
        now: Moment,
        in_flight: bool,
    ) -> Option<RenewalWindow> {
        self.recheck_at = recheck_at(recheck, now);
        let next = self.plan.record_extension(sent, left, now, in_flight);
        let again = if self.hinted { self.plan.renew_now(now) } else { None };
        self.hinted &= again.is_none();
        again.or(next)
    }

    /// Records that a renewal sent at `sent` failed, and returns the next one to request.
    pub(super) fn record_failure(
        &mut self,
        sent: Moment,
        now: Moment,
        in_flight: bool,
    ) -> Option<RenewalWindow> {
        match self.plan.record_failure(sent, now, in_flight) {
            AfterFailure::Renew(window) => Some(window),
            // The attempt is repeated when the entry may have ended.
            AfterFailure::Wait | AfterFailure::GiveUp => None,
        }
    }
}

fn recheck_at(recheck: Option<Duration>, now: Moment) -> Option<Moment> {
    recheck.map(|recheck| now + recheck.max(MIN_RECHECK))
}
