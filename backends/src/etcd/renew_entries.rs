//! Renews entries of queues: reads the queues of the whole batch at once, then keeps the entries
//! alive.
//!
//! Whether an entry holds the lock follows from the queue as it was read. Since then, entries ahead
//! may only have ended, so an entry that held the lock still does if its etcd lease was extended.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::Instant;

use super::client::{BoundedCall, EtcdClient, LeaseExpired};
use super::entry::StoredEntry;
use super::error_codes::contended;
use super::keys::Keys;
use super::lease_id::{seconds, seconds_of, whole_seconds};
use super::limits::ENTRIES_AHEAD;
use super::queue_transaction;
use super::stored_lock::{StoredLock, stored_locks};
use super::times_left::TimesLeft;
use crate::{Error, LeaseId, LockName, LockRecord, RenewOptions, RenewOutcome, Result};

/// A transaction has at most this many names. It reads three ranges of each, and by default etcd
/// allows 128 operations.
const NAMES_AT_ONCE: usize = 40;

/// These are the queues that were read; one that is empty is not among them.
type Queues<'n> = HashMap<&'n LockName, Result<StoredLock>>;

/// Renews each entry separately, so that the failure of a key or a member concerns only its queue.
pub(super) async fn renew_entries(
    client: &EtcdClient,
    keys: &Keys,
    entries: &[&RenewOptions],
) -> Vec<Result<RenewOutcome>> {
    let call = client.call();
    let renewal = EntryRenewal { client, keys, call: &call };
    // The entries are in the order of their names.
    let mut names: Vec<&LockName> = entries.iter().map(|entry| &entry.name).collect();
    names.dedup();
    let reads = names.chunks(NAMES_AT_ONCE).map(|names| renewal.read_queues(names));
    let queues: Queues<'_> = join_all(reads).await.into_iter().flatten().collect();
    let extensions = entries.iter().map(|entry| renewal.extend(entry, queues.get(&entry.name)));
    let others = TimesLeft::of_others(&call, leases_ahead(&queues, entries));
    let (extensions, mut times) = join(join_all(extensions), others).await;
    for (entry, left) in entries.iter().zip(&extensions) {
        let stored =
            queues.get(&entry.name).and_then(|queue| queue.as_ref().ok()?.entry(entry.lease));
        if let (Some(stored), Ok(Some(left))) = (stored, left) {
            times.set(stored.etcd_lease, *left);
        }
    }
    let records: HashMap<&LockName, Result<LockRecord>> = queues
        .into_iter()
        .map(|(name, queue)| {
            let record =
                queue.and_then(|queue| queue.into_record(keys, name.clone(), None, &times));
            (name, record)
        })
        .collect();
    let outcome =
        |(entry, left): (&&RenewOptions, Result<Option<Duration>>)| -> Result<RenewOutcome> {
            let (Some(_), Some(record)) = (left?, records.get(&entry.name)) else {
                return Ok(RenewOutcome::Lost);
            };
            record
                .as_ref()
                .map(|record| record.renew_entry_outcome(entry.lease))
                .map_err(Error::clone)
        };
    entries.iter().zip(extensions).map(outcome).collect()
}

/// Returns the etcd leases of the entries ahead of those that wait. The entries of the batch itself
/// are not among them, because their times follow from their renewals.
fn leases_ahead(queues: &Queues<'_>, entries: &[&RenewOptions]) -> Vec<i64> {
    let own: HashSet<LeaseId> = entries.iter().map(|entry| entry.lease).collect();
    let mut leases = Vec::new();
    for stored in queues.values().flatten() {
        let last = stored.entries().rposition(|entry| own.contains(&entry.lease));
        let Some(last) = last.filter(|last| *last >= stored.holding()) else { continue };
        let ahead = stored.entries().take(last.min(ENTRIES_AHEAD));
        let others = ahead.filter(|entry| !own.contains(&entry.lease));
        leases.extend(others.map(|entry| entry.etcd_lease));
    }
    leases
}

/// These values are the same for all renewals of a batch.
struct EntryRenewal<'a> {
    client: &'a EtcdClient,
    keys: &'a Keys,
    call: &'a BoundedCall,
}

impl EntryRenewal<'_> {
    /// Returns the queue of each name, all as of the same time. Names without keys are left out.
    async fn read_queues<'n>(
        &self,
        names: &[&'n LockName],
    ) -> Vec<(&'n LockName, Result<StoredLock>)> {
        let read = queue_transaction::read_queues(self.keys, names);
        let mut found = match self.call.read_large_txn(read).await {
            Ok(found) => stored_locks(self.keys, &found),
            Err(error) => return names.iter().map(|name| (*name, Err(error.clone()))).collect(),
        };
        let queues = names.iter().filter_map(|name| Some((*name, found.remove(*name)?.checked())));
        queues.collect()
    }

    /// Extends an entry, unless it has to leave, and returns how much time is left of it; `None` if
    /// it is not live.
    async fn extend(
        &self,
        RenewOptions { name, lease, ttl, .. }: &RenewOptions,
        queue: Option<&Result<StoredLock>>,
    ) -> Result<Option<Duration>> {
        let Some(queue) = queue else { return Ok(None) };
        let queue = queue.as_ref().map_err(Error::clone)?;
        let Some(entry) = queue.entry(*lease) else { return Ok(None) };
        if queue.disabled.is_some() || queue.reason_to_leave(entry).is_some() {
            let left = self.call.time_to_live(entry.etcd_lease).await?;
            return Ok(left.map(|left| left.for_holder));
        }
        let seconds = seconds(*ttl);
        if seconds_of(entry.etcd_lease) != seconds {
            return self.change_ttl(name, entry, seconds).await.map(Some);
        }
        Ok(match self.call.keep_alive(entry.etcd_lease).await? {
            Ok(before) => {
                let extended_at = self.call.requested_at(before);
                self.client.leases().extended(entry.etcd_lease, extended_at);
                Some(whole_seconds(seconds).saturating_sub(before))
            }
            Err(LeaseExpired) => None,
        })
    }

    /// Extends an entry with a different ttl, by a new etcd lease to which its key moves. If the
    /// entry changed since it was read, the next renewal finds out how.
    async fn change_ttl(
        &self,
        name: &LockName,
        entry: &StoredEntry,
        seconds: i64,
    ) -> Result<Duration> {
        let sent_at = Instant::now();
        let (new, granted) = self.call.grant(seconds).await?;
        let txn = queue_transaction::move_entry(self.keys, name, entry, new);
        let moved = self.call.write_txn(txn).await?;
        if !moved.is_ok_and(|moved| moved.succeeded()) {
            self.client.discard(new);
            return Err(contended());
        }
        self.client.discard(entry.etcd_lease);
        Ok(granted.saturating_sub(sent_at.elapsed()))
    }
}
