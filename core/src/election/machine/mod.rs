//! An election is a pure state machine: it adds the phases of a job to the
//! [machine](lease::Machine) of its lease.
//!
//! It does no I/O and has no clock or randomness of its own, so that the same code runs under
//! tokio, in a model checker and in simulation. An [`Election`](super::Election) drives one.

mod action;
mod event;

use std::sync::Arc;
use std::time::Duration;

pub use action::Action;
pub use event::Event;

use super::StopReason;
use crate::lease::machine::{Cooldown, Event as LeaseEvent, NextTick, Stage};
use crate::lease::{self, LossReason};
use crate::{Moment, Timing};

/// A machine decides what one instance does in one election.
///
/// Its driver calls [`handle`](Self::handle) with each event, performs the returned actions in
/// order, and sends [`Event::TICK`] at [`next_tick`](Self::next_tick).
///
/// It keeps the rules of the lease's machine and the following ones for any events:
///
/// * [`Action::Start`] comes once per term, and exactly one [`Action::Stop`] follows it.
/// * The lease of a term is released only after [`Event::JobEnded`], and not at all if part of the
///   job was aborted: [`Action::NeverRelease`] comes instead.
/// * No term begins before the job of the previous term has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    timing: Arc<Timing>,
    lease: lease::Machine,
    /// This is set from the end of a term until its job has ended.
    stopping: Option<Stopping>,
}

/// This is the state of a job that is being stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stopping {
    reason: StopReason,
    /// The rest of the job is aborted at this moment.
    until: Moment,
    /// The rest of the job was aborted.
    aborted: bool,
    /// Part of the job was aborted and may continue, so the lease is not released.
    never_release: bool,
}

/// A role says what an instance does in an election at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The instance waits for the lead.
    Candidate,
    /// The instance leads, and its job runs.
    Leading,
    /// The instance stops its job or releases its lease.
    Stopping,
    /// The instance has left the election.
    Ended,
}

impl Machine {
    /// Creates the machine of a candidate, which campaigns from `now` on.
    #[must_use]
    pub fn new(timing: impl Into<Arc<Timing>>, now: Moment) -> Self {
        let timing = timing.into();
        let lease = lease::Machine::for_election(timing.clone(), now);
        Self { timing, lease, stopping: None }
    }

    /// Returns the machine of a candidate in an election of several leaders, which enters the queue
    /// of the name.
    #[must_use]
    pub fn with_entry(self) -> Self {
        Self { lease: self.lease.with_entry(), ..self }
    }

    /// Returns the same machine with every moment earlier by that duration; see
    /// [`lease::Machine::shifted_back`].
    #[must_use]
    pub fn shifted_back(&self, by: Duration) -> Self {
        let mut shifted = self.clone();
        shifted.lease = self.lease.shifted_back(by);
        if let Some(stopping) = &mut shifted.stopping {
            stopping.until = stopping.until.saturating_sub(by);
        }
        shifted
    }

    /// Returns the latest moment at which this instance will have left the election. It is set as
    /// soon as the instance is leaving and has no job left to stop.
    #[must_use]
    pub fn leave_deadline(&self) -> Option<Moment> {
        self.lease.leave_deadline()
    }

