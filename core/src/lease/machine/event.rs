//! A lease's machine handles these events.

use std::time::Duration;

use crate::{AcquireOutcome, Error, FencingToken, Grant, Moment, Reason, RenewOutcome};

/// An event tells the machine what happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The moment of [`Machine::next_tick`](super::Machine::next_tick) has come, or may have come.
    Tick,
    /// A [`Request::Acquire`](super::Request::Acquire) got a reply or failed.
    AcquireReplied {
        /// The request was sent just after this moment.
        sent: Moment,
        /// The store gave this reply.
        reply: AcquireReply,
    },
    /// A [`Request::Renew`](super::Request::Renew) got a reply or failed.
    RenewReplied {
        /// The request was sent just after this moment.
        sent: Moment,
        /// The store gave this reply.
        reply: RenewReply,
        /// This is true if another renewal was sent and has no reply yet.
        in_flight: bool,
    },
    /// A [`Request::Release`](super::Request::Release) ended.
    ReleaseReplied {
        /// This is true if the store confirmed the release.
        confirmed: bool,
    },
    /// The store hints that the name may have become free, disabled or enabled. After a gap in the
    /// hints it may have changed without one, which counts as a hint.
    Hint,
    /// From now on there are hints, and a change before that caused none; or there are no hints from
    /// now on. A waiter asks again. A lease that is held is renewed when it is due: its next
    /// heartbeat tells of every change.
    WatchChanged,
}

/// An acquire gets one of these replies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AcquireReply {
    /// The lease was granted to this attempt.
    Granted(Grant),
    /// This attempt has an entry in the queue of the name, which waits.
    Queued {
        /// The entry has this token, which it keeps when it holds the lock.
        token: FencingToken,
        /// The entry lasts this much longer.
        left: Duration,
        /// No entry ahead of it expires before this time has passed.
        recheck: Duration,
    },
    /// Another lease is in force.
    Held {
        /// That lease lasts this much longer.
        left: Duration,
        /// The store is watched, so that a release normally causes a hint.
        watched: bool,
    },
    /// The name is disabled.
    Disabled,
    /// The request failed, or its outcome is unknown.
    Failed,
}

impl AcquireReply {
    /// Returns the reply in that outcome, which came while hints were received or not.
    pub(crate) fn new(outcome: &Result<AcquireOutcome, Error>, watched: bool) -> Self {
        match outcome {
            Ok(AcquireOutcome::Granted(grant)) => Self::Granted(*grant),
            Ok(AcquireOutcome::Queued(queued)) => {
                Self::Queued { token: queued.token, left: queued.left, recheck: queued.recheck }
            }
            Ok(AcquireOutcome::Held(held)) => Self::Held { left: held.left, watched },
            Ok(AcquireOutcome::Disabled(_)) => Self::Disabled,
            Err(_) => Self::Failed,
        }
    }
}

/// A renewal gets one of these replies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RenewReply {
    /// The lease was extended. It is in force, or that of an entry that holds the lock.
    Extended {
        /// The lease lasts this much longer.
        left: Duration,
    },
    /// The entry was extended, and waits.
    Queued {
        /// The entry lasts this much longer.
        left: Duration,
        /// No entry ahead of it expires before this time has passed.
        recheck: Duration,
    },
    /// The lease is no longer in force.
    Lost,
    /// The name was disabled, so the lease was not extended.
    Disabled {
        /// The operator gave this reason.
        reason: Reason,
    },
    /// The renewal failed, or its outcome is unknown.
    Failed,
}

impl From<&Result<RenewOutcome, Error>> for RenewReply {
    fn from(outcome: &Result<RenewOutcome, Error>) -> Self {
        match outcome {
            Ok(RenewOutcome::Extended { left, .. }) => Self::Extended { left: *left },
            Ok(RenewOutcome::Queued { left, recheck, .. }) => {
                Self::Queued { left: *left, recheck: *recheck }
            }
            Ok(RenewOutcome::Lost) => Self::Lost,
            Ok(RenewOutcome::Disabled { reason, .. }) => Self::Disabled { reason: reason.clone() },
            Ok(RenewOutcome::Unknown { .. }) | Err(_) => Self::Failed,
        }
    }
}
