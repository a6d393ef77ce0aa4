//! What a store knows of a name, to be shown to people and programs.

use std::time::Duration;

use serde::Serialize;

use crate::{Error, ErrorKind, FencingToken, Holder, LeaseId, LockName, Reason, Result};

/// Everything that a store knows of one name, as of one moment on its clock.
///
/// It is old when it arrives: nothing may be decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockRecord {
    /// The lock.
    pub name: LockName,
    /// The token of the latest grant, which may have ended; none before the first.
    pub token: Option<FencingToken>,
    /// The lease in force, if any.
    pub lease: Option<LeaseRecord>,
    /// Set while an operator keeps the name from being granted.
    pub disabled: Option<Disablement>,
    /// Says why the record cannot be read, if so; the other fields are empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<String>,
}

impl LockRecord {
    /// A name that was never granted or disabled.
    #[must_use]
    pub fn unused(name: LockName) -> Self {
        Self { name, token: None, lease: None, disabled: None, corrupt: None }
    }

    /// Describes a name whose record cannot be read, and why.
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

    /// The state in one word.
    #[must_use]
    pub fn state(&self) -> LockState {
        if self.corrupt.is_some() {
            return LockState::Corrupt;
        }
        match (&self.lease, &self.disabled) {
            (None, None) => LockState::Free,
            (None, Some(_)) => LockState::Disabled,
            (Some(lease), _) if lease.ending.is_some() => LockState::Ending,
            (Some(_), _) => LockState::Held,
        }
    }
}

/// The state of a lock in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// Nobody holds it.
    Free,
    /// Somebody holds it.
    Held,
    /// Somebody holds it and has been told to stop.
    Ending,
    /// Nobody holds it, and it is granted to nobody.
    Disabled,
    /// The store cannot read its record.
    Corrupt,
}

/// A lease in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseRecord {
    /// Which one; not shown to people, since it proves the holder's right.
    #[serde(skip)]
    pub id: LeaseId,
    /// Who holds it.
    pub holder: Holder,
    /// Since when, as a duration; by the machine's or server's calendar clock, for display only.
    pub held_for: Duration,
    /// What is left of it, unless it is renewed or released.
    pub left: Duration,
    /// Set when the holder is to stop: its next renew answers so and does not extend.
    pub ending: Option<Reason>,
}

/// A name that an operator disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disablement {
    /// Why.
    pub reason: Reason,
    /// Who said so, as far as they told.
    pub by: Option<String>,
    /// Since when, as a duration, for display only.
    pub since: Duration,
}
