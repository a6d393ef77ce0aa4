//! Release notifications tell a waiter at once that a lease was released.
//!
//! The store of a holder keeps a user-level lock (`GET_LOCK`) on a connection of its own, and lets go
//! of it for a moment after it released a lease. A store that waits for that holder waits for the
//! same lock, and passes it on as soon as it is granted. If it waits for one name of that holder, it
//! takes that name for released, and otherwise reads what was signalled.
//!
//! This is only a wake-up signal; correctness never depends on it. Waiters poll where user-level
//! locks are refused or known to one node only, where a connection fails or there are too many, and
//! for changes without a notification (disable, enable, a lease released over another store).

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::mysql::MySqlPool;
use tokio::sync::watch;

use super::listener::Listener;
use super::notifier::Notifier;
use super::user_lock::UserLockNames;
use crate::{
    AcquireOptions, AcquireOutcome, EntryRecord, EntryStanding, Grant, LeaseId, LockName,
    LockRecord, QueueRecord, Queued, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// Notifies others of the releases of this store's leases, and listens for the releases of others.
pub(super) struct ReleaseNotifications {
    notifier: Notifier,
    pub(super) listener: Listener,
    /// Records were read, perhaps by an observer, which waits for hints without being refused.
    read_records: AtomicBool,
}

impl ReleaseNotifications {
    pub(super) fn new(
        pool: &MySqlPool,
        database: &str,
        table: &str,
        close_all: watch::Receiver<()>,
    ) -> Self {
        let names = UserLockNames::new(pool, database, table, close_all);
        let (notifier, listener) = (Notifier::new(names.clone()), Listener::new(names));
        Self { notifier, listener, read_records: AtomicBool::new(false) }
    }

    /// Notes that records were read.
    pub(super) fn on_read(&self) {
        self.read_records.store(true, Ordering::Relaxed);
    }

    /// Returns whether this store may wait for hints of changes other than the release of a name
    /// that it was refused: a disable of a name that it holds, or any change of a name that it reads.
    pub(super) fn follows_all_changes(&self) -> bool {
        self.read_records.load(Ordering::Relaxed) || self.notifier.holds_leases()
    }

    /// Notes the answer to an acquire.
    pub(super) fn on_acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        answer: &AcquireOutcome,
    ) {
        match answer {
            AcquireOutcome::Granted(Grant { left, .. }) => {
                self.listener.forget(name);
                self.notifier.granted(options.holder.instance, options.lease, *left);
            }
            // The watches of this store learn of its own releases without a user-level lock.
            AcquireOutcome::Held(held) | AcquireOutcome::Queued(Queued { held, .. }) => {
                // The watches of this store learn of its own releases without a user-level lock.
                if self.notifier.notifies_for(held.holder.instance) {
                    self.listener.forget(name);
                } else {
                    self.listener.await_holder(name, held);
                }
            }
            AcquireOutcome::Disabled(_) => self.listener.disabled(name),
        }
    }

    /// Returns whether this lease was granted, as far as is known.
    pub(super) fn has_granted(&self, lease: LeaseId) -> bool {
        self.notifier.has_lease(lease)
    }

    /// Notes the record after an attempt to enter a queue, or after a renewal of that entry.
    pub(super) fn on_entry(&self, lease: LeaseId, record: &LockRecord) {
        let name = &record.name;
        if record.disabled.is_some() {
            self.listener.disabled(name);
            return;
        }
        let Some(queue) = &record.queue else { return };
        match queue.standing(lease) {
            Some(EntryStanding::Holds { entry, .. }) => {
                let own = entry.holder.instance;
                // Another entry of this store may wait in the same queue.
                if !queue.waiters().iter().any(|waiter| waiter.holder.instance == own) {
                    self.listener.forget(name);
                }
                self.notifier.granted(own, lease, entry.left);
            }
            Some(EntryStanding::Waits { .. }) => {
                let first = queue.entries.first();
                if first.is_some_and(|first| self.notifier.notifies_for(first.holder.instance)) {
                    self.listener.forget(name);
                } else {
                    self.listener.await_in_queue(name, queue);
                }
            }
            None => {}
        }
    }

    /// Notes a queue that a watch read because it was signalled.
    pub(super) fn on_queue_changed(&self, name: &LockName, queue: &QueueRecord) {
        let is_own = |first: &EntryRecord| self.notifier.notifies_for(first.holder.instance);
        if !queue.entries.first().is_some_and(is_own) {
            self.listener.queue_changed(name, queue);
        }
    }

    /// Notifies the waiters after an entry has left.
    pub(super) fn on_leave(&self, lease: LeaseId, outcome: ReleaseOutcome) {
        let has_left = outcome == ReleaseOutcome::Released;
        self.notifier.remove(lease, has_left);
        if has_left {
            self.listener.left_here();
        }
    }

    /// Notes the answers to a renewal.
    pub(super) fn on_renew(&self, leases: &[&RenewOptions], results: &[Result<RenewOutcome>]) {
        let ids = leases.iter().map(|lease| lease.lease).zip(results);
        self.notifier.renewed(ids.filter_map(|(id, result)| Some((id, result.as_ref().ok()?))));
    }

    /// Notifies the waiters, after the answer to a release, so that they see that the lease is gone.
    pub(super) fn on_release(&self, name: &LockName, lease: LeaseId, answer: ReleaseOutcome) {
        let is_released = answer == ReleaseOutcome::Released;
        self.notifier.remove(lease, is_released);
        if is_released {
            self.listener.released_here(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{FencingToken, Holder, LockKind};

    #[tokio::test]
    async fn a_store_that_holds_leases_or_reads_records_follows_all_changes() {
        let options = super::super::url::from_url("mysql://app@db/app").unwrap();
        let pool = crate::sql::pool::application_pool::<sqlx::MySql>(&options, None);
        let new = || {
            let close_all = watch::Sender::new(()).subscribe();
            ReleaseNotifications::new(&pool, "app", "leasehold_locks", close_all)
        };
        let (waits, reads, holds) = (new(), new(), new());
        reads.on_read();
        let name = LockName::new("job").unwrap();
        let ttl = Duration::from_secs(60);
        let options = AcquireOptions::new(LeaseId::new(), Holder::current(), ttl);
        let grant = Grant::new(FencingToken::new(1_u64).unwrap(), ttl);
        holds.on_acquire(&name, &options, &AcquireOutcome::Granted(grant));
        let follow = [&waits, &reads, &holds].map(ReleaseNotifications::follows_all_changes);
        assert_eq!(follow, [false, true, true]);
    }

    #[tokio::test]
    async fn an_entry_that_holds_a_lock_is_announced_and_one_that_waits_is_not() {
        let options = super::super::url::from_url("mysql://app@db/app").unwrap();
        let pool = crate::sql::pool::application_pool::<sqlx::MySql>(&options, None);
        let ttl = Duration::from_secs(60);
        let entry = |token: u64| {
            let token = FencingToken::new(token).unwrap();
            EntryRecord::new(LeaseId::new(), Holder::current(), token, ttl)
        };
        let (first, second) = (entry(1), entry(2));
        let entries = vec![first.clone(), second.clone()];
        let unused = LockRecord::unused(LockName::new("job").unwrap());
        let record = unused.with_queue(LockKind::Fair, entries);
        for (own, is_announced) in [(first, true), (second, false)] {
            let close_all = watch::Sender::new(()).subscribe();
            let store = ReleaseNotifications::new(&pool, "app", "leasehold_locks", close_all);
            store.on_entry(own.id, &record);
            assert_eq!(store.notifier.notifies_for(own.holder.instance), is_announced);
            assert_eq!(store.has_granted(own.id), is_announced);
        }
    }
}
