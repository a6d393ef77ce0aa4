//! The trait `LockStore` is the contract between the engine and a datastore.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::unsupported::{instances_unsupported, queues_unsupported};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    EnterOptions, HintStream, InstanceRecord, LeaseId, ListOptions, LockName, LockRecord, Presence,
    PruneOptions, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// A lock store is a datastore that decides which client holds a lock.
///
/// Implement it for a new datastore and run the suite of `leasehold-conformance` against it: each
/// promise below has cases there. Applications use a [`Client`](crate::Client) instead, which
/// sends heartbeats and waits for locks.
///
/// # What every store promises
///
/// Each promise has a name, which the suite prints when a case that checks it fails. The methods
/// state the details.
///
/// * `exclusion`: By the store's own clock, at most one lease of a name is in force at any
///   instant.
/// * `tokens-grow`: The tokens of a name strictly increase from grant to grant: across release,
///   expiry, disable and, where the store has a calendar clock, the deletion of its record or a
///   failover that lost the last writes. `max(previous + 1, clock in µs)` does this.
/// * `own-retry-is-granted`: A retry of [`acquire`](Self::acquire) with the lease id of a lease in
///   force returns the same grant, with the same token, and extends nothing.
/// * `renew-only-in-force`: [`renew`](Self::renew) extends only a lease of the given id that is in
///   force. It revives no expired lease and creates no record.
/// * `release-only-own`: [`release`](Self::release) ends only the lease of the given id, whose
///   name is then free at once.
/// * `server-time`: No client's calendar clock affects a decision. Replies have the remaining
///   durations, never timestamps.
/// * `unknown-is-not-failed`: A write whose reply did not arrive reports
///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown); a write that certainly did not happen
///   reports [`Unavailable`](crate::ErrorKind::Unavailable).
/// * `disable-wins`: A disabled name is granted to nobody. The renewals of its holder answer with
///   the reason and extend nothing.
/// * `hints-only`: [`watch`](Self::watch) reports a release, disable or enable early. Nothing
///   depends on it, and heartbeats cause no hints.
/// * `exact-names`: Names are compared byte for byte.
/// * `cancel-safe`: A dropped call, or a killed process, leaves the store as before or as after
///   the operation, and pooled connections clean. A request that was already sent may still
///   take effect a moment later.
/// * `one-answer-per-lease`: A batch of renewals, attempts or releases has one answer per lease, in
///   the same order. A failure concerns its own lease only.
/// * `one-round-trip`: An uncontended acquire, a renewal and a release take one round trip each, an
///   acquire and a renewal at most two where the server's own operations require it (etcd). A
///   batch of renewals takes a constant number.
/// * `atomic`: One atomic operation on the server decides each call, so each answer follows from
///   the calls that were decided before.
/// * `least-rights`: A store whose schema exists needs no privilege to change it. Many instances
///   may create the schema at once, and opening a store again changes nothing.
/// * `separate-namespaces`: Stores of different namespaces share no locks and no instances.
/// * `own-pool`: A store on the application's own pool shares the locks with one that was opened
///   by URL, and leaves the pool to the application.
/// * `readable-records`: [`get`](Self::get) and [`list`](Self::list) show what is known of each
///   name, in byte order and page by page.
/// * `prune-only-unused`: [`prune`](Self::prune) removes only records of names that are free,
///   enabled and were not granted recently.
/// * `checked-input`: A ttl that [`check_ttl`](crate::check_ttl) refuses is refused with nothing
///   written. Every other one is granted, rounded up to a step of [`Capabilities`].
/// * `known-instances`: [`instances`](Self::instances) lists the instances that announced
///   themselves, until their record expires or they withdraw.
/// * `queue-order`: The entries of a queue hold the lock in the order of their tokens, which strictly
///   increase, and together never exceed the capacity: an entry holds it if and only if the weights
///   of the live entries up to and including it sum up to at most the capacity.
/// * `entries-end`: An entry that has left or expired holds nothing, holds nobody up, and is never
///   revived.
/// * `one-kind`: A name in use as one kind of lock is refused as another, and the error names both.
/// * `calls-end`: Each call ends within a limit, even if the server hangs, and the same store
///   works again once its server does.
#[async_trait]
pub trait LockStore: Debug + Send + Sync + 'static {
    /// Returns the store's name for messages: a URL without its password.
    fn label(&self) -> &str;

    /// Returns what the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Grants the name, unless it is held or disabled.
    ///
    /// * A granted lease lasts `ttl` from a moment after the call began, by the store's clock.
    /// * A retry with the same [`LeaseId`], while that lease is in force, returns the same grant
    ///   with the time that is left, and extends nothing.
    /// * If another lease is in force, the outcome says who holds it and for how long.
    /// * A disabled name is granted to nobody, and the outcome says why. This applies to retries
    ///   too, and while a lease is in force.
    /// * A retry after its lease has ended counts as a new attempt: it may be granted again, under
    ///   a larger token.
    ///
    /// # Errors
    /// This fails with [`Invalid`](crate::ErrorKind::Invalid) if [`check_ttl`](crate::check_ttl)
    /// rejects the ttl, and with [`Conflict`](crate::ErrorKind::Conflict) if the name is in use as
    /// another [kind](crate::LockKind::conflict) of lock. Nothing is written then.
    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome>;

    /// Makes several attempts, and returns one outcome each in the same order.
    ///
    /// * Each attempt is decided as by [`acquire`](Self::acquire), independently of the others:
    ///   some names may be granted and others refused.
    /// * A failure concerns its own attempt only. An attempt without a reply is
    ///   [unknown](crate::ErrorKind::OutcomeUnknown), and is retried under its lease id.
    /// * A dropped call leaves each name as before or as after its attempt.
    ///
    /// The default makes one call after the other; a store overrides it to make one round trip. A
    /// caller passes at most [`renew_batch`](Capabilities::renew_batch) attempts, each for another
    /// name. A [`Client`](crate::Client) makes one attempt at a time.
    async fn acquire_many(
        &self,
        attempts: &[(LockName, AcquireOptions)],
    ) -> Vec<Result<AcquireOutcome>> {
        let mut outcomes = Vec::with_capacity(attempts.len());
        for (name, options) in attempts {
            outcomes.push(self.acquire(name, options).await);
        }
        outcomes
    }

    /// Enters the queue of the name, or finds the attempt's entry there.
    ///
    /// * A new entry comes last, with a larger token than every grant and entry of the name before,
    ///   and lasts `ttl` from a moment after the call began, by the store's clock.
    /// * The outcome is [`Granted`](AcquireOutcome::Granted) if the entry holds the lock, and
    ///   otherwise [`Queued`](AcquireOutcome::Queued).
    /// * Without [`wait`](EnterOptions::wait) an entry that would have to wait is not made, and the
    ///   outcome is [`Held`](AcquireOutcome::Held) with the first entry of the queue.
    /// * A retry with the same [`LeaseId`], while its entry is live, returns the entry's standing
    ///   with the time that is left, and extends nothing.
    /// * A disabled name gets no entry, and the outcome says why. A retry gets the same outcome, also
    ///   if the name was enabled since: the entry was told to leave.
    /// * A waiter is [renewed](Self::renew) like a holder. It holds the lock once enough entries
    ///   ahead of it have left or expired, and by nothing else.
    ///
    /// # Errors
    /// This fails as [`acquire`](Self::acquire) does, and also with
    /// [`Invalid`](crate::ErrorKind::Invalid) if [`EnterOptions::check`] refuses the options, with
    /// [`Conflict`](crate::ErrorKind::Conflict) if the queue has
    /// [`MAX_ENTRIES`](crate::MAX_ENTRIES) live entries, and always with
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a store without
    /// [queues](Capabilities::queues).
    async fn enter(&self, name: &LockName, options: &EnterOptions) -> Result<AcquireOutcome> {
        let _ = (name, options);
        Err(queues_unsupported())
    }

    /// Removes the entry of that lease from the queue of the name, if it is live.
    ///
    /// * No other entry is touched. Leaving twice is harmless.
    /// * Watchers get a hint with the leases of the entries that hold the lock because of it. They may
    ///   get none if there is no such entry, unless the queue is empty now.
    ///
    /// # Errors
    /// On a store without [queues](Capabilities::queues) this always fails with
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let _ = (name, lease);
        Err(queues_unsupported())
    }

    /// Extends many leases, each to its ttl from now, and returns one outcome each in the same
    /// order.
    ///
    /// * Only an unexpired lease with that id is extended. An expired one is never revived, and
    ///   nothing is ever inserted: the outcome is [`Lost`](RenewOutcome::Lost).
    /// * The [entries](RenewOptions::entry) of queues are extended under the same rules, whether they
    ///   hold the lock or wait: the outcome of one that waits is [`Queued`](RenewOutcome::Queued).
    /// * A lease whose name was disabled since the grant is not extended, even after the name was
    ///   enabled again: its holder has to stop within the time that is left.
    /// * A failure concerns its own lease only: the outcome of a lease whose server, shard or
    ///   record fails is [`Unknown`](RenewOutcome::Unknown), and the other leases get their own
    ///   outcomes.
    /// * In an embedded datastore with one writer at a time, a call may wait for another one.
    /// * The call takes a constant number of round trips for the maximum that a caller passes at
    ///   once, which is [`renew_batch`](Capabilities::renew_batch) leases.
    /// * Several calls may be in progress for the same leases: a retry is sent while an earlier
    ///   call has no reply, and must not wait for it, so a connection that hangs costs no lease.
    ///
    /// A caller passes each lease once in a batch; if a lease occurs twice, both outcomes describe
    /// it. A client makes the call in the runtime of Leasehold's own thread.
    ///
    /// # Errors
    /// This fails with [`Invalid`](crate::ErrorKind::Invalid) if [`check_ttl`](crate::check_ttl)
    /// rejects a ttl; nothing is extended then. Any other error applies to the whole batch, although
    /// some of its leases may have been extended.
    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>>;

    /// Ends the lease of that id, if it is in force, so that others can acquire the name at once.
    ///
    /// * No other lease of the name is touched.
    /// * Releasing twice is harmless.
    /// * Watchers get a hint.
    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome>;

    /// Ends many leases, and returns one outcome each in the same order.
    ///
    /// * Each lease is ended as by [`release`](Self::release), with a hint.
    /// * A failure concerns its own lease only. A release without a reply is
    ///   [unknown](crate::ErrorKind::OutcomeUnknown), and may be repeated.
    /// * A dropped call leaves each lease in force or ended.
    ///
    /// The default makes one call after the other; a store overrides it to make one round trip. A
    /// caller passes at most [`renew_batch`](Capabilities::renew_batch) leases, each of them once.
    /// A [`Client`](crate::Client) releases each lease when its guard is released or dropped.
    async fn release_many(&self, leases: &[ReleaseOptions]) -> Vec<Result<ReleaseOutcome>> {
        let mut outcomes = Vec::with_capacity(leases.len());
        for ReleaseOptions { name, lease } in leases {
            outcomes.push(self.release(name, *lease).await);
        }
        outcomes
    }

    /// Disables the name, whether or not it was ever used: it is not granted until it is enabled.
    ///
    /// * A lease or an entry stays until it ends, but is no longer renewed; its holder gets the reason
    ///   of the latest disable.
    /// * A name that is already disabled keeps its first reason.
    /// * Watchers get a hint.
    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome>;

    /// Enables the name, so that it can be granted again.
    ///
    /// * A name that is not disabled is not changed, and no name is created.
    /// * Watchers get a hint.
    async fn enable(&self, name: &LockName) -> Result<EnableOutcome>;

    /// Returns the record of one name, or `None` if it was never granted or disabled.
    ///
    /// * A corrupt record is not an error: as in a [listing](Self::list), the record says so in
    ///   [`corrupt`](LockRecord::corrupt).
    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>>;

    /// Returns the records of all names, in the byte order of names, a page at a time.
    ///
    /// * A record that cannot be read hides no other name: it is listed with
    ///   [`LockRecord::corrupt`] set.
    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>>;

    /// Removes the records of unused names, a page at a time, and returns the names in byte order.
    ///
    /// * A name is unused when it has no lease in force and no live entry, is enabled, and its latest
    ///   grant is at least [`unused_for`](PruneOptions::unused_for) ago by the store's clock.
    /// * Each record is checked and removed in one atomic operation; a name that is in use again is
    ///   not removed.
    /// * The next grant of a removed name has a larger token than every grant before, because
    ///   tokens follow the store's clock.
    /// * A corrupt record is not removed.
    /// * With [`dry_run`](PruneOptions::dry_run) nothing is removed.
    /// * A store that keeps no record of an unused name returns no names.
    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>>;

    /// Announces an instance: its record lasts for `ttl` from now, and replaces its earlier one.
    ///
    /// * Announcements decide nothing, so watchers get no hint.
    /// * A client announces itself once per ttl of its leases, for two of these ttls each time, but
    ///   at most for [`MAX_TTL`](crate::MAX_TTL).
    ///
    /// # Errors
    /// This always fails with [`Unsupported`](crate::ErrorKind::Unsupported) on a store without
    /// instance records, which implements none of the three methods.
    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let _ = (presence, ttl);
        Err(instances_unsupported())
    }

    /// Removes the record of an instance; an unknown instance is not an error.
    ///
    /// # Errors
    /// This fails for the same reasons as [`announce`](Self::announce).
    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let _ = instance;
        Err(instances_unsupported())
    }

    /// Returns the announced instances, in the order of their ids.
    ///
    /// Expired records are omitted; the store removes them eventually.
    ///
    /// # Errors
    /// This fails for the same reasons as [`announce`](Self::announce).
    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        Err(instances_unsupported())
    }

    /// Returns a stream of hints that a name may have become free, disabled or enabled.
    ///
    /// * Nothing depends on a hint: it may be lost, repeated or late, and the stream may end. While
    ///   the stream is open, waiters ask less often; end it while there can be no hints.
    /// * After a gap, such as a reconnect, it yields [`Hint::Anything`](crate::Hint::Anything).
    /// * Heartbeats cause no hints.
    /// * A change that is made after this method returned, and while the stream is polled, normally
    ///   causes a hint.
    async fn watch(&self) -> Result<HintStream>;
}
