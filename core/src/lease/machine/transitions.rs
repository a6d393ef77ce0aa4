//! These transitions say how each event changes a machine.

use std::time::Duration;

use super::super::{AfterFailure, LeaseSchedule, LossReason, RenewalPlan, RenewalWindow};
use super::Machine;
use super::action::{Action, AttemptKind, Request};
use super::event::{AcquireReply, RenewReply};
use super::state::{Cooldown, State};
use crate::{FencingToken, Grant, Moment};

/// A release is tried this many times; after that the lease is left to expire.
const RELEASE_ATTEMPTS: u32 = 3;

/// Within this time other instances have received the hint that a name may be free, even if their
/// store is polled for hints five times a second. It is shorter than an operator waits after an
/// enable.
const RESIGN_COOLDOWN: Duration = Duration::from_millis(500);

impl Machine {
    pub(super) fn leave_if_idle(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.leaving = true;
        match &self.state {
            State::Idle { .. } if self.maybe_granted => {
                self.start_release(now + self.timing.ttl, Cooldown::None, now, actions);
            }
            State::Idle { .. } => self.state = State::Ended,
            State::Queued(entry) => {
                let ends_at = entry.ends_at();
                self.start_release(ends_at, Cooldown::None, now, actions);
            }
            // Calls in progress end first, if they do so soon.
            State::Acquiring { .. } | State::Releasing { .. } => self.set_leave_deadline(now),
            State::Held { .. } | State::Ending { .. } | State::Ended => {}
        }
    }

    fn set_leave_deadline(&mut self, now: Moment) {
        self.leave_deadline.get_or_insert(now + self.timing.leave_timeout());
    }

    pub(super) fn on_tick(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let leave_deadline = self.leave_deadline;
        match &mut self.state {
            State::Idle { until, .. } if now >= *until => self.start_attempt(actions),
            // Calls in progress end on their own.
            State::Acquiring { .. } | State::Releasing { .. }
                if leave_deadline.is_some_and(|at| now >= at) =>
            {
                self.state = State::Ended;
            }
            State::Held { plan } if now >= plan.schedule().step_down_at() => {
                self.lose(LossReason::Expired, actions);
            }
            State::Held { plan } => actions.extend(plan.retry(now).map(renew)),
            // The entry may have expired. If it has not, the same attempt finds it in the queue.
            State::Queued(entry) if now >= entry.ends_at() => self.start_attempt(actions),
            State::Queued(entry) => actions.extend(entry.on_tick(now).map(renew)),
            State::Releasing { lease_ends, retry_at, .. }
                if retry_at.is_some_and(|at| now >= at) =>
            {
                *retry_at = None;
                let ends = leave_deadline.map_or(*lease_ends, |at| at.min(*lease_ends));
                let limit = ends.saturating_since(now).min(self.timing.call_limit());
                actions.push(Action::Send(Request::Release(limit)));
            }
            _ => {}
        }
    }

    pub(super) fn start_attempt(&mut self, actions: &mut Vec<Action>) {
        let retry = self.maybe_granted;
        let id = if retry { AttemptKind::Retry } else { AttemptKind::New };
        self.state = State::Acquiring { hinted: false, retry };
        // The attempt may be granted from now on, until a reply says otherwise.
        self.maybe_granted = true;
        actions.push(Action::Send(Request::Acquire(id)));
    }

    fn wait(&mut self, now: Moment, wait: Duration, jitter: Duration, ignore_hints: bool) {
        self.state = State::Idle { until: now + wait, jitter, ignore_hints };
    }

    pub(super) fn on_acquire_reply(
        &mut self,
        sent: Moment,
        reply: AcquireReply,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let State::Acquiring { hinted, retry } = self.state else { return };
        let (poll, jitter) = (self.timing.poll_interval, self.timing.jitter());
        self.maybe_granted = match reply {
            AcquireReply::Granted(_) | AcquireReply::Queued { .. } | AcquireReply::Failed => true,
            // The store refused this request, but an earlier one under this id may still arrive.
            AcquireReply::Held { .. } | AcquireReply::Disabled => retry,
        };
        self.failures = match reply {
            AcquireReply::Failed => self.failures.saturating_add(1),
            _ => 0,
        };
        match reply {
            AcquireReply::Granted(grant) => return self.on_grant(sent, grant, now, actions),
            AcquireReply::Queued { token, left, recheck } => {
                let recheck = Some(recheck);
                return self.on_queued(token, (sent, left), recheck, hinted, now, actions);
            }
            // An earlier request under this id may have been granted before the name was disabled:
            // such a lease is ending, and must not be mistaken for a new grant when the name is
            // enabled again.
            AcquireReply::Disabled if retry => {
                return self.start_release(now + self.timing.ttl, Cooldown::None, now, actions);
            }
            // Something may have changed after the store decided.
            AcquireReply::Held { .. } | AcquireReply::Disabled if hinted => {
                self.wait(now, Duration::ZERO, Duration::ZERO, false);
            }
            AcquireReply::Held { left, watched } => {
                // What ends the lease early causes a hint, unless that is lost. Nothing tells of an
                // earlier request that is granted late.
                let with_hints = self.timing.poll_interval_with_hints;
                let most = if watched && !retry { with_hints } else { poll };
                self.wait(now, left.min(most), jitter, false);
            }
            AcquireReply::Disabled => self.wait(now, poll, poll / 10, false),
            AcquireReply::Failed => {
                let pause = self.timing.backoff(self.failures);
                self.wait(now, pause, pause / 2, true);
            }
        }
        if self.leaving {
            self.leave_if_idle(now, actions);
        }
    }