    /// Returns the part that the instance has at present.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.lease.stage() {
            Stage::Idle | Stage::Acquiring | Stage::Queued => Role::Candidate,
            Stage::Held => Role::Leading,
            Stage::Ending | Stage::Releasing => Role::Stopping,
            Stage::Ended => Role::Ended,
        }
    }

    /// Returns when the machine needs a tick if nothing else happens.
    #[must_use]
    pub fn next_tick(&self) -> Option<NextTick> {
        match &self.stopping {
            Some(stopping) if stopping.aborted => None,
            Some(stopping) => Some(NextTick::exactly(stopping.until)),
            None => self.lease.next_tick(),
        }
    }

    /// Handles an event at the present moment and returns the actions to perform.
    ///
    /// An event that does not fit the state, such as a late reply, does nothing.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Lease(event) => {
                if event == LeaseEvent::Tick {
                    self.on_tick(now, &mut actions);
                }
                let lease_actions = self.lease.handle(event, now);
                self.translate(lease_actions, now, &mut actions);
            }
            Event::StartFailed(error) => {
                self.step_down(StopReason::Failed { error }, now, &mut actions);
            }
            Event::Finished => self.step_down(StopReason::Finished, now, &mut actions),
            Event::Stale => self.step_down(StopReason::Stale, now, &mut actions),
            Event::JobEnded => self.on_job_ended(now, &mut actions),
            Event::Resign => self.step_down(StopReason::Resigned, now, &mut actions),
            Event::ShutDown => self.shut_down(now, &mut actions),
            Event::RuntimeShutDown => {
                self.shut_down(now, &mut actions);
                self.abort_job(&mut actions);
            }
        }
        actions
    }

    fn on_tick(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self.stopping.as_ref().is_some_and(|stopping| now >= stopping.until) {
            self.abort_job(actions);
        }
    }

    /// Aborts the rest of a job that is being stopped, once.
    fn abort_job(&mut self, actions: &mut Vec<Action>) {
        let Some(stopping) = &mut self.stopping else { return };
        if !std::mem::replace(&mut stopping.aborted, true) {
            stopping.never_release = true;
            actions.extend([Action::AbortJob, Action::NeverRelease]);
        }
    }

    /// Translates the actions of the lease's machine into those of the election.
    fn translate(&mut self, lease: Vec<lease::machine::Action>, now: Moment, to: &mut Vec<Action>) {
        use lease::machine::Action as LeaseAction;
        for action in lease {
            match action {
                LeaseAction::Send(request) => to.push(Action::Send(request)),
                LeaseAction::Granted { token, deadline } => {
                    to.push(Action::Start { token, deadline });
                }
                LeaseAction::ExtendTrust(deadline) => to.push(Action::ExtendTrust(deadline)),
                LeaseAction::Lost { reason, deadline } => {
                    let gone = reason == LossReason::Gone;
                    self.stop(reason.into(), deadline, gone, now, to);
                }
            }
        }
    }

    /// Ends the term, if there is one.
    fn step_down(&mut self, reason: StopReason, now: Moment, actions: &mut Vec<Action>) {
        if let Some(deadline) = self.lease.end() {
            self.stop(reason, deadline, false, now, actions);
        }
    }

    fn stop(
        &mut self,
        reason: StopReason,
        deadline: Moment,
        gone: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let grace_ends = now + self.timing.stop_grace;
        let late = now >= deadline;
        let over = late || gone;
        // Another instance may lead already, so `start` is aborted; `stop` may still clean up.
        let until = if late { grace_ends } else { grace_ends.min(deadline) };
        actions.push(Action::Stop(reason.clone()));
        if over {
            actions.extend([Action::EndTrust, Action::AbortStart, Action::NeverRelease]);
        }
        self.stopping = Some(Stopping { reason, until, aborted: false, never_release: over });
    }

    fn on_job_ended(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(Stopping { reason, never_release, .. }) = self.stopping.take() else { return };
        let cooldown = match reason {
            StopReason::Resigned
            | StopReason::Stale
            | StopReason::Finished
            | StopReason::Failed { .. } => Cooldown::Poll,
            StopReason::HeartbeatsFailed => Cooldown::Failure,
            StopReason::Disabled { .. } => Cooldown::Resign,
            StopReason::Lost | StopReason::ShutDown => Cooldown::None,
        };
        actions.push(Action::EndTrust);
        let lease_actions = if never_release {
            self.lease.let_expire(cooldown, now)
        } else {
            self.lease.release(cooldown, now)
        };
        self.translate(lease_actions, now, actions);
    }

    fn shut_down(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let lease_actions = self.lease.leave(now);
        self.translate(lease_actions, now, actions);
        self.step_down(StopReason::ShutDown, now, actions);
    }
}
