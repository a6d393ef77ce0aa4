//! The standbys of a lock are the instances that would take it over.

use leasehold::{Holder, InstanceRecord, LockKind, LockRecord, LockState};
use leasehold_admin::{HolderView, LockView};
use serde::Serialize;

/// A lock is shown with its standbys, as the store knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockWithStandbys {
    pub(super) record: LockRecord,
    /// These candidates do not hold the lock; `None` means that they are unknown.
    pub(super) standbys: Option<Vec<Holder>>,
    /// The lock's holder campaigns for it.
    leads: bool,
    /// Some instances campaign for more names than they list, perhaps for this one.
    may_have_unlisted: bool,
}

impl LockWithStandbys {
    pub(super) fn new(record: LockRecord, instances: Option<&[InstanceRecord]>) -> Self {
        let holders: Vec<_> = record.holders().map(|held| held.holder.instance).collect();
        let campaigns = |it: &&InstanceRecord| it.presence.campaigns.contains(&record.name);
        let holds = |it: &InstanceRecord| holders.contains(&it.presence.holder.instance);
        let candidates =
            |all: &[InstanceRecord]| -> Vec<_> { all.iter().filter(campaigns).cloned().collect() };
        let candidates = instances.map(candidates);
        let leads = candidates.as_ref().is_some_and(|all| all.iter().any(holds));
        let others = |all: Vec<InstanceRecord>| {
            all.into_iter().filter(|it| !holds(it)).map(|it| it.presence.holder).collect()
        };
        // An instance lists the first of its names in byte order.
        let ends_before = |it: &InstanceRecord| {
            let last = it.presence.campaigns.last();
            it.presence.unlisted > 0 && last.is_none_or(|last| *last < record.name)
        };
        let may_have_unlisted = instances.is_some_and(|all| all.iter().any(ends_before));
        Self { standbys: candidates.map(others), leads, may_have_unlisted, record }
    }

    /// Returns whether this is an election that has no standby as far as is known. A lock that a
    /// guard holds is not an election, and a lock without holder and candidates is idle. Nobody has
    /// to wait for a semaphore, or for a lock for reading.
    pub(super) fn has_no_standby(&self) -> bool {
        let none = self.standbys.as_ref().is_some_and(Vec::is_empty);
        let needs_one =
            !matches!(self.record.kind, LockKind::Semaphore(_) | LockKind::ReaderWriter);
        none && needs_one
            && self.leads
            && !self.may_have_unlisted
            && self.record.state() == LockState::Held
    }

    /// Describes the standbys for people.
    pub(super) fn standbys(&self) -> String {
        match &self.standbys {
            None => "-".to_owned(),
            Some(_) if self.has_no_standby() => "no standby".to_owned(),
            Some(standbys) => standbys.len().to_string(),
        }
    }
}

/// A view is a lock and its standbys as JSON.
#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    #[serde(flatten)]
    lock: LockView<'a>,
    standbys: Option<Vec<HolderView<'a>>>,
}

impl<'a> From<&'a LockWithStandbys> for View<'a> {
    fn from(watched: &'a LockWithStandbys) -> Self {
        let views = |standbys: &'a Vec<Holder>| standbys.iter().map(HolderView::from).collect();
        Self { lock: (&watched.record).into(), standbys: watched.standbys.as_ref().map(views) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use leasehold::{EntryRecord, FencingToken, LeaseId, LeaseRecord, LockName, Presence};

    use super::*;

    fn instance(holder: &Holder, campaigns: &[&str], unlisted: usize) -> InstanceRecord {
        let campaigns = campaigns.iter().map(|name| LockName::new(name).unwrap()).collect();
        let presence = Presence::new(holder.clone(), campaigns).with_unlisted(unlisted);
        InstanceRecord::new(presence, Duration::from_secs(9))
    }

    #[test]
    fn no_standby_is_shown_only_when_known() {
        let [leader, other] = [(); 2].map(|()| Holder::current());
        let lease = LeaseRecord::new(LeaseId::new(), leader.clone(), Duration::from_secs(9));
        let held = LockRecord::unused(LockName::new("job").unwrap()).with_lease(lease);
        let leads = instance(&leader, &["job"], 0);
        let text = |others: &[InstanceRecord]| {
            let all = [std::slice::from_ref(&leads), others].concat();
            LockWithStandbys::new(held.clone(), Some(&all)).standbys()
        };
        assert_eq!(text(&[]), "no standby");
        assert_eq!(text(&[instance(&other, &["else"], 0)]), "no standby");
        assert_eq!(text(&[instance(&other, &["job"], 0)]), "1");
        assert_eq!(
            text(&[instance(&other, &["else"], 3)]),
            "0",
            "it may campaign for this name too"
        );
        assert_eq!(
            text(&[instance(&other, &["later"], 3)]),
            "no standby",
            "this name would be listed"
        );
        assert_eq!(
            LockWithStandbys::new(held.clone(), Some(&[])).standbys(),
            "0",
            "it is not an election"
        );
        assert_eq!(LockWithStandbys::new(held.clone(), None).standbys(), "-");
    }

    #[test]
    fn every_holder_of_a_queue_is_no_standby() {
        let holders = [(); 3].map(|()| Holder::current());
        let instances = holders.each_ref().map(|holder| instance(holder, &["job"], 0));
        let entries = |count: usize| -> Vec<_> {
            let tokens = (1..).map(|number| FencingToken::new(number).unwrap());
            let entry = |(token, holder): (_, &Holder)| {
                EntryRecord::new(LeaseId::new(), holder.clone(), token, Duration::from_secs(9))
            };
            tokens.zip(&holders[..count]).map(entry).collect()
        };
        let text = |kind, count| {
            let record = LockRecord::unused(LockName::new("job").unwrap());
            let record = record.with_queue(kind, entries(count));
            LockWithStandbys::new(record, Some(&instances[..count])).standbys()
        };
        let [two, permits] = [LockKind::leaders(2).unwrap(), LockKind::semaphore(2).unwrap()];
        assert_eq!(text(two, 3), "1");
        assert_eq!(text(two, 2), "no standby");
        assert_eq!(text(permits, 2), "0");
        assert_eq!(text(LockKind::ReaderWriter, 2), "0");
    }
}
