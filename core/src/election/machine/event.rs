//! What a machine is told.

use std::time::Duration;

use crate::{AcquireOutcome, Error, Grant, Moment, Reason, RenewOutcome};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The moment of [`Machine::wake`](super::Machine::wake) has come, or may have.
    Tick,
    /// The store answered, or failed to answer, an [`Action::Ask`](super::Action::Ask) that was sent at `sent`.
    Asked {
        /// Just before the request went out.
        sent: Moment,
        /// The answer.
        reply: AskReply,
    },
    /// The store answered, or failed to answer, an [`Action::Renew`](super::Action::Renew).
    Renewed {
        /// Just before the request went out.
        sent: Moment,
        /// The answer.
        reply: RenewReply,
        /// This is true if another renewal was sent and is unanswered.
        under_way: bool,
    },
    /// An [`Action::Release`](super::Action::Release) came to its end: whether the store has confirmed it.
    Released(bool),
    /// The job's `start` failed or panicked.
    StartFailed(String),
    /// The job's work finished by itself.
    Finished,
    /// The job's `start` and `stop` have both come to their end, aborted or not.
    JobEnded,
    /// The store hints that the name may have become free, disabled or enabled.
    Hint,
    /// The leader is to give up the lead, and stay a candidate.
    Resign,
    /// This instance is to leave the election.
    ShutDown,
    /// The application's runtime is gone, and with it the job's tasks: this instance must leave the
    /// election.
    RuntimeGone,
}

/// What an ask came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AskReply {
    /// The lease is ours.
    Granted(Grant),
    /// Another's lease is in the way.
    Held {
        /// For how much longer.
        left: Duration,
    },
    /// The name is disabled.
    Disabled,
    /// It failed, or its outcome is unknown.
    Failed,
}

impl From<&Result<AcquireOutcome, Error>> for AskReply {
    fn from(outcome: &Result<AcquireOutcome, Error>) -> Self {
        match outcome {
            Ok(AcquireOutcome::Granted(grant)) => Self::Granted(*grant),
            Ok(AcquireOutcome::Held(held)) => Self::Held { left: held.left },
            Ok(AcquireOutcome::Disabled(_)) => Self::Disabled,
            Err(_) => Self::Failed,
        }
    }
}

/// What a heartbeat came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RenewReply {
    /// The lease was extended.
    Extended {
        /// What is left of it.
        left: Duration,
    },
    /// The lease is no more.
    Lost,
    /// The name was disabled and the lease not extended.
    Disabled {
        /// Why, as the operator wrote.
        reason: Reason,
    },
    /// It failed, or its outcome is unknown.
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
