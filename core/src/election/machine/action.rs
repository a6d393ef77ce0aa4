//! What a machine wants done.

use std::time::Duration;

use super::super::StopReason;
use crate::engine::Beat;
use crate::{FencingToken, Moment};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Ask the store for the lease. One [`Event::Asked`](super::Event::Asked) follows.
    Ask(Attempt),
    /// Renew the lease at this beat. The renewal replaces one that was not sent yet; renewals that
    /// were sent stay under way. If as many are under way as there may be (one more than the
    /// retries, at least two), it replaces the newest of them. At most one
    /// [`Event::Renewed`](super::Event::Renewed) follows for each renewal that is sent.
    Renew(Beat),
    /// Give back the lease of the latest attempt, with this much time for the call. One
    /// [`Event::Released`](super::Event::Released) follows.
    Release(Duration),
    /// A term begins: call the job's `start`.
    Start {
        /// The term.
        token: FencingToken,
        /// Until when the lease may be trusted.
        deadline: Moment,
    },
    /// The lease may be trusted until then.
    Trust(Moment),
    /// The lease is not to be trusted from now on.
    Distrust,
    /// The term ends: cancel what `start` does and call the job's `stop`.
    Stop(StopReason),
    /// The lease is over: abort what `start` left running. `stop` goes on.
    AbortStart,
    /// The grace is over: abort what is left of `start` and `stop`.
    AbortAll,
    /// Never release the lease of this term: aborted work that does not await may go on, so the
    /// lease must run out before another instance leads.
    LetExpire,
}

/// Which lease an [`Action::Ask`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// A new one, under a lease id of its own.
    New,
    /// The one of the last attempt, under the same lease id, since it may have been granted
    /// already.
    Same,
}

/// When a machine wants its next [`Event::Tick`](super::Event::Tick).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wake {
    /// Not before this moment.
    pub at: Moment,
    /// And within this time after it, at random, so that instances do not all act at once.
    pub spread: Duration,
}
