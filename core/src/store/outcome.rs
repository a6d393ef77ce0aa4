//! What a store is asked, and what it answers.

use std::time::Duration;

use crate::{Disablement, FencingToken, Holder, LeaseId, LockName, Reason};

/// How a lease is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireOptions {
    /// The id of this attempt, the same in each of its retries.
    pub lease: LeaseId,
    /// Who asks.
    pub holder: Holder,
    /// For how long.
    pub ttl: Duration,
}

/// What became of an acquire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// The lease is granted, or already was to this same attempt.
    Granted(Grant),
    /// Another lease is in force.
    Held(Held),
    /// An operator disabled the name.
    Disabled(Disablement),
}

/// A granted lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The number of this grant, to fence with.
    pub token: FencingToken,
    /// What is left of the lease, counted from when the store decided.
    pub left: Duration,
}

/// Another's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who holds it.
    pub holder: Holder,
    /// The number of its grant.
    pub token: FencingToken,
    /// What is left of it, unless it is renewed or released.
    pub left: Duration,
}

/// Which lease is to be extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewOptions {
    /// The lock.
    pub name: LockName,
    /// The lease of it.
    pub lease: LeaseId,
    /// For how long from now.
    pub ttl: Duration,
}

/// What became of one renewal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RenewOutcome {
    /// The lease lasts that long from when the store decided.
    Extended {
        /// What is left of the lease now.
        left: Duration,
    },
    /// No lease of that id is in force: it ran out, was released, or never was.
    Lost,
    /// The store cannot tell whether it extended the lease: the caller retries.
    Unknown {
        /// Describes the failure.
        why: String,
    },
    /// The lease is in force but not extended, since its holder is to stop.
    Disabled {
        /// Why, as the operator wrote.
        reason: Reason,
        /// What is left of the lease, to stop in.
        left: Duration,
    },
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseOutcome {
    /// The lease was in force and is no more.
    Released,
    /// No lease of that id was in force.
    NotHeld,
}

/// Why a name is disabled, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisableOptions {
    /// Why.
    pub reason: Reason,
    /// Who does it, if they tell.
    pub by: Option<String>,
}

/// What became of a disable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisableOutcome {
    /// The name was enabled and is disabled now.
    Disabled,
    /// The name was disabled already, and nothing changed.
    AlreadyDisabled(Disablement),
}

/// What became of an enable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnableOutcome {
    /// The name was disabled and is enabled now.
    Enabled,
    /// The name was not disabled, and nothing changed.
    AlreadyEnabled,
}

/// Which records to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Only names that start with these bytes; all when empty. No character is special.
    pub prefix: String,
    /// Only names after this one in byte order: the last of the page before.
    pub after: Option<LockName>,
    /// At most so many; none for 0.
    pub limit: usize,
}

impl Default for ListOptions {
    /// The first 500 names of all.
    fn default() -> Self {
        Self { prefix: String::new(), after: None, limit: 500 }
    }
}

/// Selects the records to prune.
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
    /// A dry run over the first 500 names that were not granted for 30 days.
    fn default() -> Self {
        let unused_for = Duration::from_secs(30 * 24 * 60 * 60);
        Self { unused_for, after: None, limit: 500, dry_run: true }
    }
}
