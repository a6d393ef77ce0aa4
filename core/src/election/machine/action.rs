//! An election's machine returns these actions.

use super::super::StopReason;
use crate::lease::machine::Request;
use crate::{FencingToken, Moment};

/// An action is one step that the driver of a machine has to take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send this request to the store.
    Send(Request),
    /// A term begins: call the job's `start`.
    Start {
        /// The term has this token.
        token: FencingToken,
        /// The lease may be trusted until this moment.
        deadline: Moment,
    },
    /// The lease may be trusted until this moment.
    ExtendTrust(Moment),
    /// The lease must not be trusted from now on.
    EndTrust,
    /// The term ends: cancel the work of `start` and call the job's `stop`.
    Stop(StopReason),
    /// The lease has ended: abort `start` if it still runs. `stop` continues.
    AbortStart,
    /// The grace has ended: abort `start` and `stop` if they still run.
    AbortJob,
    /// Never release the lease of this term: aborted work that does not await may continue, so the
    /// lease must expire before another instance leads.
    NeverRelease,
}
