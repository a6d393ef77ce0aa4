//! Lock records show people and programs the state of a name.

use std::time::Duration;

use serde::Serialize;

use crate::{
    EntryRecord, Error, ErrorKind, FencingToken, Holder, LeaseId, LockKind, LockName, QueueRecord,
    Reason, Result,
};

/// A lock record is what a store knows about one name at one moment on the store's clock.
///
/// A record may be outdated when it arrives, so no decision may depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LockRecord {
    /// The lock has this name.
    pub name: LockName,
    /// This is the token of the latest grant, whose lease may have ended; `None` means that there
    /// was no grant.
    pub token: Option<FencingToken>,
    /// The name is in use as this kind of lock; [`Exclusive`](LockKind::Exclusive) if it has no live
    /// entries.
    pub kind: LockKind,
    /// This is the lease in force of an exclusive lock; `None` means that nobody holds it.
    pub lease: Option<LeaseRecord>,
    /// These are the live entries of a lock of another kind; `None` if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueRecord>,
    /// The name is disabled if this is set.
    pub disabled: Option<Disablement>,
    /// The record cannot be read for this reason; the other fields are empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<String>,
}

impl LockRecord {
    /// Returns the record of a name that was never granted or disabled.
    #[must_use]
    pub fn unused(name: LockName) -> Self {
        Self {
            name,
            token: None,
            kind: LockKind::Exclusive,
            lease: None,
            queue: None,
            disabled: None,
            corrupt: None,
        }
    }

    /// Sets the live entries of the [queue](Self::queue), in any order, and the [kind](Self::kind) of
    /// the lock if there are any.
    #[must_use]
    pub fn with_queue(self, kind: LockKind, entries: Vec<EntryRecord>) -> Self {
        if entries.is_empty() {
            return Self { kind: LockKind::Exclusive, queue: None, ..self };
        }
        Self { kind, queue: Some(QueueRecord::new(kind, entries)), ..self }
    }

    /// Sets the [token](Self::token) of the latest grant.
    #[must_use]
    pub fn with_token(self, token: impl Into<Option<FencingToken>>) -> Self {
        Self { token: token.into(), ..self }
    }

    /// Sets the [lease](Self::lease) in force.
    #[must_use]
    pub fn with_lease(self, lease: impl Into<Option<LeaseRecord>>) -> Self {
        Self { lease: lease.into(), ..self }
    }

    /// Sets why the name is [disabled](Self::disabled).
    #[must_use]
    pub fn with_disabled(self, disabled: impl Into<Option<Disablement>>) -> Self {
        Self { disabled: disabled.into(), ..self }
    }

    /// Returns the record of a name whose record cannot be read, with the error.
    #[must_use]
    pub fn unreadable(name: LockName, error: &Error) -> Self {
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            why = format!("{why}: {source}");
            cause = source.source();
        }
        Self { corrupt: Some(why), ..Self::unused(name) }
    }

    /// Returns the record, or an error if it cannot be read.
    pub(crate) fn into_result(self) -> Result<Self> {
        match &self.corrupt {
            None => Ok(self),
            Some(why) => Err(Error::new(ErrorKind::Corrupt, why.clone())),
        }
    }

    /// Returns whether a lease of the name is in force, or an entry of its queue is live.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.lease.is_some() || self.queue.is_some()
    }

    /// Returns the state in one word.
    #[must_use]
    pub fn state(&self) -> LockState {
        if self.corrupt.is_some() {
            return LockState::Corrupt;
        }
        if let Some(queue) = &self.queue {
            let ending = queue.holders().iter().any(|entry| entry.ending.is_some());
            return if ending { LockState::Ending } else { LockState::Held };
        }
        match (&self.lease, &self.disabled) {
            (None, None) => LockState::Free,
            (None, Some(_)) => LockState::Disabled,
            (Some(lease), _) if lease.ending.is_some() => LockState::Ending,
            (Some(_), _) => LockState::Held,
        }
    }
}

/// The state describes a lock in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LockState {
    /// Nobody holds the lock.
    Free,
    /// An instance holds the lock.
    Held,
    /// An instance holds the lock and has been asked to stop.
    Ending,
    /// Nobody holds the lock, and it is not granted until it is enabled.
    Disabled,
    /// The store cannot read the record of the lock.
    Corrupt,
}

/// A lease record describes a lease in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaseRecord {
    /// The lease has this id, which is not serialized because it is the holder's secret proof.
    #[serde(skip)]
    pub id: LeaseId,
    /// This instance holds the lock.
    pub holder: Holder,
    /// The grant took place this long ago by the machine's or server's calendar clock, for display
    /// only.
    pub held_for: Duration,
    /// The lease lasts this much longer, unless it is renewed or released.
    pub left: Duration,
    /// The holder has to stop if this is set: its next renewal says so and does not extend the
    /// lease.
    pub ending: Option<Reason>,
}

impl LeaseRecord {
    /// Describes the lease of this instance, of which that much time is left. It was granted just
    /// now, and its holder need not stop.
    #[must_use]
    pub const fn new(id: LeaseId, holder: Holder, left: Duration) -> Self {
        Self { id, holder, held_for: Duration::ZERO, left, ending: None }
    }

    /// Sets the [time since the grant](Self::held_for).
    #[must_use]
    pub fn with_held_for(self, held_for: Duration) -> Self {
        Self { held_for, ..self }
    }

    /// Sets why the holder [has to stop](Self::ending).
    #[must_use]
    pub fn with_ending(self, ending: impl Into<Option<Reason>>) -> Self {
        Self { ending: ending.into(), ..self }
    }
}

/// A disablement describes why, since when and by whom a name is disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Disablement {
    /// The operator gave this reason.
    pub reason: Reason,
    /// This is the operator, if known.
    pub by: Option<String>,
    /// The name was disabled this long ago, for display only.
    pub since: Duration,
}

impl Disablement {
    /// Gives the operator's reason. The name was disabled just now by an unknown operator.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self { reason, by: None, since: Duration::ZERO }
    }

    /// Sets the [operator](Self::by).
    #[must_use]
    pub fn with_by(self, by: impl Into<Option<String>>) -> Self {
        Self { by: by.into(), ..self }
    }

    /// Sets the [time since the disable](Self::since).
    #[must_use]
    pub fn with_since(self, since: Duration) -> Self {
        Self { since, ..self }
    }
}
