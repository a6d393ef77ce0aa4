//! The limits of peers that need a connection for each lock and each waiter.

/// A peer that needs a connection for each waiter has at most this many, which every server's
/// default limit allows beside the other contenders.
pub(super) const CONNECTIONS: u32 = 72;
