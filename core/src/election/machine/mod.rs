//! The election as a pure state machine: events and the time go in, actions come out.
//!
//! It does no I/O and has no clock or randomness of its own, so that the same code runs under
//! tokio, under a model checker and in simulation. An [`Election`](super::Election) drives one.

mod action;
mod event;
mod phase;

use std::time::Duration;

pub use action::{Action, Attempt, Wake};
pub use event::{AskReply, Event, RenewReply};
use phase::{Phase, Rest};

use super::StopReason;
use crate::engine::{Hold, Next, RenewalPlan};
use crate::{Grant, Moment, Timing};

/// One instance's part in one election.
///
/// It begins with [`new`](Self::new). Whoever drives it calls [`handle`](Self::handle) with each
/// event, does the actions that come back, in order, and sends [`Event::Tick`] at
/// [`wake`](Self::wake).
///
/// What it keeps to, whatever the events:
///
/// * [`Action::Start`] comes once per term, and exactly one [`Action::Stop`] follows it.
/// * [`Action::Release`] of a term comes only after [`Event::JobEnded`], and not at all when some
///   of the job was aborted: [`Action::LetExpire`] comes instead.
/// * No term begins before the job of the last has ended.
/// * A term begins only while its lease leaves time to stop in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    timing: Timing,
    phase: Phase,
    /// The latest attempt may have been granted, or be granted yet, without our knowing.
    uncertain: bool,
    /// Attempts that failed in a row.
    failures: u32,
    /// Shut down as soon as what is under way allows.
    leaving: bool,
    /// The instance has left by this moment at the latest; it is set once no job is left to stop.
    leave_deadline: Option<Moment>,
}

/// Where a [`Machine`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It waits for the lead.
    Candidate,
    /// Its job runs.
    Leading,
    /// Its job is being stopped, or its lease given back.
    Stopping,
    /// It has left the election.
    Ended,
}

impl Machine {
    const RELEASE_TRIES: u32 = 3;

    /// By then others have heard that a name may be free, also where a store is looked at for
    /// hints five times a second. Short of what people wait for after an enable.
    const HEARD: Duration = Duration::from_millis(500);

    /// A candidate, from `now` on.
    #[must_use]
    pub fn new(timing: Timing, now: Moment) -> Self {
        let until = now + timing.start_delay;
        Self {
            timing,
            phase: Phase::Waiting { until, spread: Duration::ZERO, deaf: true },
            uncertain: false,
            failures: 0,
            leaving: false,
            leave_deadline: None,
        }
    }

    /// The same machine with every moment that much earlier, or at the clock's origin.
    ///
    /// What it does depends on how far its moments are from the present alone. So a model checker
    /// can keep the present where it is and move everything else, and meet the same state again.
    #[doc(hidden)]
    #[must_use]
    pub fn earlier(&self, by: Duration) -> Self {
        let leave_deadline = self.leave_deadline.map(|at| at.saturating_sub(by));
        Self { phase: self.phase.earlier(by), leave_deadline, ..self.clone() }
    }

    /// Returns the latest moment at which this instance will have left the election. It is set as
    /// soon as the instance is leaving and has no job left to stop.
    #[must_use]
    pub fn leave_deadline(&self) -> Option<Moment> {
        self.leave_deadline
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.phase {
            Phase::Waiting { .. } | Phase::Asking { .. } => Standing::Candidate,
            Phase::Leading { .. } => Standing::Leading,
            Phase::Stopping { .. } | Phase::Releasing { .. } => Standing::Stopping,
            Phase::Ended => Standing::Ended,
        }
    }

