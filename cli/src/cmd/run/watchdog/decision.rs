//! This module decides for the watchdog: from the orders and the time, it derives how to end the
//! group.

use std::time::Duration;

use leasehold::Moment;

use super::Order;
use super::held_lease::HeldLease;
use crate::cmd::run::process_group::ProcessGroup;

/// The watchdog's state is what its orders said.
#[derive(Clone, Debug)]
pub(super) struct WatchdogState {
    /// The group has this time from SIGTERM to SIGKILL, if the lease lasts that long.
    grace: Duration,
    group: Option<ProcessGroup>,
    deadline: Option<Moment>,
    terminated: bool,
    lease: Option<Box<HeldLease>>,
}

/// An ending says how to end a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) group: ProcessGroup,
    /// SIGTERM is sent now if this is true.
    pub(super) terminate: bool,
    /// SIGKILL is sent at this moment.
    pub(super) kill_at: Moment,
}

impl WatchdogState {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, group: None, deadline: None, terminated: false, lease: None }
    }

    pub(super) fn apply(&mut self, order: Order) {
        match order {
            Order::Group(group) => self.group = Some(group),
            Order::Deadline(deadline) => self.deadline = Some(deadline),
            Order::Terminated => self.terminated = true,
            Order::Lease(lease) => self.lease = Some(lease),
        }
    }

    pub(super) fn is_armed(&self) -> bool {
        self.group.is_some() && self.deadline.is_some()
    }

    /// Returns the lease to release if the supervisor has exited, with the moment until which the
    /// supervisor trusted it.
    pub(super) fn lease_to_release(&self) -> Option<(&HeldLease, Moment)> {
        Some((self.lease.as_deref()?, self.deadline?))
    }

    /// Returns when the watchdog acts on its own.
    ///
    /// A working supervisor has sent SIGTERM a whole grace before the deadline, or has moved the
    /// deadline long before. Half a grace before the deadline, neither can be expected.
    pub(super) fn act_at(&self) -> Option<Moment> {
        let deadline = self.deadline.filter(|_| self.group.is_some())?;
        Some(if self.terminated { deadline } else { deadline.saturating_sub(self.grace / 2) })
    }

    /// Returns how to end the group, once the moment to act has come.
    pub(super) fn overdue(&self, now: Moment) -> Option<Ending> {
        if self.act_at()? > now {
            return None;
        }
        Some(Ending { group: self.group?, terminate: !self.terminated, kill_at: self.deadline? })
    }

    /// Returns how to end the group when the supervisor has exited.
    pub(super) fn supervisor_exited(&self, now: Moment) -> Option<Ending> {
        let kill_at = self.deadline.map_or(now, |deadline| deadline.min(now + self.grace));
        Some(Ending { group: self.group?, terminate: !self.terminated, kill_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn armed() -> (WatchdogState, ProcessGroup) {
        let group = ProcessGroup::new(42).unwrap();
        let mut state = WatchdogState::new(Duration::from_secs(2));
        state.apply(Order::Deadline(at(10_000)));
        assert!(!state.is_armed());
        assert_eq!(state.act_at(), None);
        state.apply(Order::Group(group));
        assert!(state.is_armed());
        (state, group)
    }

    #[test]
    fn a_missed_deadline_ends_the_group() {
        let (mut state, group) = armed();
        assert_eq!(state.overdue(at(8_999)), None);
        let ending = state.overdue(at(9_000)).unwrap();
        assert_eq!(ending, Ending { group, terminate: true, kill_at: at(10_000) });
        state.apply(Order::Deadline(at(13_000)));
        assert_eq!(state.overdue(at(9_000)), None);
    }

    #[test]
    fn sigterm_is_sent_once() {
        let (mut state, group) = armed();
        state.apply(Order::Terminated);
        assert_eq!(state.overdue(at(9_999)), None);
        let ending = Ending { group, terminate: false, kill_at: at(10_000) };
        assert_eq!(state.overdue(at(10_000)), Some(ending));
        assert!(!state.supervisor_exited(at(5_000)).unwrap().terminate);
    }

    #[test]
    fn without_a_supervisor_the_grace_is_capped_by_the_lease() {
        let (state, _) = armed();
        assert_eq!(state.supervisor_exited(at(5_000)).unwrap().kill_at, at(7_000));
        assert_eq!(state.supervisor_exited(at(9_500)).unwrap().kill_at, at(10_000));
        assert_eq!(WatchdogState::new(Duration::ZERO).supervisor_exited(at(0)), None);
    }
}
