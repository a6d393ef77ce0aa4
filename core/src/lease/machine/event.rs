//! What a lease's machine is told.

use std::time::Duration;

use crate::{AcquireOutcome, Error, Grant, Moment, Reason, RenewOutcome};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The moment of [`Machine::next_tick`](super::Machine::next_tick) has come, or may have come.
    Tick,
    /// The store answered, or failed to answer, a [`Request::Acquire`](super::Request::Acquire).
    AcquireReplied {
        /// The moment just before the request was sent.
        sent: Moment,
        /// The answer.
        reply: AcquireReply,
    },
    /// The store answered, or failed to answer, a [`Request::Renew`](super::Request::Renew).
    RenewReplied {
        /// The moment just before the request was sent.
        sent: Moment,
        /// The answer.
        reply: RenewReply,
        /// This is true if another renewal was sent and is unanswered.
        under_way: bool,
    },
    /// A [`Request::Release`](super::Request::Release) ended.
    ReleaseReplied {
        /// This is true if the store confirmed the release.
        confirmed: bool,
    },
    /// The store hints that the name may have become free, disabled or enabled.
    Hint,
}

/// What came of a request for a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AcquireReply {
    /// The lease was granted to this attempt.
    Granted(Grant),
    /// Another lease is in force.
    Held {
        /// What is left of that lease.
        left: Duration,
    },
    /// The name is disabled.
    Disabled,
    /// The request failed, or its outcome is unknown.
    Failed,
}

impl From<&Result<AcquireOutcome, Error>> for AcquireReply {
    fn from(outcome: &Result<AcquireOutcome, Error>) -> Self {
        match outcome {
            Ok(AcquireOutcome::Granted(grant)) => Self::Granted(*grant),
            Ok(AcquireOutcome::Held(held)) => Self::Held { left: held.left },
            Ok(AcquireOutcome::Disabled(_)) => Self::Disabled,
            Err(_) => Self::Failed,
        }
    }
}

/// What came of a renewal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RenewReply {
    /// The lease was extended.
    Extended {
        /// What is left of the lease.
        left: Duration,
    },
    /// The lease is not in force any longer.
    Lost,
    /// The name was disabled, so the lease was not extended.
    Disabled {
        /// The reason that the operator gave.
        reason: Reason,
    },
    /// The renewal failed, or its outcome is unknown.
    Failed,
}

impl From<&Result<RenewOutcome, Error>> for RenewReply {
    fn from(outcome: &Result<RenewOutcome, Error>) -> Self {
        match outcome {
            Ok(RenewOutcome::Extended { left }) => Self::Extended { left: *left },
            Ok(RenewOutcome::Lost) => Self::Lost,
            Ok(RenewOutcome::Disabled { reason, .. }) => Self::Disabled { reason: reason.clone() },
            Ok(RenewOutcome::Unknown { .. }) | Err(_) => Self::Failed,
        }
    }
}
