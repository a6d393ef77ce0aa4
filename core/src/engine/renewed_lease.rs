//! The heartbeat calls a held lease for each reply, tick and hint, so the lease needs no task.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::TimedReply;
use super::sent_batch::SentBatch;
use crate::{Moment, RenewOptions, RenewOutcome};

/// The key of a tick is its moment, and the number of the renewal with which it was planned.
pub(crate) type TickKey = (Moment, u64);

/// A renewed lease is held by a guard, and the heartbeat renews it.
///
/// The heartbeat's task calls these methods one at a time, except [`hinted`](Self::hinted).
///
/// A lease may lock the queue of renewals while the lease is locked itself. So no lease is called
/// or dropped while the queue is locked.
pub(crate) trait RenewedLease: fmt::Debug + Send + Sync {
    /// Notes that the renewal of that number is about to be sent with that batch, and returns what
    /// is sent. Returns `None` if it must not be sent, because the lease is no longer held or has
    /// replaced the renewal.
    fn send(self: Arc<Self>, number: u64, batch: &Arc<SentBatch>) -> Option<RenewOptions>;

    /// Handles the reply to the renewal of that number. The replies to its batch came at `now`, and
    /// those before it in the batch were handled since then.
    fn replied(self: Arc<Self>, number: u64, reply: TimedReply<RenewOutcome>, now: Moment);

    /// Handles a tick, whose moment has come. The tick does not come again, so nothing that may
    /// panic, such as the clock, comes before the next one is planned.
    fn ticked(self: Arc<Self>, tick: TickKey, now: Moment);

    /// Notes a hint for the heartbeat's task, which then calls [`follow_hint`](Self::follow_hint).
    /// This must not lock the lease, because the task of the watch calls it while the subscribers
    /// are locked.
    fn hinted(self: Arc<Self>);

    /// Handles a hint: the name may have changed.
    fn follow_hint(self: Arc<Self>);
}

/// Calls a lease, and returns `None` if it panicked. A panic, such as one of a metrics recorder,
/// costs no other lease.
pub(super) fn catch_panic<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

#[cfg(test)]
pub(super) mod testing;
