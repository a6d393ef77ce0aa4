//! This module defines the safety rules that can be removed to show that the model notices it.

/// This is a safety rule that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The holder trusts its lease until the end of the lease at the store.
    NoMargin,
    /// The store extends a lease that has expired. This breaks the store's own rule. No instance
    /// trusts such a lease, because trust that has ended does not return.
    RevivedLease,
    /// The store's renewal inserts a lease or overwrites another one.
    UpsertedRenewal,
    /// The store extends the lease of a name that was disabled.
    RenewedThoughDisabled,
    /// The lease is released when the job is asked to stop, and not after it has stopped.
    ReleaseBeforeStop,
    /// A retry of an attempt whose outcome is unknown has a new lease id.
    NewIdForRetry,
    /// An attempt is abandoned when it is refused, although an earlier request of it may still
    /// arrive.
    NewIdAfterRefusal,
    /// Trust is counted from the arrival of the reply, and not from the sending of the request.
    TrustFromReply,
    /// The lease of a job that was aborted is released, although its work may continue.
    ReleaseAfterAbort,
}

impl Mutation {
    /// These are all mutations.
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
