//! A loss reason says why a lease was lost.

use std::fmt;

use crate::Reason;

/// A lease is lost for one of these reasons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// The lease was not renewed in time; another instance may hold the lock by now.
    Expired,
    /// The store no longer has the lease; another instance may hold the lock.
    Gone,
    /// An operator disabled the name. The time that is left of the lease is for stopping.
    Disabled {
        /// The operator gave this reason.
        reason: Reason,
    },
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the lease was not renewed in time"),
            Self::Gone => f.write_str("the store no longer has the lease"),
            Self::Disabled { reason } => write!(f, "the lock was disabled: {reason}"),
        }
    }
}
