//! Why a lease cannot be kept.

use std::fmt;

use crate::Reason;

/// Why a lease cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// It was not renewed in time; by now another may hold the lock.
    Expired,
    /// The store says that it is no more; another may hold the lock.
    Gone,
    /// An operator disabled the name. The lease still runs, to stop in.
    Disabled {
        /// Why, as the operator wrote.
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
