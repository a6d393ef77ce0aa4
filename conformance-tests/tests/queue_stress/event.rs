//! What a worker process reports, in the order in which it happens there.
//!
//! Times are nanoseconds of the machine's clock, which is the same for all processes. Leases are
//! trusted by it.

use std::io::{Write, stderr};
use std::time::Duration;

use leasehold_core::{Clock, LeaseId, SystemClock};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A request to enter the queue is about to be sent.
    Enters { lease: LeaseId, weight: u32, at: u64 },
    /// The store has replied that the entry is live. A reply to `enter` has the token. The request
    /// was sent at `sent`, the reply arrived at `at`, and the entry lasts for `left`.
    Stands { lease: LeaseId, token: Option<u64>, sent: u64, at: u64, left: u64, holds: bool },
    /// A request to leave the queue is about to be sent.
    Leaves { lease: LeaseId, at: u64 },
    /// A guard or a leadership said at both times that it is held.
    Trusted { token: u64, from: u64, to: u64 },
    /// An attempt has ended in this way.
    Ended(Ending),
    /// A client that was told to finish has held the lock once more.
    Last { client: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// The lock was held, and released while it was still trusted.
    Held,
    /// The lock was held and lost.
    Lost,
    /// A single try did not get the lock.
    Refused,
    /// The limit of the attempt was too short.
    TimedOut,
    /// A call failed. A failure that is not transient is a fault of the store or the engine.
    Failed { why: String, transient: bool },
}

/// Returns the present time.
pub(crate) fn now() -> u64 {
    nanos(SystemClock.now().since_origin())
}

/// Returns a duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Reports an event to the test, on the standard error, since the test runner prints to the standard
/// output. The line is written by one call: a process that is killed leaves no half line.
pub(crate) fn report(event: &Event) {
    let line = format!("{}\n", serde_json::to_string(event).unwrap());
    stderr().write_all(line.as_bytes()).unwrap();
}
