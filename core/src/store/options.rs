//! A store's methods take these options.
//!
//! Later versions may add options: create them with their functions.

use std::time::Duration;

use crate::{Error, Holder, LeaseId, LockKind, LockName, Reason, Result};

/// These options describe an attempt to acquire a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireOptions {
    /// The id of this attempt is the same in each of its retries.
    pub lease: LeaseId,
    /// This instance acquires the lease.
    pub holder: Holder,
    /// The lease lasts this long.
    pub ttl: Duration,
}

impl AcquireOptions {
    /// Describes the attempt of this instance to acquire a lease of that id and duration.
    #[must_use]
    pub const fn new(lease: LeaseId, holder: Holder, ttl: Duration) -> Self {
        Self { lease, holder, ttl }
    }
}

/// These options describe an attempt to enter the queue of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnterOptions {
    /// The id of this attempt is the same in each of its retries.
    pub lease: LeaseId,
    /// This instance enters the queue.
    pub holder: Holder,
    /// The entry lasts this long.
    pub ttl: Duration,
    /// The lock is of this kind, which has a queue.
    pub kind: LockKind,
    /// The entry needs this much of the [capacity](LockKind::capacity): at least 1, and at most all
    /// of it.
    pub weight: u32,
    /// The entry waits if it does not hold the lock at once. Otherwise it is not made then.
    pub wait: bool,
}

impl EnterOptions {
    /// Describes the attempt of this instance to enter the queue of a lock of that kind, with an
    /// entry of the weight 1 that waits.
    #[must_use]
    pub const fn new(lease: LeaseId, holder: Holder, ttl: Duration, kind: LockKind) -> Self {
        Self { lease, holder, ttl, kind, weight: 1, wait: true }
    }

    /// Sets the [weight](Self::weight).
    #[must_use]
    pub fn with_weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Makes no entry that would have to [wait](Self::wait).
    #[must_use]
    pub fn without_waiting(self) -> Self {
        Self { wait: false, ..self }
    }

    /// Checks that the kind has a queue, and that an entry of the weight could hold the lock.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) otherwise. A store checks
    /// this before it writes anything.
    pub fn check(&self) -> Result<()> {
        let Self { kind, weight, .. } = self;
        if !kind.has_queue() {
            return Err(Error::invalid(format!("{kind} has no queue")));
        }
        if *weight == 0 || *weight > kind.capacity() {
            let most = kind.capacity();
            return Err(Error::invalid(format!("{weight} is not a valid weight in {kind}"))
                .with_fix(format!("the weight must be between 1 and {most}")));
        }
        Ok(())
    }
}

/// These options describe one lease to renew.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewOptions {
    /// The lock has this name.
    pub name: LockName,
    /// The lease has this id.
    pub lease: LeaseId,
    /// The lease lasts this long from now on.
    pub ttl: Duration,
    /// The lease is that of an entry in the queue of the name, which holds the lock or waits.
    pub entry: bool,
}

impl RenewOptions {
    /// Describes the renewal of the lease of that name and id, for that duration from now.
    #[must_use]
    pub const fn new(name: LockName, lease: LeaseId, ttl: Duration) -> Self {
        Self { name, lease, ttl, entry: false }
    }

    /// Sets whether the lease is that of an [entry](Self::entry).
    #[must_use]
    pub fn of_entry(self, entry: bool) -> Self {
        Self { entry, ..self }
    }
}

/// These options describe one lease to release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReleaseOptions {
    /// The lock has this name.
    pub name: LockName,
    /// The lease has this id.
    pub lease: LeaseId,
}

impl ReleaseOptions {
    /// Describes the release of the lease of that name and id.
    #[must_use]
    pub const fn new(name: LockName, lease: LeaseId) -> Self {
        Self { name, lease }
    }
}

/// These options say why a name is disabled, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DisableOptions {
    /// The operator gave this reason.
    pub reason: Reason,
    /// This is the operator, if known.
    pub by: Option<String>,
}

impl DisableOptions {
    /// Gives the operator's reason, without the operator.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self { reason, by: None }
    }

    /// Sets the operator.
    #[must_use]
    pub fn with_by(self, by: impl Into<Option<String>>) -> Self {
        Self { by: by.into(), ..self }
    }
}

/// These options select the records to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListOptions {
    /// Selects only names that start with these bytes; an empty prefix selects all. No character is
    /// special.
    pub prefix: String,
    /// Selects only names after this one in byte order: the last of the previous page.
    pub after: Option<LockName>,
    /// Returns at most this many records; 0 returns none.
    pub limit: usize,
}

impl Default for ListOptions {
    /// Selects the first 500 of all names.
    fn default() -> Self {
        Self { prefix: String::new(), after: None, limit: 500 }
    }
}

impl ListOptions {
    /// Sets the [`prefix`](Self::prefix) of the names.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets the name [`after`](Self::after) which the page begins.
    #[must_use]
    pub fn with_after(self, after: impl Into<Option<LockName>>) -> Self {
        Self { after: after.into(), ..self }
    }

    /// Sets the [`limit`](Self::limit) of records.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

/// These options select the records to prune.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Selects only names whose latest grant is at least this long ago.
    pub unused_for: Duration,
    /// Selects only names after this one in byte order: the last of the previous page.
    pub after: Option<LockName>,
    /// Returns at most this many names; 0 returns none.
    pub limit: usize,
    /// Returns the names that would be removed, and removes nothing.
    pub dry_run: bool,
}

impl Default for PruneOptions {
    /// Selects a dry run over the first 500 names that were not granted for 30 days.
    fn default() -> Self {
        let unused_for = Duration::from_secs(30 * 24 * 60 * 60);
        Self { unused_for, after: None, limit: 500, dry_run: true }
    }
}

impl PruneOptions {
    /// Sets for how long the names have been [unused](Self::unused_for).
    #[must_use]
    pub fn with_unused_for(self, unused_for: Duration) -> Self {
        Self { unused_for, ..self }
    }

    /// Sets the name [`after`](Self::after) which the page begins.
    #[must_use]
    pub fn with_after(self, after: impl Into<Option<LockName>>) -> Self {
        Self { after: after.into(), ..self }
    }

    /// Sets the [`limit`](Self::limit) of names.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Sets whether this is a [dry run](Self::dry_run).
    #[must_use]
    pub fn with_dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }
}
