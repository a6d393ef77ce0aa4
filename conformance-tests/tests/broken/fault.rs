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
    /// The weights of entries are ignored.
    IgnoresWeights,
    /// An entry that fits holds the lock although a heavier one waits ahead of it.
    LightEntriesOvertake,
    /// Two attempts to enter at once may both find the same queue, and the later one replaces it.
    ChecksThenEnters,
    /// A retry of an attempt to enter makes another entry.
    RetryEntersAgain,
    /// A retry of an attempt to enter extends its entry.
    RetryExtendsTheEntry,
    /// A retry of an attempt to enter reports the whole ttl, although less is left.
    RetryReportsTheWholeTtl,
    /// An attempt that does not wait makes an entry that waits.
    WaitsAnyway,
    /// A queue has no maximum of entries.
    QueueHasNoMaximum,
    /// An attempt to enter with an impossible weight is accepted.
    EntersWithAnyWeight,
    /// Another kind of lock can enter the queue.
    MixesKinds,
    /// An attempt to enter ignores the lease of an exclusive lock.
    EnterIgnoresTheLease,
    /// An acquire ignores the entries of a queue.
    AcquireIgnoresEntries,
    /// The tokens of entries are those of the queue, not of the name.
    EntryTokensRestart,
    /// The floor is the token of the entry itself.
    FloorIsTheOwnToken,
    /// An attempt to enter ignores that the name is disabled.
    EnterForgetsDisable,
    /// A disable tells only the holders to leave.
    DisableForgetsWaiters,
    /// An enable cancels that entries have to leave.
    EnableForgetsEntries,
    /// Entries that have expired hold up the others.
    DeadEntriesBlock,
    /// A renewal revives an entry that has expired.
    RenewRevivesEntries,
    /// A renewal of a waiter extends nothing.
    WaitersAreNotExtended,
    /// A renewal says that a waiter holds the lock.
    RenewGrantsWaiters,
    /// A batch is answered with its leases first and its entries last.
    BatchAnswersEntriesLast,
    /// A leave does not compare the lease's id.
    LeaveIgnoresTheId,
    /// A waiter that leaves stays in the queue.
    LeaveKeepsWaiters,
    /// A release removes an entry.
    ReleaseRemovesEntries,
    /// The hint of a leave names the lease that left.
    HintNamesTheLeaver,
}
