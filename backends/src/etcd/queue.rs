//! Enters the queue of a name: a read of the name, then one transaction.
//!
//! The etcd lease of the entry is extended or created while the name is read, and the remaining
//! times of the entries ahead are requested during the transaction. So both take no round trips of
//! their own.

use std::time::Duration;

use etcd_client::{ResponseHeader, TxnResponse};
use futures_util::future::join;
use tokio::time::timeout;

use super::client::{BoundedCall, EtcdClient};
use super::keys::Keys;
use super::lease_id::seconds;
use super::lease_pool::EtcdLease;
use super::limits::{ENTRIES_AHEAD, STALL_TIMEOUT};
use super::stored_lock::{self, StoredLock};
use super::times_left::TimesLeft;
use super::{queue_transaction, transaction};
use crate::{Clock, EnterOptions, LockName, LockRecord, Result, SystemClock, count_holding};

/// Adds an entry, unless something prevents it, and returns the record as it is then. Returns
/// `None` if the name changed in between.
pub(super) async fn enter(
    client: &EtcdClient,
    call: &BoundedCall,
    keys: &Keys,
    name: &LockName,
    options: &EnterOptions,
) -> Result<Option<LockRecord>> {
    let read = call.read_large_txn(transaction::read(keys, name));
    let (found, lease) = join(read, usable_lease(client, call, options.ttl)).await;
    let seen = found.and_then(|found| {
        let stored = stored_lock::readable(keys, &found, name)?;
        Ok((may_enter(keys, name, options, &stored)?, stored, revision(&found)))
    });
    let (stored, revision) = match seen {
        Ok((true, stored, revision)) => (stored, revision),
        seen => {
            // Nothing was attached to it.
            if let Ok(lease) = lease {
                client.keep(lease);
            }
            let (_, stored, _) = seen?;
            return refused(call, keys, name, options, stored).await;
        }
    };
    let lease = lease?;
    let put = queue_transaction::enter(keys, name, options, (&stored, revision), lease.id);
    let ahead = if holds(&stored, options) { Vec::new() } else { leases_ahead(&stored) };
    let (done, mut times) = join(call.write_txn(put), TimesLeft::of_others(call, ahead)).await;
    // If its outcome is unknown, the entry may still appear, and the etcd lease is not kept.
    let Ok(response) = done? else { return Ok(None) };
    if !response.succeeded() {
        client.keep(lease);
        return Ok(None);
    }
    let now = SystemClock.now();
    client.leases().attach(lease, now);
    times.set(lease.id, lease.left(now));
    let stored = stored_lock::readable(keys, &response, name)?;
    stored.into_record(keys, name.clone(), Some(options.lease), &times).map(Some)
}

/// Returns an etcd lease that is in force for its whole ttl from a time in this call: a kept one that
/// was extended, or a new one.
async fn usable_lease(client: &EtcdClient, call: &BoundedCall, ttl: Duration) -> Result<EtcdLease> {
    let seconds = seconds(ttl);
    if let Some(kept) = client.leases().take(seconds, SystemClock.now())
        && let Ok(Ok(Ok(before))) = timeout(STALL_TIMEOUT, call.keep_alive(kept.id)).await
        // The reply counts only if it came while the etcd lease was certainly in force.
        && kept.left(SystemClock.now()) >= kept.ttl / 4
    {
        return Ok(kept.extended(call.requested_at(before)));
    }
    let requested_at = SystemClock.now();
    let (id, ttl) = call.grant(seconds).await?;
    Ok(EtcdLease::new(id, ttl, requested_at))
}

/// Returns the revision at which a transaction read.
fn revision(response: &TxnResponse) -> i64 {
    response.header().map_or(0, ResponseHeader::revision)
}

/// Returns whether nothing prevents the entry, by what was read of the name.
fn may_enter(
    keys: &Keys,
    name: &LockName,
    options: &EnterOptions,
    stored: &StoredLock,
) -> Result<bool> {
    if stored.lease.is_some() {
        return Ok(false);
    }
    let times = TimesLeft::default();
    let record = stored.clone().into_record(keys, name.clone(), Some(options.lease), &times)?;
    Ok(matches!(record.enter_outcome(options), Ok(None)))
}

/// Returns the record that shows why there is no new entry; `None` if it shows no reason any longer.
async fn refused(
    call: &BoundedCall,
    keys: &Keys,
    name: &LockName,
    options: &EnterOptions,
    stored: StoredLock,
) -> Result<Option<LockRecord>> {
    let mut leases = Vec::new();
    let own = stored.entry(options.lease).map(|entry| entry.etcd_lease);
    if stored.disabled.is_none() {
        leases.extend(stored.lease.map(|lease| lease.etcd_lease));
        leases.extend(leases_ahead(&stored));
        leases.extend(own);
    }
    let times = TimesLeft::request(call, leases).await?;
    if stored.disabled.is_none() && own.is_some_and(|own| times.of_lease(own).is_none()) {
        // The attempt's own entry has expired, and its key is about to disappear.
        return Ok(None);
    }
    stored.into_record(keys, name.clone(), Some(options.lease), &times).map(Some)
}

/// Returns whether a new entry would hold the lock at once.
fn holds(stored: &StoredLock, options: &EnterOptions) -> bool {
    let weights = stored.entries().map(|entry| entry.weight).chain([options.weight]);
    count_holding(weights, options.kind.capacity()) > stored.entries().len()
}

/// Returns the etcd leases of the entries whose times an entry that waits behind them needs.
fn leases_ahead(stored: &StoredLock) -> Vec<i64> {
    stored.entries().take(ENTRIES_AHEAD).map(|entry| entry.etcd_lease).collect()
}
