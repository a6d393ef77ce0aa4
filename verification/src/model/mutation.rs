//! Safety rules that can be removed, to show that the model misses them.

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The holder trusts its lease until the store lets it go.
    NoMargin,
    /// The store extends a lease that has run out. It breaks the store's own rule; no instance
    /// comes to trust such a lease, since trust that is over does not come back.
    RevivedLease,
    /// The store's renewal inserts or overwrites what is there.
    UpsertedRenewal,
    /// The store extends the lease of a name that was disabled.
    RenewedThoughDisabled,
    /// The lease is released when the job is told to stop, not when it has.
    ReleaseBeforeStop,
    /// A retry of an attempt whose outcome is unknown has a lease id of its own.
    NewIdForRetry,
    /// An attempt is given up when it is refused, though an earlier request of it may arrive yet.
    NewIdAfterRefusal,
    /// Trust is counted from when the answer came, not from when the request went out.
    TrustFromReply,
    /// The lease of a job that was aborted is released, although its work may go on.
    ReleaseAfterAbort,
}

impl Mutation {
    /// Each of them.
    pub const ALL: [Self; 9] = [
        Self::NoMargin,
        Self::RevivedLease,
        Self::UpsertedRenewal,
        Self::RenewedThoughDisabled,
        Self::ReleaseBeforeStop,
        Self::NewIdForRetry,
        Self::NewIdAfterRefusal,
        Self::TrustFromReply,
        Self::ReleaseAfterAbort,
    ];
}
