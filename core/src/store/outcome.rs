//! A store's methods take these options and return these outcomes.

use std::time::Duration;

use crate::{Disablement, FencingToken, Holder, LeaseId, LockName, Reason};

/// These options describe an attempt to acquire a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireOptions {
    /// The id of this attempt is the same in each of its retries.
    pub lease: LeaseId,
    /// The instance that acquires the lease.
    pub holder: Holder,
    /// The duration of the lease.
    pub ttl: Duration,
}

/// An acquire has one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// The lease is granted, or was already granted to this attempt.
    Granted(Grant),
    /// Another lease is in force.
    Held(Held),
    /// An operator disabled the name.
    Disabled(Disablement),
}

/// A grant is a lease that a store gave to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The fencing token is the number of this grant.
    pub token: FencingToken,
    /// The time that is left of the lease, counted from the store's decision.
    pub left: Duration,
}

/// The name is held by another lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The instance that holds the name.
    pub holder: Holder,
    /// The fencing token of its grant.
    pub token: FencingToken,
    /// The time that is left of the lease, unless it is renewed or released.
    pub left: Duration,
}

/// These options describe one lease to renew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewOptions {
    /// The name of the lock.
    pub name: LockName,
    /// The id of the lease.
    pub lease: LeaseId,
    /// The new duration of the lease, from now.
    pub ttl: Duration,
}

/// The renewal of one lease has one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RenewOutcome {
    /// The lease was extended.
    Extended {
        /// The time that is left of the lease, counted from the store's decision.
        left: Duration,
    },
    /// No lease of that id is in force: it expired, was released or never existed.
    Lost,
    /// The store does not know whether it extended the lease: the caller retries.
    Unknown {
        /// A description of the failure.
        why: String,
    },
    /// The lease is in force but was not extended, because its holder has to stop.
    Disabled {
        /// The operator's reason.
        reason: Reason,
        /// The time that is left of the lease, in which the holder has to stop.
        left: Duration,
    },
}

/// A release has one of these outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseOutcome {
    /// The lease was in force and has ended.
    Released,
    /// No lease of that id was in force.
    NotHeld,
}

/// These options say why a name is disabled, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisableOptions {
    /// The operator's reason.
    pub reason: Reason,
    /// The operator, if known.
    pub by: Option<String>,
}

/// A disable has one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisableOutcome {
    /// The name was enabled and is disabled now.
    Disabled,
    /// The name was already disabled, and nothing changed.
    AlreadyDisabled(Disablement),
}

/// An enable has one of these outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnableOutcome {
    /// The name was disabled and is enabled now.
    Enabled,
    /// The name was not disabled, and nothing changed.
    AlreadyEnabled,
}

/// These options select the records to list.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// These options select the records to prune.
#[derive(Clone, Debug, PartialEq, Eq)]
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
