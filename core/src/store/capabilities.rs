//! A store describes what it can do as data, by which timings and conformance cases are selected.

use std::time::Duration;

use serde::Serialize;

/// The capabilities describe what a store can do, and how.
///
/// The contract allows stores to differ in nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The store grants no lease that is shorter than this.
    pub min_ttl: Duration,
    /// A ttl is rounded up to a multiple of this duration.
    pub ttl_step: Duration,
    /// Leases expire by this clock.
    pub clock: StoreClock,
    /// Clients share the same locks within this range.
    pub reach: Reach,
    /// [`watch`](crate::LockStore::watch) notices a change in this way.
    pub wake: Wake,
    /// One call to [`renew`](crate::LockStore::renew),
    /// [`acquire_many`](crate::LockStore::acquire_many) or
    /// [`release_many`](crate::LockStore::release_many) has at most this many leases.
    pub renew_batch: usize,
    /// The store has queues: it implements [`enter`](crate::LockStore::enter) and
    /// [`leave`](crate::LockStore::leave), so that locks can be granted in order of arrival.
    pub queues: bool,
}

impl Capabilities {
    /// Describes a store with the values that most datastores have: leases of at least 50 ms in
    /// steps of 1 µs, and 500 renewals in one call.
    #[must_use]
    pub const fn new(clock: StoreClock, reach: Reach, wake: Wake) -> Self {
        Self {
            min_ttl: Duration::from_millis(50),
            ttl_step: Duration::from_micros(1),
            clock,
            reach,
            wake,
            renew_batch: 500,
            queues: false,
        }
    }

    /// Sets the [shortest lease](Self::min_ttl).
    #[must_use]
    pub const fn with_min_ttl(self, min_ttl: Duration) -> Self {
        Self { min_ttl, ..self }
    }

    /// Sets the [step](Self::ttl_step) of a ttl.
    #[must_use]
    pub const fn with_ttl_step(self, ttl_step: Duration) -> Self {
        Self { ttl_step, ..self }
    }

    /// Says that the store has [queues](Self::queues).
    #[must_use]
    pub const fn with_queues(self) -> Self {
        Self { queues: true, ..self }
    }

    /// Sets the [maximum number of leases](Self::renew_batch) in one call.
    #[must_use]
    pub const fn with_renew_batch(self, renew_batch: usize) -> Self {
        Self { renew_batch, ..self }
    }
}

/// A store's leases expire by one clock, which every client shares.
///
/// The tokens of a store on a [`Server`](Self::Server) or [`Machine`](Self::Machine) clock grow
/// even if a record was deleted, which the suite tests: they follow a calendar clock, or a number
/// that the server increments. The calendar clock of the one machine is the store's own clock, so
/// it keeps the promise `server-time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreClock {
    /// The clock is the database server's.
    Server,
    /// The clock is that of the one machine on which all clients run.
    ///
    /// Choose it also for a file that only one process at a time can open, because its records
    /// outlive the process.
    Machine,
    /// The clock is the process's own, and ends with it. The records must end with it too.
    Process,
}

/// The reach of a store is the range within which clients share the same locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reach {
    /// Only the process that created the store sees the locks. After it has ended, another process
    /// may find them in a file.
    Process,
    /// Every process of one machine sees the locks.
    Machine,
    /// Every machine that reaches the server sees the locks.
    Network,
}

/// A watch notices a change in one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Wake {
    /// The store notifies the watch at once.
    Push,
    /// The watch polls at this interval, or less often while it could find no change that a client
    /// waits for.
    Poll(Duration),
}
