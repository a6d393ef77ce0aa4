//! Why a term ended.

use std::fmt;

use crate::Reason;
use crate::lease::LossReason;

/// Why a term ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to give up the lead, and stays a candidate.
    Resigned,
    /// It leaves the election.
    ShutDown,
    /// An operator disabled the name.
    Disabled {
        /// Why, as the operator wrote.
        reason: Reason,
    },
    /// The store says that the lease is no more; another may lead already.
    Lost,
    /// Heartbeats failed for too long to go on.
    HeartbeatsFailed,
    /// The work finished by itself; see [`Job::ends_when_start_returns`](super::Job::ends_when_start_returns).
    Finished,
    /// `start` failed or panicked.
    Failed {
        /// With this.
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
