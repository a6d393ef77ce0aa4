//! This module defines the numbers of leases, and the tokens under which they were granted, or of
//! their entries.

use std::collections::{HashMap, HashSet};

use leasehold_core::LeaseId;
use parking_lot::{Mutex, MutexGuard};

use crate::history::{AttemptKind, NameId};

/// This records the leases that the store granted in a run.
#[derive(Debug, Default)]
pub(super) struct GrantLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    attempts: HashMap<LeaseId, AttemptKind>,
    tokens: HashMap<LeaseId, u64>,
    granted: HashMap<(NameId, u64), LeaseId>,
    /// These are the tokens of the entries of which the store has said that they hold the lock.
    holding: HashSet<(NameId, u64)>,
    /// These attempts do not wait.
    single_tries: HashSet<LeaseId>,
    /// These are the ids under which attempts with a forgotten id continue.
    renamed: HashMap<LeaseId, LeaseId>,
}

impl GrantLog {
    /// Returns the number of an attempt. Numbers follow the order in which attempts were first
    /// seen.
    pub(super) fn attempt(&self, lease: LeaseId) -> AttemptKind {
        let attempts = &mut self.entries().attempts;
        let next = attempts.len();
        *attempts.entry(lease).or_insert(next)
    }

    pub(super) fn grant(&self, name: NameId, lease: LeaseId, token: u64) {
        let mut entries = self.entries();
        entries.tokens.insert(lease, token);
        entries.granted.insert((name, token), lease);
    }

    /// Notes that the store says that an entry holds the lock, and returns whether this is the first
    /// time.
    pub(super) fn hold(&self, name: NameId, token: u64) -> bool {
        self.entries().holding.insert((name, token))
    }

    /// Returns whether the store has said that an entry holds the lock.
    pub(super) fn is_held(&self, name: NameId, token: u64) -> bool {
        self.entries().holding.contains(&(name, token))
    }

    /// Notes that an attempt does not wait.
    pub(super) fn record_single_try(&self, lease: LeaseId) {
        self.entries().single_tries.insert(lease);
    }

    /// Returns whether the attempt with that token of the name does not wait.
    pub(super) fn is_single_try(&self, name: NameId, token: u64) -> bool {
        let entries = self.entries();
        let lease = entries.granted.get(&(name, token));
        lease.is_some_and(|lease| entries.single_tries.contains(lease))
    }

    /// Returns the token under which the lease was last granted, or 0 if it never was.
    pub(super) fn token(&self, lease: LeaseId) -> u64 {
        self.entries().tokens.get(&lease).copied().unwrap_or_default()
    }

    /// Returns the attempt that was granted that token of the name.
    pub(super) fn granted(&self, name: NameId, token: u64) -> Option<AttemptKind> {
        let lease = self.entries().granted.get(&(name, token)).copied();
        lease.map(|lease| self.attempt(lease))
    }

    /// Makes an attempt continue under another id, as if it were a new one.
    pub(super) fn rename(&self, lease: LeaseId, other: LeaseId) {
        self.entries().renamed.insert(lease, other);
    }

    /// Returns the id of that attempt at the store.
    pub(super) fn renamed(&self, lease: LeaseId) -> LeaseId {
        self.entries().renamed.get(&lease).copied().unwrap_or(lease)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }
}
