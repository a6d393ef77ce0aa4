//! A stop reason says why a term ended.

use std::fmt;

use crate::Reason;
use crate::lease::LossReason;

/// A term ends for one of these reasons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The leader was asked to give up the lead, and stays a candidate.
    Resigned,
    /// The instance leaves the election.
    ShutDown,
    /// An operator disabled the name.
    Disabled {
        /// The operator gave this reason.
        reason: Reason,
    },
    /// The store no longer has the lease; another instance may lead already.
    Lost,
    /// Heartbeats failed for too long.
    HeartbeatsFailed,
    /// A newer term has raised the [fence](super::Election::fence).
    Stale,
    /// The work finished; see
    /// [`Job::ends_when_start_returns`](super::Job::ends_when_start_returns).
    Finished,
    /// `start` failed or panicked.
    Failed {
        /// `start` returned this error, or panicked with this message.
        error: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resigned => f.write_str("resigned"),
            Self::ShutDown => f.write_str("shut down"),
            Self::Disabled { reason } => write!(f, "disabled: {reason}"),
            Self::Lost => f.write_str("the lease was lost"),
            Self::HeartbeatsFailed => f.write_str("heartbeats failed"),
            Self::Stale => f.write_str("a newer term has raised the fence"),
            Self::Finished => f.write_str("finished"),
            Self::Failed { error } => write!(f, "start failed: {error}"),
        }
    }
}

impl From<LossReason> for StopReason {
    fn from(reason: LossReason) -> Self {
        match reason {
            LossReason::Expired => Self::HeartbeatsFailed,
            LossReason::Gone => Self::Lost,
            LossReason::Disabled { reason } => Self::Disabled { reason },
        }
    }
}
