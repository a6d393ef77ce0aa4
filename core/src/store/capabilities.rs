//! What a store can do, as data: it chooses timings and conformance cases.

use std::time::Duration;

use serde::Serialize;

/// What a store can do, and how.
///
/// Nothing of the contract differs between stores except what stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The shortest lease that the store grants.
    pub min_ttl: Duration,
    /// Leases are granted in whole steps of this; a ttl in between is rounded up.
    pub ttl_step: Duration,
    /// Whose clock leases run out by.
    pub clock: StoreClock,
    /// From how far away the same locks are seen.
    pub reach: Reach,
    /// How [`watch`](crate::LockStore::watch) learns of a change.
    pub wake: Wake,
    /// The most leases to hand to one [`renew`](crate::LockStore::renew).
    pub renew_batch: usize,
}

/// Whose clock leases run out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreClock {
    /// The database server's.
    Server,
    /// The one machine's on which all clients run.
    Machine,
    /// The process's own.
    Process,
}

/// From how far away the same locks are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Only within the process that made the store.
    Process,
    /// From every process of one machine.
    Machine,
    /// From every machine that reaches the server.
    Network,
}

/// How a watch learns of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wake {
    /// The store tells at once.
    Push,
    /// The watch looks again at this interval.
    Poll(Duration),
}
