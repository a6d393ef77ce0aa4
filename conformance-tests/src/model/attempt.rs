//! This module defines the attempt that makes a call, and the reply to it.

use leasehold_core::{AcquireOutcome, Holder, LeaseId, LockKind};

/// An attempt is made by a candidate for a name. The number identifies the candidate in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) number: usize,
    pub(crate) id: LeaseId,
    pub(crate) holder: Holder,
}

/// This is what a store says to an attempt to acquire a name or to enter its queue.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Outcome(AcquireOutcome),
    /// The name is in use as another kind of lock, according to this message.
    Conflict(String),
}

/// This is the answer to a call, or `None` if it was lost.
pub(super) type Reply<'a, T> = Option<&'a T>;

/// Returns whether the answer, if it was received, is this one.
macro_rules! answers {
    ($reply:expr, $answer:pat $(if $agrees:expr)?) => {
        match $reply {
            None => true,
            Some($answer) => true $(&& $agrees)?,
            Some(_) => false,
        }
    };
}
pub(super) use answers;

/// Returns whether the message of a conflict names the kind of the lock that is in use, and the
/// kind that was requested.
pub(super) fn names_both(message: &str, found: LockKind, requested: LockKind) -> bool {
    message.contains(&format!("in use as {found}"))
        && message.contains(&format!("used as {requested}"))
}
