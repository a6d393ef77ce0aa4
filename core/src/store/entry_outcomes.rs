//! The outcome of a call about an entry of a queue follows from the record of its name, on every
//! store alike.
//!
//! These functions contain no clock: a record shows a name at one moment on the store's clock, and
//! the durations in it are those that were left at that moment.

use crate::{
    AcquireOutcome, Disablement, EnterOptions, EntryRecord, EntryStanding, Error, ErrorKind, Grant,
    Held, Hint, LeaseId, LockKind, LockName, LockRecord, MAX_ENTRIES, QueueRecord, Queued,
    RenewOutcome, Result,
};

impl LockRecord {
    /// Returns the outcome of an attempt to [enter](crate::LockStore::enter) the queue, as this
    /// record shows it.
    ///
    /// `None` means that the attempt has no live entry and that nothing prevents one. So a store
    /// that decides in its own code makes the entry then, and one whose server decides tries again,
    /// because the record changed after that.
    ///
    /// # Errors
    /// * [`ErrorKind::Conflict`] if the name is in use as another kind of lock, or if its queue is
    ///   full.
    /// * [`ErrorKind::Corrupt`] if the record cannot be read.
    pub fn enter_outcome(&self, options: &EnterOptions) -> Result<Option<AcquireOutcome>> {
        if let Some(why) = &self.corrupt {
            return Err(Error::new(ErrorKind::Corrupt, why.clone()).for_lock(&self.name));
        }
        if let Some(disabled) = &self.disabled {
            return Ok(Some(AcquireOutcome::Disabled(disabled.clone())));
        }
        if self.lease.is_some() {
            return Err(options.kind.conflict(LockKind::Exclusive, &self.name));
        }
        let Some(queue) = &self.queue else { return Ok(None) };
        if self.kind != options.kind {
            return Err(options.kind.conflict(self.kind, &self.name));
        }
        if let Some(outcome) = queue.outcome_of_entry(options.lease) {
            return Ok(Some(outcome));
        }
        match queue.entries.first() {
            Some(first) if !options.wait && !queue.has_room(self.kind, options.weight) => {
                Ok(Some(AcquireOutcome::Held(held_by(first))))
            }
            _ if queue.entries.len() >= MAX_ENTRIES => Err(full(&self.name)),
            _ => Ok(None),
        }
    }

    /// Returns the outcome of the renewal of an [entry](crate::RenewOptions::entry), as the record
    /// shows it that was read after the renewal.
    #[must_use]
    pub fn renew_entry_outcome(&self, lease: LeaseId) -> RenewOutcome {
        let standing = self.queue.as_ref().and_then(|queue| queue.standing(lease));
        let Some(standing) = standing else { return RenewOutcome::Lost };
        let (EntryStanding::Holds { entry, .. } | EntryStanding::Waits { entry, .. }) = standing;
        let disabled = || self.disabled.as_ref().map(|disabled| disabled.reason.clone());
        if let Some(reason) = entry.ending.clone().or_else(disabled) {
            return RenewOutcome::disabled(reason, entry.left);
        }
        match standing {
            EntryStanding::Holds { floor, .. } => RenewOutcome::extended_entry(entry.left, floor),
            EntryStanding::Waits { ahead, recheck, .. } => {
                RenewOutcome::queued(entry.left, ahead, recheck)
            }
        }
    }

    /// Returns the hint after an entry has left, if one is needed, by the record that was read after
    /// that.
    ///
    /// The hint names the entries that hold the lock because of it. If the queue is empty now, it is
    /// about the [name](Hint::Name), since the name can be used as another kind of lock then.
    #[must_use]
    pub fn hint_of_leaving(&self, removed: &EntryRecord) -> Option<Hint> {
        let Some(queue) = &self.queue else { return Some(Hint::Name(self.name.clone())) };
        let granted = queue.granted_by_leaving(self.kind, removed);
        (!granted.is_empty()).then(|| Hint::Entries(self.name.clone(), granted))
    }
}

impl QueueRecord {
    /// Returns the outcome of the attempt that made the entry of that lease; `None` if there is no
    /// live one.
    fn outcome_of_entry(&self, lease: LeaseId) -> Option<AcquireOutcome> {
        let standing = self.standing(lease)?;
        let (EntryStanding::Holds { entry, .. } | EntryStanding::Waits { entry, .. }) = standing;
        if let Some(reason) = entry.ending.clone() {
            // The name is enabled again, but the entry was told to leave.
            return Some(AcquireOutcome::Disabled(Disablement::new(reason)));
        }
        Some(match standing {
            EntryStanding::Holds { floor, .. } => {
                AcquireOutcome::Granted(Grant::new(entry.token, entry.left).with_floor(floor))
            }
            EntryStanding::Waits { ahead, recheck, .. } => {
                let held = held_by(self.entries.first()?);
                AcquireOutcome::Queued(Queued::new(entry.token, entry.left, ahead, recheck, held))
            }
        })
    }

    /// Returns whether an entry of that weight, which comes last, would hold the lock at once.
    fn has_room(&self, kind: LockKind, weight: u32) -> bool {
        let used: u64 = self.entries.iter().map(|entry| u64::from(entry.weight)).sum();
        used + u64::from(weight) <= u64::from(kind.capacity())
    }
}

fn held_by(entry: &EntryRecord) -> Held {
    Held::new(entry.holder.clone(), entry.token, entry.left)
}

fn full(name: &LockName) -> Error {
    Error::new(ErrorKind::Conflict, format!("the queue has {MAX_ENTRIES} entries, the maximum"))
        .for_lock(name)
        .with_fix("try again when some of them have left")
}

#[cfg(test)]
mod tests;
