//! A lock, and who would take it over.

use leasehold::{Holder, InstanceRecord, LockRecord, LockState};
use leasehold_admin::{HolderView, LockView};
use serde::Serialize;

/// What a store knows of a lock and of those that campaign for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) record: LockRecord,
    /// Those that campaign and do not hold it; none where that is not known.
    pub(super) standbys: Option<Vec<Holder>>,
    /// Its holder campaigns for it.
    leads: bool,
    /// Some campaign for more names than they list, perhaps for this one.
    unlisted: bool,
}

impl Watched {
    pub(super) fn new(record: LockRecord, instances: Option<&[InstanceRecord]>) -> Self {
        let holder = record.lease.as_ref().map(|lease| lease.holder.instance);
        let campaigns = |it: &&InstanceRecord| it.presence.campaigns.contains(&record.name);
        let holds = |it: &InstanceRecord| Some(it.presence.holder.instance) == holder;
        let candidates =
            |all: &[InstanceRecord]| -> Vec<_> { all.iter().filter(campaigns).cloned().collect() };
        let candidates = instances.map(candidates);
        let leads = candidates.as_ref().is_some_and(|all| all.iter().any(holds));
        let others = |all: Vec<InstanceRecord>| {
            all.into_iter().filter(|it| !holds(it)).map(|it| it.presence.holder).collect()
        };
        let unlisted = instances.is_some_and(|all| all.iter().any(|it| it.presence.unlisted > 0));
        Self { standbys: candidates.map(others), leads, unlisted, record }
    }

    /// An election that would be without a leader if this one went, as far as is known. A lock that is held by a guard
    /// is no election, and one that nobody holds and nobody waits for is at rest.
    pub(super) fn nobody_would(&self) -> bool {
        let nobody = self.standbys.as_ref().is_some_and(Vec::is_empty);
        nobody && self.leads && !self.unlisted && self.record.state() == LockState::Held
    }

    /// In a word, for people.
    pub(super) fn standbys(&self) -> String {
        match &self.standbys {
            None => "-".to_owned(),
            Some(_) if self.nobody_would() => "nobody".to_owned(),
            Some(standbys) => standbys.len().to_string(),
        }
    }
}

/// The same as JSON.
#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    #[serde(flatten)]
    lock: LockView<'a>,
    standbys: Option<Vec<HolderView<'a>>>,
}

impl<'a> From<&'a Watched> for View<'a> {
    fn from(watched: &'a Watched) -> Self {
        let views = |standbys: &'a Vec<Holder>| standbys.iter().map(HolderView::from).collect();
        Self { lock: (&watched.record).into(), standbys: watched.standbys.as_ref().map(views) }
    }
}
