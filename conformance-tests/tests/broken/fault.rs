//! This module defines the faults of broken stores.

/// This is one fault: a promise that the broken store does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two clients may both find the name free.
    ChecksThenGrants,
    /// A lease ends a little before the time that the store reported.
    EndsEarly,
    /// The token restarts when its lease is released.
    TokenRestartsAfterRelease,
    /// The token restarts when its lease expires.
    TokenRestartsAfterExpiry,
    /// The token restarts when its record is deleted.
    TokenRestartsAfterDeletion,
    /// A retry of an acquire gets a new token.
    RetryGrantsAgain,
    /// A retry of an acquire extends the lease.
    RetryExtends,
    /// A renewal revives a lease that has expired.
    RenewRevives,
    /// A renewal inserts a lease if there is none.
    RenewInserts,
    /// A renewal does not compare the lease's id.
    RenewIgnoresTheId,
    /// A renewal extends all leases of a batch when one is in force.
    RenewExtendsAll,
    /// A batch is answered in the order of names, not of the batch.
    BatchAnswersInAnotherOrder,
    /// A release does not compare the lease's id.
    ReleaseIgnoresTheId,
    /// Each client decides by its own clock, which differs from the others'.
    ClientClock,
    /// A write without a reply is reported as failed.
    UnknownIsCalledFailed,
    /// A release forgets that the name is disabled.
    ReleaseForgetsDisable,
    /// A renewal forgets that the name is disabled.
    RenewForgetsDisable,
    /// An acquire after expiry forgets that the name is disabled.
    GrantForgetsDisable,
    /// The holder continues to renew while its name is disabled.
    HolderOutlivesDisable,
    /// A disable and an enable between two heartbeats have no effect on the holder.
    EnableForgetsTheEnd,
    /// A later disable replaces the reason.
    DisableReplacesTheReason,
    /// Two disables at once may both find the name enabled.
    ChecksThenDisables,
    /// An enable of a name never used creates it.
    EnableInserts,
    /// The store never gives a hint.
    GivesNoHints,
    /// Heartbeats cause hints.
    HintsAtHeartbeats,
    /// Upper and lower case are the same.
    FoldsCase,
    /// White space at the end of a name is ignored.
    TrimsNames,
    /// The prefix of a list is treated as a pattern.
    PrefixIsAPattern,
    /// A list is in the order of creation instead of byte order.
    ListsInAnotherOrder,
    /// An acquire that is dropped before it ends leaves half of a grant.
    DroppedHalfway,
    /// A dropped call keeps its connection.
    DroppedCallLeaks,
    /// A ttl is not checked.
    GrantsAnyTtl,
    /// An acquire reads before it writes.
    AcquireTakesThreeTrips,
    /// A batch is renewed one by one.
    BatchTakesATripEach,
    /// A prune removes names that are held.
    PruneRemovesHeldNames,
    /// A prune removes names that are disabled.
    PruneForgetsDisable,
    /// A prune removes names that were granted recently.
    PruneIgnoresTheAge,
    /// A dry run removes names.
    DryRunPrunes,
    /// A namespace is truncated at 21 bytes.
    MixesUpNamespaces,
}
