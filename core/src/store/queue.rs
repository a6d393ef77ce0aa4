//! The queue of a name has the entries of its holders and waiters, in order of arrival.
//!
//! # The rule
//! *An entry holds the lock if and only if the weights of the live entries up to and including it
//! sum up to at most the capacity.* A live entry is one that has neither left nor expired by the
//! store's clock. So a grant follows from others' leaving: no counter can drift, there is no step
//! that promotes a waiter, and no message that can be lost.
//!
//! Every weight is at least 1, so the entries that hold are the first ones of the queue. An entry
//! that holds does so until it leaves or expires, whatever comes behind it.

use std::time::Duration;

use serde::Serialize;

use super::LockKind;
use crate::{FencingToken, Holder, LeaseId, Reason};

/// A name has at most this many live entries. An attempt beyond that fails with
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
pub const MAX_ENTRIES: usize = 256;

/// Returns how many of the first entries hold the lock, by the weights of the live entries in
/// order.
#[must_use]
pub fn count_holding(weights: impl IntoIterator<Item = u32>, capacity: u32) -> usize {
    let mut left = capacity;
    weights
        .into_iter()
        .take_while(|weight| match left.checked_sub(*weight) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
        .count()
}

/// A queue record shows the live entries of a name at one moment on the store's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueRecord {
    /// The entries that hold the lock come first, and then those that wait, in the order of their
    /// tokens.
    pub entries: Vec<EntryRecord>,
    /// This many of them hold the lock.
    pub holding: usize,
}

impl QueueRecord {
    /// Describes these live entries of a lock of that kind, in any order.
    #[must_use]
    pub fn new(kind: LockKind, mut entries: Vec<EntryRecord>) -> Self {
        entries.sort_by_key(|entry| entry.token);
        let holding = count_holding(entries.iter().map(|entry| entry.weight), kind.capacity());
        Self { entries, holding }
    }

    /// Returns the entries that hold the lock.
    #[must_use]
    pub fn holders(&self) -> &[EntryRecord] {
        self.entries.get(..self.holding).unwrap_or_default()
    }

    /// Returns the entries that wait.
    #[must_use]
    pub fn waiters(&self) -> &[EntryRecord] {
        self.entries.get(self.holding..).unwrap_or_default()
    }

    /// Returns the smallest token of the live entries. A resource that keeps the largest floor it
    /// has seen, and accepts every token that is at least that, refuses all holders with a smaller
    /// token. It does not refuse a holder that expired while one with a smaller token is live.
    #[must_use]
    pub fn floor(&self) -> Option<FencingToken> {
        self.entries.first().map(|entry| entry.token)
    }

    /// Returns the standing of the entry of that lease; `None` if there is no live one.
    #[must_use]
    pub fn standing(&self, lease: LeaseId) -> Option<EntryStanding<'_>> {
        let at = self.entries.iter().position(|entry| entry.id == lease)?;
        let (entry, floor) = (&self.entries[at], self.floor()?);
        if at < self.holding {
            return Some(EntryStanding::Holds { entry, floor });
        }
        let ahead = self.entries.get(..at).unwrap_or_default();
        let recheck = ahead.iter().map(|entry| entry.left).min().unwrap_or_default();
        Some(EntryStanding::Waits { entry, ahead: at, recheck })
    }

    /// Returns the leases of the entries that hold the lock but did not hold it before, when this
    /// entry was live too.
    #[must_use]
    pub fn granted_by_leaving(&self, kind: LockKind, removed: &EntryRecord) -> Vec<LeaseId> {
        let mut before = self.entries.clone();
        before.push(removed.clone());
        let before = Self::new(kind, before);
        let held = |lease| before.holders().iter().any(|entry| entry.id == lease);
        self.holders().iter().map(|entry| entry.id).filter(|lease| !held(*lease)).collect()
    }
}

/// The standing of an entry says whether it holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStanding<'a> {
    /// The entry holds the lock.
    Holds {
        /// This is the entry.
        entry: &'a EntryRecord,
        /// This is the queue's [floor](QueueRecord::floor).
        floor: FencingToken,
    },
    /// The entry waits.
    Waits {
        /// This is the entry.
        entry: &'a EntryRecord,
        /// This many live entries are ahead of it.
        ahead: usize,
        /// No entry ahead of it expires before this time has passed, but one may leave.
        recheck: Duration,
    },
}

/// An entry record describes a live entry of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EntryRecord {
    /// The entry has the lease of this id, which is not serialized because it is the holder's
    /// secret proof.
    #[serde(skip)]
    pub id: LeaseId,
    /// This instance entered the queue.
    pub holder: Holder,
    /// The number of the entry, by which the queue is in order, is its fencing token.
    pub token: FencingToken,
    /// The entry needs this much of the capacity.
    pub weight: u32,
    /// The entry was made this long ago by the machine's or server's calendar clock, for display
    /// only.
    pub entered: Duration,
    /// The entry lasts this much longer, unless it is renewed or leaves.
    pub left: Duration,
    /// The name was disabled since the entry was made, for this reason: the entry is not renewed,
    /// and its instance has to leave.
    pub ending: Option<Reason>,
}

impl EntryRecord {
    /// Describes the entry of this instance, of which that much time is left. It has the weight 1
    /// and was made just now.
    #[must_use]
    pub const fn new(id: LeaseId, holder: Holder, token: FencingToken, left: Duration) -> Self {
        Self { id, holder, token, weight: 1, entered: Duration::ZERO, left, ending: None }
    }

    /// Sets the [weight](Self::weight).
    #[must_use]
    pub fn with_weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Sets the [time since it was made](Self::entered).
    #[must_use]
    pub fn with_entered(self, entered: Duration) -> Self {
        Self { entered, ..self }
    }

    /// Sets why it [has to leave](Self::ending).
    #[must_use]
    pub fn with_ending(self, ending: impl Into<Option<Reason>>) -> Self {
        Self { ending: ending.into(), ..self }
    }
}

#[cfg(test)]
mod tests;
