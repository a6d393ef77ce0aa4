//! A lease's machine returns these actions.

use std::time::Duration;

use super::super::{LossReason, RenewalWindow};
use crate::{FencingToken, Moment};

/// An action is one step that the driver of a machine has to take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send this request to the store.
    Send(Request),
    /// The lease is held from now on.
    Granted {
        /// The grant has this token.
        token: FencingToken,
        /// The lease may be trusted until this moment.
        deadline: Moment,
    },
    /// The lease may be trusted until this moment.
    ExtendTrust(Moment),
    /// The lease is lost. It is not renewed from now on, and the holder has to stop its work.
    Lost {
        /// The lease is lost for this reason.
        reason: LossReason,
        /// The lease could be trusted until this moment if nothing else were known. A lease that is
        /// [`Gone`](LossReason::Gone) must not be trusted from now on.
        deadline: Moment,
    },
}

/// The machine makes these requests to the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// The driver acquires the lease. One [`Event::AcquireReplied`](super::Event::AcquireReplied)
    /// follows.
    Acquire(AttemptKind),
    /// The driver renews the lease within this window. The renewal replaces one that was not sent
    /// yet; renewals that were sent continue. If the maximum is in progress (one more than the
    /// retries, at least three), it replaces the second oldest of them. At most one
    /// [`Event::RenewReplied`](super::Event::RenewReplied) follows for each renewal that is sent.
    Renew(RenewalWindow),
    /// The driver releases the lease of the latest attempt, with this much time for the call. One
    /// [`Event::ReleaseReplied`](super::Event::ReleaseReplied) follows.
    Release(Duration),
}

/// An attempt id selects the lease id under which a [`Request::Acquire`] is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptKind {
    /// The request gets a new id. If the latest attempt may have been granted, it is released in
    /// the background.
    New,
    /// The request keeps the id of the latest attempt, because that may have been granted already.
    Retry,
}

/// The next tick says when a machine needs its next [`Event::Tick`](super::Event::Tick).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextTick {
    /// The tick does not come before this moment.
    pub at: Moment,
    /// The tick comes at a random moment within this time after `at`, so that instances do not all
    /// act at once.
    pub jitter: Duration,
}

impl NextTick {
    /// Returns a tick at exactly that moment.
    pub(crate) fn exactly(at: Moment) -> Self {
        Self { at, jitter: Duration::ZERO }
    }
}
