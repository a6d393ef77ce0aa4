//! What the guard decides, without doing it: orders and the time go in, acts come out.

use std::time::Duration;

use leasehold::Moment;

use super::Order;
use crate::run::group::Group;

/// What the guard knows.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// How long the group has from SIGTERM to SIGKILL, if the lease leaves it that long.
    grace: Duration,
    group: Option<Group>,
    deadline: Option<Moment>,
    terminated: bool,
}

/// How a group is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) group: Group,
    /// Whether it is to be sent SIGTERM now.
    pub(super) terminate: bool,
    /// When it is to be sent SIGKILL.
    pub(super) kill_at: Moment,
}

impl Watch {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, group: None, deadline: None, terminated: false }
    }

    pub(super) fn take(&mut self, order: Order) {
        match order {
            Order::Group(group) => self.group = Some(group),
            Order::Deadline(deadline) => self.deadline = Some(deadline),
            Order::Terminated => self.terminated = true,
        }
    }

    pub(super) fn is_armed(&self) -> bool {
        self.group.is_some() && self.deadline.is_some()
    }

    /// When it acts by itself.
    ///
    /// A supervisor in order has sent SIGTERM a whole grace before the deadline, and has moved the
    /// deadline long before. Half a grace before it, that can no longer be hoped for.
    pub(super) fn act_at(&self) -> Option<Moment> {
        let deadline = self.deadline.filter(|_| self.group.is_some())?;
        Some(if self.terminated { deadline } else { deadline.saturating_sub(self.grace / 2) })
    }

    /// What to do when the moment to act has come.
    pub(super) fn overdue(&self, now: Moment) -> Option<Ending> {
        if self.act_at()? > now {
            return None;
        }
        Some(Ending { group: self.group?, terminate: !self.terminated, kill_at: self.deadline? })
    }

    /// What to do when the supervisor is gone.
    pub(super) fn deserted(&self, now: Moment) -> Option<Ending> {
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

    fn armed() -> (Watch, Group) {
        let group = Group::new(42).unwrap();
        let mut watch = Watch::new(Duration::from_secs(2));
        watch.take(Order::Deadline(at(10_000)));
        assert!(!watch.is_armed());
        assert_eq!(watch.act_at(), None);
        watch.take(Order::Group(group));
        assert!(watch.is_armed());
        (watch, group)
    }

    #[test]
    fn a_deadline_that_is_not_moved_ends_the_group_by_then() {
        let (mut watch, group) = armed();
        assert_eq!(watch.overdue(at(8_999)), None);
        let ending = watch.overdue(at(9_000)).unwrap();
        assert_eq!(ending, Ending { group, terminate: true, kill_at: at(10_000) });
        watch.take(Order::Deadline(at(13_000)));
        assert_eq!(watch.overdue(at(9_000)), None);
    }

    #[test]
    fn a_group_that_was_asked_to_end_is_not_asked_twice() {
        let (mut watch, group) = armed();
        watch.take(Order::Terminated);
        assert_eq!(watch.overdue(at(9_999)), None);
        let ending = Ending { group, terminate: false, kill_at: at(10_000) };
        assert_eq!(watch.overdue(at(10_000)), Some(ending));
        assert!(!watch.deserted(at(5_000)).unwrap().terminate);
    }

    #[test]
    fn a_deserted_group_has_its_grace_but_never_more_than_the_lease() {
        let (watch, _) = armed();
        assert_eq!(watch.deserted(at(5_000)).unwrap().kill_at, at(7_000));
        assert_eq!(watch.deserted(at(9_500)).unwrap().kill_at, at(10_000));
        assert_eq!(Watch::new(Duration::ZERO).deserted(at(0)), None);
    }
}
