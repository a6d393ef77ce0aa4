//! This module defines the rules of queues that can be removed to show that the model notices it.

/// This is a rule of queues that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The holder trusts its entry until the end of the entry at the store.
    NoMargin,
    /// Trust is counted from the arrival of the reply, and not from the sending of the request.
    TrustFromReply,
    /// A retry that finds its entry is trusted for a whole ttl, whatever is left of the entry.
    IgnoresTimeLeft,
    /// An entry that waits is trusted like one that holds the lock.
    TrustsWaitingEntry,
    /// A waiter takes no grant from the reply to a renewal: it needs a hint, which may be lost.
    NeedsHint,
    /// A retry of an attempt whose outcome is unknown has a new lease id.
    NewIdForRetry,
    /// The store extends an entry that has expired.
    RevivedEntry,
    /// The store gives a new entry the token of the latest one.
    RepeatedToken,
    /// A retry makes another entry, although its attempt has one.
    SecondEntry,
    /// An entry for which there is room holds the lock, although an earlier one waits.
    SkipsHead,
    /// An entry that has expired still counts.
    CountsExpired,
}

impl Mutation {
    /// These are all mutations.
    pub const ALL: [Self; 11] = [
        Self::NoMargin,
        Self::TrustFromReply,
        Self::IgnoresTimeLeft,
        Self::TrustsWaitingEntry,
        Self::NeedsHint,
        Self::NewIdForRetry,
        Self::RevivedEntry,
        Self::RepeatedToken,
        Self::SecondEntry,
        Self::SkipsHead,
        Self::CountsExpired,
    ];
}
