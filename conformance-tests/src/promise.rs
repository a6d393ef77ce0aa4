//! The promises that the cases verify, by the names that the documentation of core lists.

use std::fmt::{self, Write as _};

/// A promise of a store or of a client.
///
/// The documentation of [`LockStore`](leasehold_core::LockStore) and of
/// [`Client`](leasehold_core::Client) states each of them under the name that `Display` writes,
/// such as `own-retry-is-granted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Promise {
    /// A name has at most one unexpired lease.
    Exclusion,
    /// The tokens of a name increase from grant to grant.
    TokensGrow,
    /// A retry of an acquire returns the same grant.
    OwnRetryIsGranted,
    /// Only an unexpired lease of the given id is renewed.
    RenewOnlyInForce,
    /// Only the lease of the given id is released.
    ReleaseOnlyOwn,
    /// No decision uses a calendar clock of a client.
    ServerTime,
    /// A write without a reply reports that its outcome is unknown.
    UnknownIsNotFailed,
    /// A disabled name is granted to nobody, and its holder is told to stop.
    DisableWins,
    /// A watch wakes waiters early, and nothing depends on it.
    HintsOnly,
    /// Names are compared byte for byte.
    ExactNames,
    /// A dropped call leaves the store as before or as after the operation.
    CancelSafe,
    /// A batch answers each lease separately.
    OneAnswerPerLease,
    /// An uncontended operation takes one round trip.
    OneRoundTrip,
    /// One atomic operation decides each call.
    Atomic,
    /// A store with its schema in place needs no permission to change it.
    LeastRights,
    /// Namespaces share no locks.
    SeparateNamespaces,
    /// A store can be built on the application's own pool.
    OwnPool,
    /// Reads and listings show what is known of each name.
    ReadableRecords,
    /// Only records of unused names are pruned.
    PruneOnlyUnused,
    /// An impossible ttl is refused, and a possible one is granted.
    CheckedInput,
    /// Instances that announce themselves are listed.
    KnownInstances,
    /// The entries of a queue hold the lock in the order of their tokens, within the capacity.
    QueueOrder,
    /// An entry that has left or expired holds nothing and holds nobody up.
    EntriesEnd,
    /// A name in use as one kind of lock is refused as another.
    OneKind,
    /// Each call ends, and the store works again once its server works again.
    CallsEnd,
    /// A client's trust in a lease ends before the lease.
    TrustEndsFirst,
    /// A job has stopped before another instance starts it.
    StopBeforeOthersStart,
    /// Each started term is stopped exactly once.
    OneStopPerStart,
    /// A name is taken over as soon as possible.
    PromptTakeover,
    /// The leases of a client share one heartbeat and one watch.
    SharedHeartbeats,
    /// An uncontended lock costs two calls.
    UncontendedLocks,
    /// The tasks of one client get a lock in the order in which they began to wait.
    WaitersInOrder,
    /// Contradictory settings are refused.
    SettingsAgree,
    /// The state machines depend on their events and on the given time alone.
    PureMachine,
    /// An unanswered renewal is repeated in time.
    RenewalsAreRepeated,
    /// Heartbeats do not depend on the application's threads.
    IndependentHeartbeats,
    /// A wait for a lock ends at its time limit.
    WaitsEnd,
    /// Cancelled calls and dropped guards leave no lock held.
    NothingLeftHeld,
    /// An observer sees who leads.
    ObserversFollow,
}

impl Promise {
    /// Returns the type of `leasehold_core` whose documentation states the promise.
    #[must_use]
    pub fn stated_by(self) -> &'static str {
        match self {
            Self::TrustEndsFirst
            | Self::StopBeforeOthersStart
            | Self::OneStopPerStart
            | Self::PromptTakeover
            | Self::SharedHeartbeats
            | Self::UncontendedLocks
            | Self::WaitersInOrder
            | Self::SettingsAgree
            | Self::PureMachine
            | Self::RenewalsAreRepeated
            | Self::IndependentHeartbeats
            | Self::WaitsEnd
            | Self::NothingLeftHeld
            | Self::ObserversFollow => "Client",
            _ => "LockStore",
        }
    }
}

impl fmt::Display for Promise {
    /// Writes the variant's name in lower case with hyphens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in format!("{self:?}").char_indices() {
            if index > 0 && letter.is_ascii_uppercase() {
                f.write_char('-')?;
            }
            f.write_char(letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_in_lower_case_with_hyphens() {
        assert_eq!(Promise::Exclusion.to_string(), "exclusion");
        assert_eq!(Promise::OwnRetryIsGranted.to_string(), "own-retry-is-granted");
    }
}
