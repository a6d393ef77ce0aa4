//! This module has the queue of one name in a broken store.

use std::time::Duration;

use leasehold_core::{
    EntryRecord, FencingToken, Holder, LeaseId, LockKind, Reason, Result, count_holding,
};

#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) kind: LockKind,
    /// The entries are in the order of their tokens. Some may have expired.
    pub(super) entries: Vec<QueueEntry>,
}

#[derive(Clone, Debug)]
pub(super) struct QueueEntry {
    pub(super) id: LeaseId,
    pub(super) holder: Holder,
    pub(super) token: u64,
    pub(super) weight: u32,
    pub(super) entered: Duration,
    pub(super) expires: Duration,
    pub(super) ending: Option<Reason>,
}

impl QueueEntry {
    pub(super) fn record(&self, now: Duration) -> Result<EntryRecord> {
        let left = self.expires.saturating_sub(now);
        let token = FencingToken::new(self.token)?;
        Ok(EntryRecord::new(self.id, self.holder.clone(), token, left)
            .with_weight(self.weight)
            .with_entered(now.saturating_sub(self.entered))
            .with_ending(self.ending.clone()))
    }
}

impl Queue {
    /// Returns the live entries.
    pub(super) fn records(&self, now: Duration) -> Result<Vec<EntryRecord>> {
        let live = self.entries.iter().filter(|entry| now < entry.expires);
        live.map(|entry| entry.record(now)).collect()
    }

    pub(super) fn is_in_use(&self, now: Duration) -> bool {
        self.entries.iter().any(|entry| now < entry.expires)
    }

    /// Returns how many of the first entries would hold the lock if all were live.
    pub(super) fn holding(&self) -> usize {
        count_holding(self.entries.iter().map(|entry| entry.weight), self.kind.capacity())
    }

    /// Removes the entry of that lease, and returns whether there was one.
    pub(super) fn remove(&mut self, lease: LeaseId) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id != lease);
        self.entries.len() < before
    }
}
