//! A store's methods return these outcomes.
//!
//! The enums list every answer of the contract and can be matched without a wildcard: a caller that
//! ignored an answer could trust a lease that is not in force, so a new one is a breaking change.
//! The details of an answer may grow: create structs and variants with their functions.

use std::time::Duration;

use crate::{Disablement, FencingToken, Holder, Reason};

/// An acquire has one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// The lease is granted, or was already granted to this attempt.
    Granted(Grant),
    /// The attempt has an entry in the queue, which waits. Only
    /// [`enter`](crate::LockStore::enter) returns this.
    Queued(Queued),
    /// Another lease is in force, or the entries in force leave too little of the capacity.
    Held(Held),
    /// An operator disabled the name.
    Disabled(Disablement),
}

/// A grant is a lease that a store gave to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Grant {
    /// The fencing token is the number of this grant.
    pub token: FencingToken,
    /// The lease lasts this much longer, counted from the store's decision.
    pub left: Duration,
    /// This is the smallest token of the name whose holder may still use it: that of the grant
    /// itself, unless the lock has several holders.
    pub floor: FencingToken,
}

impl Grant {
    /// Creates a grant with that token, of which that much time is left.
    #[must_use]
    pub const fn new(token: FencingToken, left: Duration) -> Self {
        Self { token, left, floor: token }
    }

    /// Sets the [floor](Self::floor) of a lock that has several holders.
    #[must_use]
    pub const fn with_floor(self, floor: FencingToken) -> Self {
        Self { floor, ..self }
    }
}

/// An entry waits in the queue of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queued {
    /// The entry has this fencing token, which it keeps when it holds the lock.
    pub token: FencingToken,
    /// The entry lasts this much longer, counted from the store's decision.
    pub left: Duration,
    /// This many entries are ahead of it.
    pub ahead: usize,
    /// No entry ahead of it expires before this time has passed, but one may leave.
    pub recheck: Duration,
    /// This instance has the first entry of the queue, with that entry's token and time.
    pub held: Held,
}

impl Queued {
    /// Describes the entry with that token, of which that much time is left, and what is ahead of
    /// it.
    #[must_use]
    pub const fn new(
        token: FencingToken,
        left: Duration,
        ahead: usize,
        recheck: Duration,
        held: Held,
    ) -> Self {
        Self { token, left, ahead, recheck, held }
    }
}

/// The name is held by another lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// This instance holds the name.
    pub holder: Holder,
    /// Its grant has this fencing token.
    pub token: FencingToken,
    /// The lease lasts this much longer, unless it is renewed or released.
    pub left: Duration,
}

impl Held {
    /// Says that this instance holds the name, for that much longer.
    #[must_use]
    pub const fn new(holder: Holder, token: FencingToken, left: Duration) -> Self {
        Self { holder, token, left }
    }
}

/// The renewal of one lease has one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RenewOutcome {
    /// The lease was extended. It is in force, or that of an entry that holds the lock.
    #[non_exhaustive]
    Extended {
        /// The lease lasts this much longer, counted from the store's decision.
        left: Duration,
        /// This is the smallest token whose holder may still use the lock, for an entry of a queue.
        floor: Option<FencingToken>,
    },
    /// The entry was extended, and waits in the queue of the name.
    #[non_exhaustive]
    Queued {
        /// The entry lasts this much longer, counted from the store's decision.
        left: Duration,
        /// This many entries are ahead of it.
        ahead: usize,
        /// No entry ahead of it expires before this time has passed, but one may leave.
        recheck: Duration,
    },
    /// No lease of that id is in force: it expired, was released or never existed.
    Lost,
    /// The store does not know whether it extended the lease: the caller retries.
    #[non_exhaustive]
    Unknown {
        /// This describes the failure.
        why: String,
    },
    /// The lease is in force but was not extended, because its holder has to stop.
    #[non_exhaustive]
    Disabled {
        /// The operator gave this reason.
        reason: Reason,
        /// The lease lasts this much longer, and the holder has to stop within that time.
        left: Duration,
    },
}

impl RenewOutcome {
    /// Says that the lease was [extended](Self::Extended) and has that much time left.
    #[must_use]
    pub const fn extended(left: Duration) -> Self {
        Self::Extended { left, floor: None }
    }

    /// Says that the entry was extended, that it holds the lock, and that this is the smallest token
    /// whose holder may still use it.
    #[must_use]
    pub const fn extended_entry(left: Duration, floor: FencingToken) -> Self {
        Self::Extended { left, floor: Some(floor) }
    }

    /// Says that the entry was extended and [waits](Self::Queued).
    #[must_use]
    pub const fn queued(left: Duration, ahead: usize, recheck: Duration) -> Self {
        Self::Queued { left, ahead, recheck }
    }

    /// Says that it is [unknown](Self::Unknown) whether the lease was extended.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// Says that the name is [disabled](Self::Disabled), and how much time the holder has left.
    #[must_use]
    pub const fn disabled(reason: Reason, left: Duration) -> Self {
        Self::Disabled { reason, left }
    }
}

/// A release has one of these outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseOutcome {
    /// The lease was in force and has ended.
    Released,
    /// No lease of that id was in force.
    NotHeld,
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
