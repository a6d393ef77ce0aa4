//! The contract between the engine and a datastore.

mod capabilities;
mod ext;
pub mod intercept;
mod memory;
mod outcome;
mod presence;
mod record;
mod ttl;

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use uuid::Uuid;

pub use capabilities::{Capabilities, Reach, StoreClock, Wake};
pub use ext::LockStoreExt;
pub use memory::MemoryStore;
pub use outcome::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, Grant, Held,
    ListOptions, PruneOptions, ReleaseOutcome, RenewOptions, RenewOutcome,
};
pub use presence::{InstanceRecord, Presence};
pub use record::{Disablement, LeaseRecord, LockRecord, LockState};
pub use ttl::{MAX_TTL, check_ttl};

use crate::{Error, ErrorKind, LeaseId, LockName, Result};

/// A datastore that referees locks.
///
/// Implement it for a new datastore and run the suite of `leasehold-conformance` against it: each
/// sentence below has a case there. Applications use a [`Client`](crate::Client) instead, which
/// does the heartbeats and the waiting.
///
/// # What every store promises
///
/// * **Exclusion.** By the store's own clock, at most one unexpired lease per name at any instant.
/// * **Fencing.** The tokens of a name strictly increase from grant to grant: across release,
///   expiry, disable and, where the store has a calendar clock, the deletion of its record or a
///   failover that lost the last writes. `max(previous + 1, clock in µs)` does this.
/// * **Server time.** No calendar clock of a client takes part in a decision. Replies carry the
///   durations that are left, never timestamps.
/// * **Unknown is not failed.** A write whose answer did not come reports
///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown); one that surely did not happen,
///   [`Unavailable`](crate::ErrorKind::Unavailable).
/// * **Exact names.** Names are compared byte for byte.
/// * **One atomic operation** on the server decides each call, in one round trip where nobody
///   contends (two at most for an acquire on MySQL and etcd).
/// * **Cancel safety.** Every method: a dropped call leaves the store as before or as after the
///   operation, and its pooled connections clean. A request that is on its way already may still
///   take effect a moment later.
/// * **Least rights.** With its schema in place a store needs no right to change it.
#[async_trait]
pub trait LockStore: Debug + Send + Sync + 'static {
    /// Names the store in messages: a URL without its password.
    fn label(&self) -> &str;

    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Grants the name, unless it is held or disabled.
    ///
    /// * A granted lease lasts `ttl` from a moment after the call began, by the store's clock.
    /// * A retry with the same [`LeaseId`], while that lease is in force, returns the same grant
    ///   with what is left of it, and extends nothing.
    /// * A name that another lease holds answers who holds it and for how long.
    /// * A disabled name is granted to nobody, and answers why: also to a retry, and while a lease
    ///   is in force.
    /// * A retry after its lease has ended is as good as a new attempt: it may be granted anew,
    ///   under a larger token.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a ttl outside of what [`check_ttl`] accepts, with
    /// nothing written.
    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome>;

    /// Extends many leases, each to its ttl from now, with one answer each in the same order.
    ///
    /// * Only an unexpired lease of that very id is extended. An expired one is never revived, and
    ///   nothing is ever inserted: the answer is [`Lost`](RenewOutcome::Lost).
    /// * A lease of a name that was disabled since it was granted is not extended, even after the
    ///   name was enabled again: its holder is to stop within what is left of it.
    /// * A failure concerns its own lease only: the outcome of a lease whose server, shard or
    ///   record fails is [`Unknown`](RenewOutcome::Unknown), and the other leases are answered.
    /// * It takes a constant number of round trips for up to
    ///   [`renew_batch`](Capabilities::renew_batch) leases, the most a caller hands over at once.
    ///
    /// * Several calls may be under way for the same leases: a retry goes out beside a call that is
    ///   unanswered, and must not wait behind it, so that a connection that hangs costs no lease.
    ///
    /// A caller names each lease once in a batch; where one is named twice, both answers tell what
    /// became of it. The call is made in the runtime of Leasehold's own thread.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid), when a ttl is outside of what [`check_ttl`] accepts,
    /// with nothing extended. Any other error stands for the whole batch, some of which may have
    /// been extended.
    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>>;

    /// Ends the lease of that id, if it is in force, so that others can have the name at once.
    ///
    /// * No other lease of the name is touched.
    /// * Releasing twice is harmless.
    /// * Watchers are told.
    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome>;

    /// Keeps the name from being granted, from now until it is enabled, whether or not it was ever
    /// used.
    ///
    /// * A lease in force stays until it ends, but renews no more; its holder is told the reason of
    ///   the latest disable.
    /// * A name that is disabled already keeps its first reason.
    /// * Watchers are told.
    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome>;

    /// Lets the name be granted again.
    ///
    /// * A name that is not disabled stays as it is, and none is created.
    /// * Watchers are told.
    async fn enable(&self, name: &LockName) -> Result<EnableOutcome>;

    /// Returns what the store knows of one name; `None` if it was never granted or disabled.
    ///
    /// * A damaged record is not an error: as in a [listing](Self::list), the record says so in
    ///   [`corrupt`](LockRecord::corrupt).
    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>>;

    /// What the store knows of all names, in the byte order of names, a page at a time.
    ///
    /// * A record that cannot be read hides no other name: it is listed with
    ///   [`LockRecord::corrupt`] set.
    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>>;

    /// Removes the records of unused names, a page at a time, and returns the names in byte order.
    ///
    /// * A name is unused when no lease of it is in force, it is enabled, and its latest grant is
    ///   at least [`unused_for`](PruneOptions::unused_for) ago by the store's clock.
    /// * Each record is checked and removed in one atomic operation; a name that is in use again is
    ///   left alone.
    /// * The next grant of a removed name has a larger token than every grant before, because
    ///   tokens follow the store's clock.
    /// * A corrupt record is left alone.
    /// * With [`dry_run`](PruneOptions::dry_run) nothing is removed.
    /// * A store that keeps no record of an unused name returns no names.
    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>>;

    /// Makes an instance known for that long from now, in place of what it said before.
    ///
    /// Nothing is decided by it, so watchers are not told.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), for ever, from a store that keeps no
    /// instances; this is what a store does that implements none of the three.
    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let _ = (presence, ttl);
        Err(instances_unsupported())
    }

    /// Forgets an instance, known or not.
    ///
    /// # Errors
    /// As [`announce`](Self::announce).
    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let _ = instance;
        Err(instances_unsupported())
    }

    /// The instances that are known, in the order of their ids.
    ///
    /// Records that are over are not among them, and go by and by.
    ///
    /// # Errors
    /// As [`announce`](Self::announce).
    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        Err(instances_unsupported())
    }

    /// Hints that a name may have become free, disabled or enabled.
    ///
    /// * Nothing depends on a hint: it may be lost, repeated or late, and the stream may end.
    /// * After a gap, such as a reconnect, the stream yields [`Hint::Anything`].
    /// * Heartbeats cause no hints.
    /// * A change made after this method returned, and while the stream is polled, is hinted at
    ///   in ordinary operation.
    async fn watch(&self) -> Result<HintStream>;
}

fn instances_unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the store keeps no instances")
}

/// A stream of hints; see [`LockStore::watch`].
pub type HintStream = Pin<Box<dyn Stream<Item = Hint> + Send>>;

/// Something may have changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// This name.
    Name(LockName),
    /// Any name: hints may have been missed.
    Anything,
}
