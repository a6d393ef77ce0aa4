//! A stored queue is what the memory store keeps of the queue of one name.
//!
//! Expired entries have no effect. They are removed when an entry is added.

use std::time::Duration;

use crate::{EnterOptions, EntryRecord, FencingToken, Holder, LeaseId, LockKind, Moment, Reason};

#[derive(Debug)]
pub(super) struct StoredQueue {
    pub(super) kind: LockKind,
    /// The entries are in the order of their tokens.
    entries: Vec<StoredEntry>,
}

#[derive(Debug)]
struct StoredEntry {
    id: LeaseId,
    holder: Holder,
    token: FencingToken,
    weight: u32,
    entered: Moment,
    expires: Moment,
    ending: Option<Reason>,
}

impl StoredEntry {
    fn is_live(&self, now: Moment) -> bool {
        now < self.expires
    }

    fn record(&self, now: Moment) -> EntryRecord {
        EntryRecord {
            id: self.id,
            holder: self.holder.clone(),
            token: self.token,
            weight: self.weight,
            entered: now.saturating_since(self.entered),
            left: self.expires.saturating_since(now),
            ending: self.ending.clone(),
        }
    }
}

impl StoredQueue {
    pub(super) fn new(kind: LockKind) -> Self {
        Self { kind, entries: Vec::new() }
    }

    pub(super) fn has_live_entries(&self, now: Moment) -> bool {
        self.entries.iter().any(|entry| entry.is_live(now))
    }

    /// Returns the live entries.
    pub(super) fn records(&self, now: Moment) -> Vec<EntryRecord> {
        let live = self.entries.iter().filter(|entry| entry.is_live(now));
        live.map(|entry| entry.record(now)).collect()
    }

    /// Adds an entry with that token, which is larger than those of the others.
    pub(super) fn push(&mut self, options: &EnterOptions, token: FencingToken, now: Moment) {
        self.entries.retain(|entry| entry.is_live(now));
        self.entries.push(StoredEntry {
            id: options.lease,
            holder: options.holder.clone(),
            token,
            weight: options.weight,
            entered: now,
            expires: now + options.ttl,
            ending: None,
        });
    }

    /// Removes the entry of that lease if it is live, and returns its record.
    pub(super) fn remove(&mut self, lease: LeaseId, now: Moment) -> Option<EntryRecord> {
        let is_own = |entry: &StoredEntry| entry.id == lease && entry.is_live(now);
        let at = self.entries.iter().position(is_own)?;
        Some(self.entries.remove(at).record(now))
    }

    /// Extends the entry of that lease if it is live and does not have to leave.
    pub(super) fn extend(&mut self, lease: LeaseId, ttl: Duration, now: Moment) {
        let is_own = |entry: &&mut StoredEntry| entry.id == lease && entry.is_live(now);
        if let Some(entry) = self.entries.iter_mut().find(is_own)
            && entry.ending.is_none()
        {
            entry.expires = now + ttl;
        }
    }

    /// Tells all entries to leave. Their latest reason applies.
    pub(super) fn end(&mut self, reason: &Reason) {
        for entry in &mut self.entries {
            entry.ending = Some(reason.clone());
        }
    }
}
