//! What a worker is told, and what it reports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counting_store::Calls;

/// A job names the server and the library to use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) url: String,
    pub(crate) library: String,
    pub(crate) task: Task,
}

/// A task is what a worker does with the library.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Many waiters want one lock again and again. Each holds it for a time, and rests after the
    /// release.
    Wait { lock: String, waiters: usize, hold: Duration, rest: Duration },
    /// Leasehold holds many leases. The worker is ready a second time when it has acquired them, or
    /// as many as it could within the limit.
    Hold { leases: usize, limit: Duration },
    /// Candidates campaign in one election with Leasehold. When a term starts, the worker writes a
    /// line.
    Campaign { candidates: usize, ttl: Duration },
    /// Leasehold acquires and releases one lock before the worker is ready.
    ColdStart,
}

/// A report has what happened between the orders `count` and `stop`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) grants: Vec<Grant>,
    /// These are the calls to the store, if the library is Leasehold.
    pub(crate) calls: Option<Calls>,
    /// The process used this much processor time.
    pub(crate) processor_time: Duration,
    /// The process had this many connections at the end.
    pub(crate) connections: usize,
    pub(crate) held: Option<Held>,
}

/// A waiter got the lock. The times are those of the machine's monotonic clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// This is the number of the waiter in its process.
    pub(crate) waiter: usize,
    pub(crate) granted: Duration,
    /// The release was called at this time.
    pub(crate) released: Duration,
}

/// This is what holding many leases took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) acquired: usize,
    /// These leases were lost until the end.
    pub(crate) lost: usize,
    /// The memory of the process grew by this while the leases were acquired.
    pub(crate) kibibytes: u64,
    /// This was the shortest time to a trust deadline.
    pub(crate) least_trust: Duration,
    pub(crate) beats: Vec<Beat>,
}

/// A beat is what a heartbeat sent: one or more calls without a pause between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beat {
    pub(crate) calls: usize,
    pub(crate) leases: usize,
    pub(crate) took: Duration,
    /// At least one call was in progress for this part of the time.
    pub(crate) busy: Duration,
}
