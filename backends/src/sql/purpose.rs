//! The purpose of a call decides how its connection is chosen and whether it is repeated.

/// A call has one of these purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The call changes nothing.
    Read,
    /// The call asks for a lease; the lease's id makes it repeatable.
    Acquire,
    /// The call changes the record of a name, and its answer tells whether it did.
    Change,
    /// The call extends leases.
    Renew,
    /// The call ends a lease.
    Release,
    /// The call announces an instance or withdraws its announcement.
    Presence,
}

impl Purpose {
    /// Returns whether the call may be sent twice, since the second answer is as valid as the first
    /// or is known to leave the outcome [unknown](Self::repeat_may_find_nothing).
    pub(crate) fn is_repeatable(self) -> bool {
        match self {
            Self::Read | Self::Acquire | Self::Renew | Self::Release | Self::Presence => true,
            Self::Change => false,
        }
    }

    /// Returns whether a second call may find nothing to do because the first one has done it. Then
    /// its answer that nothing was done leaves the outcome unknown.
    pub(crate) fn repeat_may_find_nothing(self) -> bool {
        self == Self::Release
    }
}
