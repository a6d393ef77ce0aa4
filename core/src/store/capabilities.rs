//! A store describes what it can do as data, which selects timings and conformance cases.

use std::time::Duration;

use serde::Serialize;

/// The capabilities describe what a store can do, and how.
///
/// Stores differ in nothing else that the contract covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The shortest lease that the store grants.
    pub min_ttl: Duration,
    /// A ttl is rounded up to a multiple of this duration.
    pub ttl_step: Duration,
    /// The clock by which leases expire.
    pub clock: StoreClock,
    /// The range within which clients share the same locks.
    pub reach: Reach,
    /// The way in which [`watch`](crate::LockStore::watch) notices a change.
    pub wake: Wake,
    /// The maximum number of leases in one call to [`renew`](crate::LockStore::renew).
    pub renew_batch: usize,
}

/// A store's leases expire by one clock, which every client shares.
///
/// The tokens of a store on a [`Server`](Self::Server) or [`Machine`](Self::Machine) clock grow
/// even if a record was deleted, which the suite tests: they follow a calendar clock, or a number
/// that the server increments. The calendar clock of the one machine is the store's own clock, so
/// it keeps the promise `server-time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreClock {
    /// The clock is the database server's.
    Server,
    /// The clock is that of the one machine on which all clients run.
    Machine,
    /// The clock is the process's own.
    Process,
}

/// The reach of a store is the range within which clients share the same locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Only the process that created the store sees the locks.
    Process,
    /// Every process of one machine sees the locks.
    Machine,
    /// Every machine that reaches the server sees the locks.
    Network,
}

/// A watch notices a change in one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wake {
    /// The store notifies the watch at once.
    Push,
    /// The watch polls at this interval.
    Poll(Duration),
}
