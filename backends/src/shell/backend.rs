//! The operations that a datastore must implement for a store.

use std::fmt::Debug;
use std::time::Duration;

use uuid::Uuid;

use super::attempts::Attempt;
use super::data::{Decision, Entry, Found, Operation, Page, StoredInstance};
use super::hints::Hints;
use crate::common::timeout::CALL_LIMIT;
use crate::{
    AcquireOptions, Capabilities, DisableOptions, EnableOutcome, EnterOptions, Error, ErrorKind,
    Grant, LeaseId, LockName, LockRecord, ReleaseOptions, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result,
};

/// The operations that differ between datastores.
///
/// [`Store`](super::Store) adds the rest of the contract of [`LockStore`](crate::LockStore). Each
/// method here must keep its own part: one atomic operation on the server decides, by the server's
/// clock, and a dropped call leaves nothing half done. Every ttl that a method gets has passed
/// [`check_ttl`](crate::check_ttl).
///
/// # What to store
///
/// | of each name | which method changes it |
/// |---|---|
/// | the token of the latest grant | `acquire` sets it, and it stays when the lease ends |
/// | the time of that grant | `acquire` sets it |
/// | the id and the holder of the lease | `acquire` sets them, and `release` removes the lease |
/// | when the lease expires | `acquire` and `renew` set it |
/// | `ending`: why the holder must stop | `acquire` clears it, `disable` sets it, `enable` keeps it |
/// | the disablement: why, by whom, since when | `disable` sets it, and `enable` removes it |
///
/// `enable`, `renew`, `release` and a refused `acquire` create no record. The types of these values
/// implement the traits of `serde`, and refuse invalid values when they are deserialized.
///
/// # Queues
///
/// A backend with [queues](Capabilities::queues) also implements [`enter`](Self::enter),
/// [`leave`](Self::leave) and [`renew_entries`](Self::renew_entries). It stores the
/// [kind](crate::LockKind::code) of the lock and its live entries in the same record, so that one
/// atomic operation decides about both kinds of locks. While there are entries:
///
/// * [`acquire`](Self::acquire) returns [`Refused`](Decision::Refused) with the record,
///   [`disable`](Self::disable) also sets `ending` of each entry, and
///   [`prune_page`](Self::prune_page) leaves the name.
/// * [`read`](Self::read) and [`page`](Self::page) show them: see [`LockRecord::with_queue`].
///
/// # Time
///
/// A decision is made by the clock at the moment of the decision. A backend that reads the clock
/// itself reads it when it has the lock of the datastore's writers, and not when it is called,
/// because a lease may expire while it waits. If the records outlive the process, so must that
/// clock: a `SystemTime` can be stored, and an `Instant` cannot.
///
/// The backend rounds a ttl up to a multiple of [`ttl_step`](Capabilities::ttl_step), and returns
/// what it rounded to as the time that is left; [`Store`](super::Store) passes ttls on as they are.
///
/// # Errors
///
/// * [`Unavailable`](ErrorKind::Unavailable) if nothing was written: the datastore could not be
///   reached, or a transaction failed before its commit.
/// * [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) if a write, or its commit, failed or had no
///   reply after it was sent, unless the datastore says that it wrote nothing.
/// * [`Denied`](ErrorKind::Denied) if a permission is missing or a file is not writable, also when
///   the store is opened. A database that another process has locked is `Unavailable`.
/// * [`Corrupt`](ErrorKind::Corrupt) for a record that cannot be read, which `acquire` does not
///   overwrite and `prune_page` does not remove. In a batch of renewals it is the result of its own
///   lease, and `read` and `page` return it as [`Entry::Corrupt`].
///
/// [`Store`](super::Store) adds the operation, the lock and the label to each error.
pub trait Backend: Debug + Send + Sync + Sized + 'static {
    /// Returns the name of the store in messages: a URL without its password.
    fn label(&self) -> &str;

    /// Returns what the store can do, which is the same for all clients of a datastore.
    ///
    /// An embedded datastore has [`Reach::Machine`](crate::Reach::Machine), or
    /// [`Reach::Process`](crate::Reach::Process) if only one process at a time can open it.
    fn capabilities(&self) -> Capabilities;

    /// Grants the name in one atomic operation, or returns why it cannot be granted.
    ///
    /// An attempt whose lease is already in force is not granted again: return
    /// [`Refused`](Decision::Refused) with the record, from which the store repeats the grant.
    fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        attempt: Attempt,
    ) -> impl Future<Output = Result<Decision<Grant>>> + Send;

    /// Extends leases, with one result each in the same order.
    ///
    /// The list is never empty. It contains each lease once, in the order of names and ids. The
    /// error of a lease concerns only that lease; [`Store`](super::Store) says how it is handled.
    ///
    /// [`renew_outcome`](super::renew_outcome) makes the result of the record after the update.
    ///
    /// A client calls this in the runtime of Leasehold's own thread, and most other methods in the
    /// runtime of the application, whose threads may be blocked. Share no async lock, no queue and
    /// no connection with the other methods: if a call in a blocked runtime has its turn,
    /// heartbeats wait for it until their leases expire. A lock that a thread takes and releases
    /// within `spawn_blocking`, such as that of the only writer of an embedded datastore, may be
    /// shared, because the thread releases it although the runtime is blocked.
    fn renew(
        &self,
        leases: &[&RenewOptions],
    ) -> impl Future<Output = Result<Vec<Result<RenewOutcome>>>> + Send;

    /// Enters the queue of the name in one atomic operation, if nothing prevents it, and returns
    /// the record as the operation left it.
    ///
    /// An entry is made if and only if [`LockRecord::enter_outcome`] of the record before returns
    /// `None`. [`Store`](super::Store) makes the outcome of the call of the returned record, by the
    /// same function. The token of the entry is also that of the record, so that tokens increase
    /// whatever a name is used as.
    ///
    /// `None` means that the record changed during the attempt: the store tries again.
    fn enter(
        &self,
        name: &LockName,
        options: &EnterOptions,
        attempt: Attempt,
    ) -> impl Future<Output = Result<Option<LockRecord>>> + Send {
        let _ = (name, options, attempt);
        async { Err(queues_unsupported()) }
    }

    /// Removes the entry of that lease, if it is live, and the expired ones.
    ///
    /// Once that is committed, this causes the hint that [`LockRecord::hint_of_leaving`] returns, or
    /// [`Hint::Name`](crate::Hint::Name) if that is too long. The hint may be lost: it saves the next
    /// waiter the time until its next renewal.
    fn leave(
        &self,
        name: &LockName,
        lease: LeaseId,
    ) -> impl Future<Output = Result<ReleaseOutcome>> + Send {
        let _ = (name, lease);
        async { Err(queues_unsupported()) }
    }

    /// Extends live entries of queues, with one result each in the same order.
    ///
    /// What [`renew`](Self::renew) requires applies here too. An entry is extended whether it holds
    /// the lock or waits, unless it is `ending`. Expired entries are dropped.
    ///
    /// [`LockRecord::renew_entry_outcome`] makes the result of the record after the update.
    fn renew_entries(
        &self,
        entries: &[&RenewOptions],
    ) -> impl Future<Output = Result<Vec<Result<RenewOutcome>>>> + Send {
        let _ = entries;
        async { Err(queues_unsupported()) }
    }

    /// Ends the lease of that id, if it is in force.
    ///
    /// This removes the lease and, once that is committed, causes a hint. The token stays.
    fn release(
        &self,
        name: &LockName,
        lease: LeaseId,
    ) -> impl Future<Output = Result<ReleaseOutcome>> + Send;

    /// Ends each of these leases as [`release`](Self::release) does, in one round trip, with one
    /// result each in the same order.
    ///
    /// The list is never empty. It contains each lease once, in the order of names and ids.
    ///
    /// The default implementation returns `None`: [`Store`](super::Store) then releases one lease
    /// after the other.
    fn release_many(
        &self,
        leases: &[&ReleaseOptions],
    ) -> impl Future<Output = Result<Option<Vec<Result<ReleaseOutcome>>>>> + Send {
        let _ = leases;
        async { Ok(None) }
    }

    /// Disables the name in one atomic operation, or returns that it is disabled already.
    ///
    /// The same operation sets `ending` of the lease in force to the reason. That lease is not
    /// ended, but [`renew`](Self::renew) no longer extends it, even after the name is enabled
    /// again. This causes a hint.
    fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        attempt: Attempt,
    ) -> impl Future<Output = Result<Decision<()>>> + Send;

    /// Lets the name be granted again.
    ///
    /// The `ending` of a lease in force stays, so its holder still has to stop. This causes a hint,
    /// if the name was disabled.
    fn enable(&self, name: &LockName) -> impl Future<Output = Result<EnableOutcome>> + Send;

    /// Reads the record of a name; `None` if the name was never granted or disabled.
    fn read(&self, name: &LockName) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Reads the next entries whose names start with the page's prefix, in the byte order of names.
    fn page(&self, page: &Page<'_>) -> impl Future<Output = Result<Found<Entry>>> + Send;

    /// Finds the next names that are unused, and removes each in one atomic operation unless it is
    /// in use again. A dry run removes nothing.
    ///
    /// A record that cannot be read is neither returned nor removed.
    ///
    /// A name is unused if it is free and enabled, and its latest grant is at least that long ago.
    /// Where tokens are taken from the store's clock in microseconds, the token must also be below
    /// that clock, or the next token would not be larger. A name that was disabled and enabled, but
    /// never granted, is unused too.
    fn prune_page(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> impl Future<Output = Result<Found<LockName>>> + Send;

    /// Stores a text for an instance for that long, and replaces its previous text.
    ///
    /// Store it under the [`Display`](std::fmt::Display) form of the id: [`StoredInstance::key`]
    /// must be equal to that, or the instance is logged and omitted. Nothing else removes expired
    /// texts, so a datastore without an expiry of its own removes them here.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) from a store that keeps no instances, as the default
    /// implementations of the three methods return it.
    fn announce(
        &self,
        instance: Uuid,
        text: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (instance, text, ttl);
        async { Err(instances_unsupported()) }
    }

    /// Removes the text of an instance, if it has one.
    ///
    /// # Errors
    /// This fails for the same reasons as [`announce`](Self::announce).
    fn withdraw(&self, instance: Uuid) -> impl Future<Output = Result<()>> + Send {
        let _ = instance;
        async { Err(instances_unsupported()) }
    }

    /// Reads the texts of all instances, in any order. Expired ones are omitted.
    ///
    /// # Errors
    /// This fails for the same reasons as [`announce`](Self::announce).
    fn instances(&self) -> impl Future<Output = Result<Vec<StoredInstance>>> + Send {
        async { Err(instances_unsupported()) }
    }

    /// Subscribes to changes and reports them until the subscription breaks.
    ///
    /// It calls [`Hints::listening`] as soon as every later change will be reported, and
    /// [`Hints::send`] for each. It returns an error when the subscription breaks, and `Ok` when
    /// the store is closed permanently. After an error it is called again, following a pause. It
    /// runs in a separate task and may be dropped at any time.
    ///
    /// The changes to report are releases, disables and enables, and entries that leave, each after
    /// its commit, because a waiter tries to acquire the name at once. Grants and renewals need no
    /// hint, and heartbeats must not cause any.
    fn watch_once(&self, hints: &Hints) -> impl Future<Output = Result<()>> + Send;

    /// Returns how long a call may take, or `None` if the backend itself limits that operation.
    ///
    /// The default is 10 s for the call with all its attempts or pages. After that, the future of
    /// this trait's method is dropped: a write is then
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), and a read
    /// [`Unavailable`](ErrorKind::Unavailable).
    ///
    /// A backend that knows whether a request was sent limits the operation itself, since it can
    /// then tell a write that certainly had no effect from one whose outcome is unknown.
    fn call_limit(&self, operation: Operation) -> Option<Duration> {
        let _ = operation;
        Some(CALL_LIMIT)
    }
}

fn queues_unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the store does not support queues")
        .with_fix("use an exclusive lock, or another store")
}

fn instances_unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the store does not support instance records")
}