    /// When it is to be woken, if nothing else happens.
    #[must_use]
    pub fn wake(&self) -> Option<Wake> {
        let exactly = |at| Some(Wake { at, spread: Duration::ZERO });
        match &self.phase {
            Phase::Waiting { until, spread, .. } => Some(Wake { at: *until, spread: *spread }),
            Phase::Leading { plan } => {
                exactly(plan.beat().retry_at.min(plan.hold().step_down_at()))
            }
            Phase::Stopping { stop_until, aborted: false, .. } => exactly(*stop_until),
            Phase::Asking { .. } => self.leave_deadline.and_then(exactly),
            Phase::Releasing { retry, .. } => {
                [*retry, self.leave_deadline].into_iter().flatten().min().and_then(exactly)
            }
            Phase::Stopping { .. } | Phase::Ended => None,
        }
    }

    /// Takes an event in, at the present moment, and says what is to be done.
    ///
    /// An event that does not fit the state, such as an answer that came too late, does nothing.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => self.tick(now, &mut actions),
            Event::Asked { sent, reply } => self.asked(sent, reply, now, &mut actions),
            Event::Renewed { sent, reply, under_way } => {
                self.renewed(sent, reply, under_way, now, &mut actions);
            }
            Event::Released(confirmed) => self.released(confirmed, now, &mut actions),
            Event::StartFailed(error) => {
                self.step_down(StopReason::Failed { error }, now, &mut actions);
            }
            Event::Finished => self.step_down(StopReason::Finished, now, &mut actions),
            Event::JobEnded => self.job_ended(now, &mut actions),
            Event::Hint => self.hinted(now, &mut actions),
            Event::Resign => self.step_down(StopReason::Resigned, now, &mut actions),
            Event::ShutDown => self.shut_down(now, &mut actions),
            Event::RuntimeGone => self.runtime_gone(now, &mut actions),
        }
        actions
    }

    fn tick(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let leave_deadline = self.leave_deadline;
        match &mut self.phase {
            Phase::Waiting { until, .. } if now >= *until => self.ask(actions),
            // Calls under way end by themselves.
            Phase::Asking { .. } | Phase::Releasing { .. }
                if leave_deadline.is_some_and(|at| now >= at) =>
            {
                self.phase = Phase::Ended;
            }
            Phase::Leading { plan } if now >= plan.hold().step_down_at() => {
                self.step_down(StopReason::HeartbeatsFailed, now, actions);
            }
            Phase::Leading { plan } => actions.extend(plan.retry(now).map(Action::Renew)),
            Phase::Stopping { stop_until, .. } if now >= *stop_until => self.abort(actions),
            Phase::Releasing { lease_ends, retry, .. } if retry.is_some_and(|at| now >= at) => {
                *retry = None;
                let ends = leave_deadline.map_or(*lease_ends, |at| at.min(*lease_ends));
                let limit = ends.saturating_since(now).min(self.timing.call_limit());
                actions.push(Action::Release(limit));
            }
            _ => {}
        }
    }

    /// Aborts what is left of the job, once.
    fn abort(&mut self, actions: &mut Vec<Action>) {
        let Phase::Stopping { aborted, let_expire, .. } = &mut self.phase else { return };
        if !std::mem::replace(aborted, true) {
            *let_expire = true;
            actions.extend([Action::AbortAll, Action::LetExpire]);
        }
    }

    fn ask(&mut self, actions: &mut Vec<Action>) {
        let attempt = if self.uncertain { Attempt::Same } else { Attempt::New };
        self.phase = Phase::Asking { hinted: false, again: self.uncertain };
        // From here until an answer says otherwise.
        self.uncertain = true;
        actions.push(Action::Ask(attempt));
    }

    fn wait(&mut self, now: Moment, wait: Duration, spread: Duration, deaf: bool) {
        self.phase = Phase::Waiting { until: now + wait, spread, deaf };
    }

    fn asked(&mut self, sent: Moment, reply: AskReply, now: Moment, actions: &mut Vec<Action>) {
        let Phase::Asking { hinted, again } = self.phase else { return };
        let (poll, spread) = (self.timing.poll_interval, self.timing.spread());
        self.uncertain = match reply {
            AskReply::Granted(_) | AskReply::Failed => true,
            // It was refused now; but an earlier request of it, given up on, may still arrive.
            AskReply::Held { .. } | AskReply::Disabled => again,
        };
        self.failures = match reply {
            AskReply::Failed => self.failures.saturating_add(1),
            _ => 0,
        };
        match reply {
            AskReply::Granted(grant) => return self.granted(sent, grant, now, actions),
            // An earlier request of it may have been granted before the name was disabled: such a
            // lease is ending, and must not be taken for ours when the name is enabled again.
            AskReply::Disabled if again => {
                return self.release(now + self.timing.ttl, Rest::None, now, actions);
            }
            // Something changed after the store decided, perhaps.
            AskReply::Held { .. } | AskReply::Disabled if hinted => {
                self.wait(now, Duration::ZERO, Duration::ZERO, false);
            }
            AskReply::Held { left } => self.wait(now, left.min(poll), spread, false),
            AskReply::Disabled => self.wait(now, poll, poll / 10, false),
            AskReply::Failed => {
                let pause = self.timing.backoff(self.failures);
                self.wait(now, pause, pause / 2, true);
            }
        }
        if self.leaving {
            self.shut_down(now, actions);
        }
    }

    fn granted(&mut self, sent: Moment, grant: Grant, now: Moment, actions: &mut Vec<Action>) {
        let hold = Hold::granted(self.timing.clone(), sent, grant.left);
        // An answer that took too long is a lease with no time left to stop in.
        if self.leaving || now >= hold.step_down_at() {
            let rest = if self.leaving { Rest::None } else { Rest::Short };
            return self.release(sent + grant.left, rest, now, actions);
        }
        let deadline = hold.deadline();
        let plan = RenewalPlan::for_term(hold, now);
        let beat = plan.beat();
        self.phase = Phase::Leading { plan };
        actions.push(Action::Start { token: grant.token, deadline });
        actions.push(Action::Renew(beat));
    }

    fn renewed(
        &mut self,
        sent: Moment,
        reply: RenewReply,
        under_way: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let Phase::Leading { plan } = &mut self.phase else { return };
        match reply {
            // The answer came when the lease was no longer trusted: trust does not come back.
            RenewReply::Extended { .. } if now >= plan.hold().deadline() => {
                self.step_down(StopReason::HeartbeatsFailed, now, actions);
            }
            RenewReply::Extended { left } => {
                let next = plan.extended(sent, left, now, under_way);
                if now >= plan.hold().step_down_at() {
                    return self.step_down(StopReason::HeartbeatsFailed, now, actions);
                }
                actions.push(Action::Trust(plan.hold().deadline()));
                actions.extend(next.map(Action::Renew));
            }
            RenewReply::Lost => self.step_down(StopReason::Lost, now, actions),
            RenewReply::Disabled { reason } => {
                self.step_down(StopReason::Disabled { reason }, now, actions);
            }
            RenewReply::Failed if now >= plan.hold().step_down_at() => {
                self.step_down(StopReason::HeartbeatsFailed, now, actions);
            }
            RenewReply::Failed => match plan.failed(sent, now, under_way) {
                Next::Renew(beat) => actions.push(Action::Renew(beat)),
                Next::Wait => {}
                Next::GiveUp => self.step_down(StopReason::HeartbeatsFailed, now, actions),
            },
        }
    }

    fn hinted(&mut self, now: Moment, actions: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Waiting { deaf: false, .. } => self.ask(actions),
            Phase::Asking { hinted, .. } => *hinted = true,
            // Perhaps it was disabled: the heartbeat will say so. One is enough for many hints.
            Phase::Leading { plan } => actions.extend(plan.hinted(now).map(Action::Renew)),
            _ => {}
        }
    }

    /// Ends the term, if there is one.
    fn step_down(&mut self, reason: StopReason, now: Moment, actions: &mut Vec<Action>) {
        let Phase::Leading { plan } = &self.phase else { return };
        let deadline = plan.hold().deadline();
        let grace_ends = now + self.timing.stop_grace;
        let late = now >= deadline;
        let lease_ends = deadline + self.timing.margin;
        let over = late || reason == StopReason::Lost;
        // Another may lead already, so what `start` does ends here; `stop` may still tidy up.
        let stop_until = if late { grace_ends } else { grace_ends.min(deadline) };
        actions.push(Action::Stop(reason.clone()));
        if over {
            actions.extend([Action::Distrust, Action::AbortStart, Action::LetExpire]);
        }
        let (aborted, let_expire) = (false, over);
        self.phase = Phase::Stopping { reason, lease_ends, stop_until, aborted, let_expire };
    }

    fn job_ended(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Phase::Stopping { reason, lease_ends, let_expire, .. } = &self.phase else { return };
        let (lease_ends, let_expire) = (*lease_ends, *let_expire);
        let rest = match reason {
            StopReason::Resigned | StopReason::Finished | StopReason::Failed { .. } => Rest::Long,
            StopReason::HeartbeatsFailed => Rest::Short,
            StopReason::Disabled { .. } => Rest::Brief,
            StopReason::Lost | StopReason::ShutDown => Rest::None,
        };
        actions.push(Action::Distrust);
        if let_expire {
            self.uncertain = false;
            self.next_campaign(rest, now, actions);
        } else {
            self.release(lease_ends, rest, now, actions);
        }
    }

    fn release(&mut self, lease_ends: Moment, rest: Rest, now: Moment, actions: &mut Vec<Action>) {
        if self.leaving {
            self.limit_leaving(now);
        }
        self.phase = Phase::Releasing { lease_ends, retry: Some(now), tries: 0, rest };
        self.tick(now, actions);
    }

    fn released(&mut self, confirmed: bool, now: Moment, actions: &mut Vec<Action>) {
        let Phase::Releasing { lease_ends, retry, tries, rest } = &mut self.phase else { return };
        *tries += 1;
        let again = now + self.timing.backoff(1);
        if !confirmed && *tries < Self::RELEASE_TRIES && again < *lease_ends {
            *retry = Some(again);
            return;
        }
        // Unconfirmed, it runs out by itself: a new attempt neither needs nor harms it.
        self.uncertain = false;
        let rest = *rest;
        self.next_campaign(rest, now, actions);
    }

    fn next_campaign(&mut self, rest: Rest, now: Moment, actions: &mut Vec<Action>) {
        let poll = self.timing.poll_interval;
        match rest {
            Rest::None => self.wait(now, Duration::ZERO, Duration::ZERO, false),
            Rest::Brief => self.wait(now, Self::HEARD.min(poll), Duration::ZERO, true),
            Rest::Short => {
                let pause = self.timing.backoff(1);
                self.wait(now, pause, pause / 2, true);
            }
            Rest::Long => self.wait(now, poll, poll / 10, true),
        }
        if self.leaving {
            self.shut_down(now, actions);
        }
    }

    fn shut_down(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.leaving = true;
        match &self.phase {
            // It may have been granted without our knowing: give it back before leaving.
            Phase::Waiting { .. } if self.uncertain => {
                let lease_ends = now + self.timing.ttl;
                self.release(lease_ends, Rest::None, now, actions);
            }
            Phase::Waiting { .. } => self.phase = Phase::Ended,
            Phase::Leading { .. } => self.step_down(StopReason::ShutDown, now, actions),
            // Calls under way end first, if they do so soon.
            Phase::Asking { .. } | Phase::Releasing { .. } => self.limit_leaving(now),
            Phase::Stopping { .. } | Phase::Ended => {}
        }
    }

    fn limit_leaving(&mut self, now: Moment) {
        self.leave_deadline.get_or_insert(now + self.timing.leave_timeout());
    }

    /// The job's tasks were aborted because their runtime was shut down.
    fn runtime_gone(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.shut_down(now, actions);
        self.abort(actions);
    }
}
