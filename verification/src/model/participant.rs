//! This module defines the participants that want the name.

use std::time::Duration;

use leasehold_core::election::machine::{self as election, Action, Event};
use leasehold_core::lease::machine::{Action as LeaseAction, NextTick, Stage};
use leasehold_core::lease::{self, LossReason, RenewalWindow};
use leasehold_core::{Moment, Timing};

use super::store::LeaseId;
use super::units::NOW;

/// This is a machine that ships.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// This is the machine of an election.
    Election(election::Machine),
    /// This is the machine of a lease, as a lock drives it.
    Lock(lease::Machine),
}

impl Machine {
    /// Returns whether there is a job to stop before the lease ends.
    pub(super) fn has_job(&self) -> bool {
        matches!(self, Self::Election(_))
    }

    pub(super) fn next_tick(&self) -> Option<NextTick> {
        match self {
            Self::Election(machine) => machine.next_tick(),
            Self::Lock(machine) => machine.next_tick(),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Election(machine) => machine.role() == election::Role::Ended,
            Self::Lock(machine) => machine.stage() == Stage::Ended,
        }
    }

    fn shifted_back(&self, by: Duration) -> Self {
        match self {
            Self::Election(machine) => Self::Election(machine.shifted_back(by)),
            Self::Lock(machine) => Self::Lock(machine.shifted_back(by)),
        }
    }

    /// Passes the event to the machine, and returns its actions as those of an election.
    pub(super) fn handle(&mut self, event: Event) -> Vec<Action> {
        match self {
            Self::Election(machine) => machine.handle(event, NOW),
            Self::Lock(machine) => {
                let Event::Lease(event) = event else { return Vec::new() };
                machine.handle(event, NOW).into_iter().flat_map(of_lock).collect()
            }
        }
    }
}

/// Returns the actions of the caller of a lock and of its guard.
fn of_lock(action: LeaseAction) -> Vec<Action> {
    match action {
        LeaseAction::Send(request) => vec![Action::Send(request)],
        LeaseAction::Granted { token, deadline } => vec![Action::Start { token, deadline }],
        LeaseAction::ExtendTrust(deadline) => vec![Action::ExtendTrust(deadline)],
        // The lease of a disabled lock is trusted until it ends.
        LeaseAction::Lost { reason: reason @ LossReason::Disabled { .. }, .. } => {
            vec![Action::Stop(reason.into())]
        }
        LeaseAction::Lost { reason, .. } => vec![Action::Stop(reason.into()), Action::EndTrust],
    }
}

/// A participant wants the name: it is the machine that ships, and the part of its driver around
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    /// This is the machine. All its times are relative to the present.
    pub machine: Machine,
    /// This is the lease id of the latest attempt, while its lease may be in force or may still be
    /// granted.
    pub lease: Option<LeaseId>,
    /// This is true if the latest attempt was not the first one under its lease id.
    pub retried: bool,
    /// This is the window of a renewal that was not sent yet.
    pub window: Option<RenewalWindow>,
    /// This is the last call of the job.
    pub job: JobState,
    /// This is the time until which the lease is trusted, or the origin if it is not trusted.
    pub trust: Moment,
    /// This is true while a hint was not delivered yet.
    pub hinted: bool,
    /// This is true while the participant does nothing.
    pub paused: bool,
    /// This is true if it was paused since its term began.
    pub paused_in_term: bool,
    /// This is true if a part of the latest term's job was aborted.
    pub aborted: bool,
    /// This is true if the term's lease must expire.
    pub expires: bool,
    /// This is the time for which its clock cannot slip again.
    pub until_next_slip: u8,
}

/// This is the last call of a term's job. The holder of a lock counts as a job too: it starts with
/// the guard, stops once the guard is lost, and ends when the guard is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// There is no job.
    None,
    /// `start` was called.
    Started,
    /// `stop` was called.
    Stopping,
    /// The remaining tasks of the job were aborted.
    Aborted,
}

impl Participant {
    pub(super) fn candidate(timing: &Timing) -> Self {
        Self::new(Machine::Election(election::Machine::new(timing.clone(), NOW)))
    }

    pub(super) fn lock_caller(timing: &Timing) -> Self {
        Self::new(Machine::Lock(lease::Machine::for_lock(timing, NOW)))
    }

    fn new(machine: Machine) -> Self {
        Self {
            machine,
            lease: None,
            retried: false,
            window: None,
            job: JobState::None,
            trust: Moment::ORIGIN,
            hinted: false,
            paused: false,
            paused_in_term: false,
            aborted: false,
            expires: false,
            until_next_slip: 0,
        }
    }

    /// Returns whether it trusts its lease, by its own clock.
    pub fn trusts(&self) -> bool {
        NOW < self.trust
    }

    /// Returns whether it must act before time may pass.
    pub(super) fn is_busy(&self) -> bool {
        let wake = self.machine.next_tick();
        !self.paused
            && (self.hinted
                || self.job == JobState::Aborted
                || self.holds_a_lost_guard()
                || self.window.is_some_and(|window| window.latest <= NOW)
                || wake.is_some_and(|wake| wake.at + wake.jitter <= NOW))
    }

    /// Returns whether it keeps the guard of a lock that it no longer trusts.
    fn holds_a_lost_guard(&self) -> bool {
        !self.machine.has_job() && self.job == JobState::Stopping && !self.trusts()
    }

    /// Returns whether it has a guard that it may release.
    pub(super) fn has_guard(&self) -> bool {
        !self.machine.has_job() && self.job != JobState::None
    }

    /// Lets one unit of time pass.
    pub(super) fn pass(&mut self, unit: Duration) {
        self.machine = self.machine.shifted_back(unit);
        self.window = self.window.map(|window| window.shifted_back(unit));
        self.trust = self.trust.saturating_sub(unit);
        self.until_next_slip = self.until_next_slip.saturating_sub(1);
    }
}
