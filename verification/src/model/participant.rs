//! Those that want the name.

use std::time::Duration;

use leasehold_core::election::machine::{self as election, Action, Event};
use leasehold_core::lease::machine::{Action as LeaseAction, NextTick, Stage};
use leasehold_core::lease::{self, LossReason, RenewalWindow};
use leasehold_core::{Moment, Timing};

use super::store::LeaseId;
use super::units::NOW;

/// A machine that ships.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// The machine of an election.
    Election(election::Machine),
    /// The machine of a lease, as a lock drives it.
    Lock(lease::Machine),
}

impl Machine {
    /// Whether there is a job to stop before the lease ends.
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
            Self::Election(machine) => machine.standing() == election::Standing::Ended,
            Self::Lock(machine) => machine.stage() == Stage::Over,
        }
    }

    fn shifted_back(&self, by: Duration) -> Self {
        match self {
            Self::Election(machine) => Self::Election(machine.shifted_back(by)),
            Self::Lock(machine) => Self::Lock(machine.shifted_back(by)),
        }
    }

    /// Tells the machine, and returns what is to be done, in the words of an election.
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

/// What a lock's caller and its guard do.
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

/// One that wants the name: the machine that ships, and around it what its driver does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    /// With all its moments relative to the present.
    pub machine: Machine,
    /// Of the latest attempt, while it may be in force or granted yet.
    pub lease: Option<LeaseId>,
    /// The latest attempt was not the first under its lease id.
    pub retried: bool,
    /// A renewal that has not gone out.
    pub window: Option<RenewalWindow>,
    /// What the job has been told.
    pub job: JobState,
    /// Until when the lease is trusted; the origin when it is not.
    pub trust: Moment,
    /// A hint that has not been heard.
    pub hinted: bool,
    /// It does nothing.
    pub paused: bool,
    /// It was paused since its term began.
    pub paused_in_term: bool,
    /// A part of the latest term's job was aborted.
    pub aborted: bool,
    /// The term's lease must run out.
    pub expires: bool,
    /// For how long its clock cannot slip again.
    pub until_next_slip: u8,
}

/// What the job of a term was told. A lock's holder has a job too, as far as this goes: it starts
/// with the guard, is stopping once the guard is lost, and ends when the guard is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// There is none.
    None,
    /// `start` was called.
    Started,
    /// `stop` was called.
    Stopping,
    /// What is left of it was aborted.
    Aborted,
}

impl Participant {
    pub(super) fn candidate(timing: &Timing) -> Self {
        Self::new(Machine::Election(election::Machine::new(timing.clone(), NOW)))
    }

    pub(super) fn locker(timing: &Timing) -> Self {
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

    /// Whether it trusts its lease, by its own clock.
    pub fn trusts(&self) -> bool {
        NOW < self.trust
    }

    /// Whether it has something to do before time may pass.
    pub(super) fn is_busy(&self) -> bool {
        let wake = self.machine.next_tick();
        !self.paused
            && (self.hinted
                || self.job == JobState::Aborted
                || self.holds_a_lost_guard()
                || self.window.is_some_and(|window| window.latest <= NOW)
                || wake.is_some_and(|wake| wake.at + wake.jitter <= NOW))
    }

    /// Whether it keeps the guard of a lock that it does not trust any longer.
    fn holds_a_lost_guard(&self) -> bool {
        !self.machine.has_job() && self.job == JobState::Stopping && !self.trusts()
    }

    /// Whether it has a guard that it may release.
    pub(super) fn has_guard(&self) -> bool {
        !self.machine.has_job() && self.job != JobState::None
    }

    /// One unit of time passes.
    pub(super) fn pass(&mut self, unit: Duration) {
        self.machine = self.machine.shifted_back(unit);
        self.window = self.window.map(|window| window.shifted_back(unit));
        self.trust = self.trust.saturating_sub(unit);
        self.until_next_slip = self.until_next_slip.saturating_sub(1);
    }
}
