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
}

impl Watched {
    pub(super) fn new(record: LockRecord, instances: Option<&[InstanceRecord]>) -> Self {
        let holder = record.lease.as_ref().map(|lease| lease.holder.instance);
        let waits = |it: &&InstanceRecord| {
            it.presence.campaigns.contains(&record.name)
                && Some(it.presence.holder.instance) != holder
        };
        let of = |all: &[InstanceRecord]| {
            all.iter().filter(waits).map(|it| it.presence.holder.clone()).collect()
        };
        Self { standbys: instances.map(of), record }
    }

    /// In a word, for people.
    pub(super) fn standbys(&self) -> String {
        match &self.standbys {
            None => "-".to_owned(),
            // A lock that nobody holds and nobody waits for is at rest.
            Some(none) if none.is_empty() && self.record.state() == LockState::Held => {
                "nobody".to_owned()
            }
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
