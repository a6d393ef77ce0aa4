//! Which lease has which number, and under which token it was granted.

use std::collections::HashMap;

use leasehold_core::LeaseId;
use parking_lot::{Mutex, MutexGuard};

use crate::history::{AttemptId, NameId};

/// What the store knows of the leases of a run.
#[derive(Debug, Default)]
pub(super) struct GrantLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    attempts: HashMap<LeaseId, AttemptId>,
    tokens: HashMap<LeaseId, u64>,
    granted: HashMap<(NameId, u64), LeaseId>,
    /// Under which id those are asked for whose own was forgotten.
    renamed: HashMap<LeaseId, LeaseId>,
}

impl GrantLog {
    /// The number of an attempt, by when it was first heard of.
    pub(super) fn attempt(&self, lease: LeaseId) -> AttemptId {
        let attempts = &mut self.entries().attempts;
        let next = attempts.len();
        *attempts.entry(lease).or_insert(next)
    }

    pub(super) fn grant(&self, name: NameId, lease: LeaseId, token: u64) {
        let mut entries = self.entries();
        entries.tokens.insert(lease, token);
        entries.granted.insert((name, token), lease);
    }

    /// The token under which it was last granted; 0 if never.
    pub(super) fn token(&self, lease: LeaseId) -> u64 {
        self.entries().tokens.get(&lease).copied().unwrap_or_default()
    }

    /// Whose attempt that token of the name was granted to.
    pub(super) fn granted(&self, name: NameId, token: u64) -> Option<AttemptId> {
        let lease = self.entries().granted.get(&(name, token)).copied();
        lease.map(|lease| self.attempt(lease))
    }

    /// Has an attempt go on under another id, as if it were a new one.
    pub(super) fn rename(&self, lease: LeaseId, other: LeaseId) {
        self.entries().renamed.insert(lease, other);
    }

    /// The id of that attempt at the store.
    pub(super) fn renamed(&self, lease: LeaseId) -> LeaseId {
        self.entries().renamed.get(&lease).copied().unwrap_or(lease)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }
}
