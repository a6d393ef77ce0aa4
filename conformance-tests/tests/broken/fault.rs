//! What can be wrong with a store.

/// One fault: a promise that the broken store does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two clients may both find the name free.
    ChecksThenGrants,
    /// A lease ends a little before the store said.
    EndsEarly,
    /// The token starts over when its lease is released.
    TokenRestartsAfterRelease,
    /// The token starts over when its lease ran out.
    TokenRestartsAfterExpiry,
    /// The token starts over when its record is deleted.
    TokenRestartsAfterDeletion,
    /// A retry of an acquire gets a new token.
    RetryIsANewGrant,
    /// A retry of an acquire extends the lease.
    RetryExtends,
    /// A renewal revives a lease that ran out.
    RenewRevives,
    /// A renewal inserts a lease where there is none.
    RenewInserts,
    /// A renewal does not compare the lease's id.
    RenewIgnoresTheId,
    /// A renewal extends all leases of a batch when one is in force.
    RenewExtendsAll,
    /// A batch is answered in the order of names, not of the batch.
    BatchAnswersInAnotherOrder,
    /// A release does not compare the lease's id.
    ReleaseIgnoresTheId,
    /// Each client decides by its own clock, which is not the others'.
    ClientClock,
    /// A write without a reply is said to have failed.
    UnknownIsCalledFailed,
    /// A release forgets that the name is disabled.
    ReleaseForgetsDisable,
    /// A renewal forgets that the name is disabled.
    RenewForgetsDisable,
    /// An acquire after expiry forgets that the name is disabled.
    GrantForgetsDisable,
    /// The holder renews on while its name is disabled.
    HolderOutlivesDisable,
    /// A disable and an enable between two heartbeats go unnoticed.
    EnableForgetsTheEnd,
    /// A later disable replaces the reason.
    DisableReplacesTheReason,
    /// Two disables at once may both find the name enabled.
    ChecksThenDisables,
    /// An enable of a name never used creates it.
    EnableInserts,
    /// No hint is ever given.
    GivesNoHints,
    /// Heartbeats are hinted at.
    HintsAtHeartbeats,
    /// Upper and lower case are the same.
    FoldsCase,
    /// White space at the end of a name does not count.
    TrimsNames,
    /// The prefix of a list is a pattern.
    PrefixIsAPattern,
    /// A list is in the order of no collation but creation.
    ListsInAnotherOrder,
    /// An acquire that is dropped halfway leaves half of a grant.
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
    /// A prune removes names that were granted lately.
    PruneIgnoresTheAge,
    /// A dry run removes names.
    DryRunPrunes,
    /// A namespace is cut off at 21 bytes.
    MixesUpNamespaces,
}
