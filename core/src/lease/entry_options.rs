//! The options of an entry say what an attempt needs of a lock that has a queue.

use std::time::Duration;

use crate::{EnterOptions, Error, Holder, LeaseId, LockKind, LockName, Result};

/// An attempt with these options enters the queue of its name. An attempt without them acquires an
/// exclusive lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryOptions {
    /// The lock is of this kind.
    pub(crate) kind: LockKind,
    /// The entry needs this much of the lock's capacity.
    weight: u32,
    /// The entry waits if it does not hold the lock at once.
    pub(crate) wait: bool,
}

impl EntryOptions {
    /// Describes an entry of the weight 1 that waits.
    pub(crate) const fn new(kind: LockKind) -> Self {
        Self { kind, weight: 1, wait: true }
    }

    /// Sets how much of the capacity the entry needs.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the entry could never
    /// hold the lock.
    pub(crate) fn with_weight(self, weight: u32, name: &LockName) -> Result<Self> {
        let (kind, most) = (self.kind, self.kind.capacity());
        if weight == 0 || weight > most {
            return Err(Error::invalid(format!("{weight} permits of {kind} cannot be acquired"))
                .with_fix(format!("the number must be between 1 and {most}"))
                .for_lock(name));
        }
        Ok(Self { weight, ..self })
    }

    /// Makes no entry that would have to wait.
    pub(crate) const fn without_waiting(self) -> Self {
        Self { wait: false, ..self }
    }

    /// Returns the options of the call to the store.
    pub(crate) fn enter(self, lease: LeaseId, holder: Holder, ttl: Duration) -> EnterOptions {
        let options = EnterOptions::new(lease, holder, ttl, self.kind).with_weight(self.weight);
        if self.wait { options } else { options.without_waiting() }
    }
}
