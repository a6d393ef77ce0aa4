//! Reads the records of names, one by one or a page at a time.

use std::collections::BTreeMap;

use etcd_client::{GetOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse};

use super::client::{BoundedCall, EtcdClient};
use super::keys::{Family, Keys};
use super::stored_lock::{StoredLock, stored_locks};
use super::times_left::TimesLeft;
use super::transaction;
use crate::shell::{Entry, Found, Page};
use crate::{LockName, MAX_ENTRIES, Result};

/// Returns the record of a name; `None` if there is none.
pub(super) async fn read(
    client: &EtcdClient,
    keys: &Keys,
    name: &LockName,
) -> Result<Option<Entry>> {
    let call = client.call();
    let found = call.read_large_txn(transaction::read(keys, name)).await?;
    let Some(stored_lock) = stored_locks(keys, &found).remove(name) else { return Ok(None) };
    let times = TimesLeft::request(&call, stored_lock.etcd_leases().collect()).await?;
    Ok(Some(entry(keys, name.clone(), stored_lock, &times)))
}

/// Returns the next entries of a list.
pub(super) async fn page(
    client: &EtcdClient,
    keys: &Keys,
    page: &Page<'_>,
) -> Result<Found<Entry>> {
    let call = client.call();
    let (stored_locks, mut next) = read_page(&call, keys, page).await?;
    let mut stored_locks: Vec<_> = stored_locks.into_iter().collect();
    if stored_locks.len() > page.limit {
        stored_locks.truncate(page.limit);
        next = stored_locks.last().map(|(name, _)| name.as_str().as_bytes().to_vec());
    }
    let leases = stored_locks.iter().flat_map(|(_, stored_lock)| stored_lock.etcd_leases());
    let times = TimesLeft::request(&call, leases.collect()).await?;
    let entries = stored_locks
        .into_iter()
        .map(|(name, stored_lock)| entry(keys, name, stored_lock, &times))
        .collect();
    Ok(Found { entries, next })
}

fn entry(keys: &Keys, name: LockName, stored_lock: StoredLock, times: &TimesLeft) -> Entry {
    match stored_lock.into_record(keys, name.clone(), None, times) {
        Ok(record) => Entry::Record(record),
        Err(error) => Entry::Corrupt { name: Some(name), error },
    }
}

/// Returns the stored state of the next names, which may be more than fit on the page, and the last
/// of them if others may follow.
async fn read_page(
    call: &BoundedCall,
    keys: &Keys,
    page: &Page<'_>,
) -> Result<(BTreeMap<LockName, StoredLock>, Option<Vec<u8>>)> {
    let ranges = Family::ALL.map(|family| {
        // A queue has many keys, and at least the first one must be read as a whole.
        let more = if family == Family::Entry { MAX_ENTRIES } else { 0 };
        let count = i64::try_from(page.limit.saturating_add(more)).unwrap_or(i64::MAX);
        let (start, end) = keys.range(family, page.prefix, page.after);
        let range = GetOptions::new()
            .with_range(end)
            .with_sort(SortTarget::Key, SortOrder::Ascend)
            .with_limit(count);
        TxnOp::get(start, Some(range))
    });
    let found = call.read_large_txn(Txn::new().and_then(ranges)).await?;
    // The name up to which each family was read.
    let ends = Family::ALL.into_iter().zip(found.op_responses()).filter_map(|(family, answer)| {
        let TxnOpResponse::Get(got) = answer else { return None };
        let last = got.kvs().last().filter(|_| got.more())?;
        let mut names = got.kvs().iter().rev().filter_map(|kv| keys.name_in(family, kv.key()));
        let last = keys.name_in(family, last.key())?;
        // The last queue may be incomplete. The names before it are complete.
        let complete = (family == Family::Entry).then(|| names.find(|name| *name != last));
        Some(complete.flatten().unwrap_or(last).to_vec())
    });
    let end: Option<Vec<u8>> = ends.min();
    let mut stored_locks = stored_locks(keys, &found);
    if let Some(end) = &end {
        stored_locks.retain(|name, _| name.as_str().as_bytes() <= end.as_slice());
    }
    Ok((stored_locks, end))
}
