//! This module defines the rules of the fence that can be removed to show that the model notices it.

/// This is a rule of the fence that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A raise sets no intent.
    NoIntent,
    /// A raise sets its intent in the transaction that sets the row, so that checks see it too late.
    IntentWithRow,
    /// A raise sets its intent even where that of a newer term is set.
    LoweredIntent,
    /// A raise sets the row even where a newer term has raised.
    LoweredRow,
    /// A raise returns once its intent is set.
    ReturnsAfterIntent,
    /// A raise returns without an error when its limit is over.
    ReturnsAtLimit,
    /// A check reads the row without locking it.
    NoLock,
    /// A check decides by the row as it was before the lock was granted.
    StaleRow,
    /// A check accepts the row of an older term.
    OlderRowAccepted,
    /// A check locks the row exclusively, as an `ON CONFLICT DO UPDATE` does that changes nothing.
    ExclusiveLock,
    /// A check locks the row shared, and then exclusively.
    UpgradedLock,
    /// A check also locks the row of the lock, which heartbeats update.
    LocksLockRow,
    /// A check decides by the newest row, but takes the transaction's snapshot before its lock.
    SnapshotBeforeLock,
    /// A transaction reads the application's data before its check.
    ReadBeforeCheck,
}