    fn on_grant(&mut self, sent: Moment, grant: Grant, now: Moment, actions: &mut Vec<Action>) {
        let schedule = LeaseSchedule::granted(self.timing.clone(), sent, grant.left);
        // After a slow reply, too little of the lease may be left to stop a job within it.
        if self.leaving || now >= schedule.step_down_at() {
            if self.has_entry {
                // The entry keeps its position, and a renewal may still extend it.
                return self.on_queued(grant.token, (sent, grant.left), None, false, now, actions);
            }
            let cooldown = if self.leaving { Cooldown::None } else { Cooldown::Failure };
            return self.start_release(sent + grant.left, cooldown, now, actions);
        }
        self.hold(grant.token, schedule, now, actions);
    }

    /// Notes that the lease is held, and renewed from now on.
    pub(super) fn hold(
        &mut self,
        token: FencingToken,
        schedule: LeaseSchedule,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let deadline = schedule.deadline();
        let plan = if self.retry_until_expiry {
            RenewalPlan::until_expiry(schedule, now)
        } else {
            RenewalPlan::until_retries_fail(schedule, now)
        };
        let window = plan.window();
        self.state = State::Held { plan };
        actions.push(Action::Granted { token, deadline });
        actions.push(renew(window));
    }

    pub(super) fn on_renew_reply(
        &mut self,
        sent: Moment,
        reply: RenewReply,
        in_flight: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let State::Held { plan } = &mut self.state else {
            return self.on_entry_renewed(sent, reply, in_flight, now, actions);
        };
        match reply {
            // The reply came when the lease was no longer trusted: trust does not come back.
            RenewReply::Extended { .. } if now >= plan.schedule().deadline() => {
                self.lose(LossReason::Expired, actions);
            }
            RenewReply::Extended { left } => {
                let next = plan.record_extension(sent, left, now, in_flight);
                if now >= plan.schedule().step_down_at() {
                    return self.lose(LossReason::Expired, actions);
                }
                actions.push(Action::ExtendTrust(plan.schedule().deadline()));
                actions.extend(next.map(renew));
            }
            // An entry that holds the lock waits again only if the store has lost its latest writes:
            // the replies to renewals that were sent before the grant are dropped.
            RenewReply::Lost | RenewReply::Queued { .. } => self.lose(LossReason::Gone, actions),
            RenewReply::Disabled { reason } => self.lose(LossReason::Disabled { reason }, actions),
            RenewReply::Failed if now >= plan.schedule().step_down_at() => {
                self.lose(LossReason::Expired, actions);
            }
            RenewReply::Failed => match plan.record_failure(sent, now, in_flight) {
                AfterFailure::Renew(window) => actions.push(renew(window)),
                AfterFailure::Wait => {}
                AfterFailure::GiveUp => self.lose(LossReason::Expired, actions),
            },
        }
    }

    pub(super) fn on_hint(&mut self, now: Moment, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Idle { ignore_hints: false, .. } => self.start_attempt(actions),
            State::Acquiring { hinted, .. } => *hinted = true,
            State::Held { plan } if now >= plan.schedule().step_down_at() => {
                self.lose(LossReason::Expired, actions);
            }
            // The name may have been disabled: the next heartbeat shows it. One heartbeat is enough
            // for many hints.
            State::Held { plan } => actions.extend(plan.renew_now(now).map(renew)),
            State::Queued(entry) => actions.extend(entry.on_hint(now).map(renew)),
            _ => {}
        }
    }

    fn lose(&mut self, reason: LossReason, actions: &mut Vec<Action>) {
        if let Some(deadline) = self.end() {
            actions.push(Action::Lost { reason, deadline });
        }
    }

    pub(super) fn start_release(
        &mut self,
        lease_ends: Moment,
        cooldown: Cooldown,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        if self.leaving {
            self.set_leave_deadline(now);
        }
        self.state = State::Releasing { lease_ends, retry_at: Some(now), attempts: 0, cooldown };
        self.on_tick(now, actions);
    }

    pub(super) fn on_release_reply(
        &mut self,
        confirmed: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let State::Releasing { lease_ends, retry_at, attempts, cooldown } = &mut self.state else {
            return;
        };
        *attempts += 1;
        let next_try = now + self.timing.backoff(1);
        if !confirmed && *attempts < RELEASE_ATTEMPTS && next_try < *lease_ends {
            *retry_at = Some(next_try);
            return;
        }
        // If the release is unconfirmed, the lease expires by itself, and a new attempt does not
        // depend on it.
        self.maybe_granted = false;
        let cooldown = *cooldown;
        self.cool_down(cooldown, now, actions);
    }

    pub(super) fn cool_down(&mut self, cooldown: Cooldown, now: Moment, actions: &mut Vec<Action>) {
        let poll = self.timing.poll_interval;
        match cooldown {
            Cooldown::None => self.wait(now, Duration::ZERO, Duration::ZERO, false),
            Cooldown::Resign => {
                self.wait(now, RESIGN_COOLDOWN.min(poll), Duration::ZERO, true);
            }
            Cooldown::Failure => {
                let pause = self.timing.backoff(1);
                self.wait(now, pause, pause / 2, true);
            }
            Cooldown::Poll => self.wait(now, poll, poll / 10, true),
        }
        if self.leaving {
            self.leave_if_idle(now, actions);
        }
    }
}

/// Returns the action that requests that renewal.
pub(super) fn renew(window: RenewalWindow) -> Action {
    Action::Send(Request::Renew(window))
}
