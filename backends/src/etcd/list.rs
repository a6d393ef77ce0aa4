//! Reads the records of names, one by one or a page at a time.

use std::collections::BTreeMap;

use etcd_client::{GetOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::client::{BoundedCall, EtcdClient};
use super::keys::{Family, Keys};
use super::limits::TTL_QUERIES_AT_ONCE;
use super::stored_lock::{StoredLock, stored_locks};
use super::transaction;
use crate::shell::{Entry, Found, Page};
use crate::{LockName, Result};

/// Returns the record of a name; `None` if there is none.
pub(super) async fn read(
    client: &EtcdClient,
    keys: &Keys,
    name: &LockName,
) -> Result<Option<Entry>> {
    let call = client.call();
    let found = call.read_txn(transaction::read(keys, name)).await?;
    match stored_locks(keys, &found).remove(name) {
        Some(stored_lock) => Ok(Some(entry(&call, keys, name.clone(), stored_lock).await?)),
        None => Ok(None),
    }
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
    let call = &call;
    let entries: Vec<_> = stream::iter(stored_locks)
        .map(|(name, stored_lock)| async move { entry(call, keys, name, stored_lock).await })
        .buffered(TTL_QUERIES_AT_ONCE)
        .try_collect()
        .await?;
    Ok(Found { entries, next })
}

async fn entry(
    call: &BoundedCall,
    keys: &Keys,
    name: LockName,
    stored_lock: StoredLock,
) -> Result<Entry> {
    Ok(match stored_lock.into_record(call, keys, name.clone(), None).await? {
        Ok(record) => Entry::Record(record),
        Err(error) => Entry::Corrupt { name: Some(name), error },
    })
}

/// Returns the stored state of the next names, which may be more than fit on the page, and the last
/// of them if others may follow.
async fn read_page(
    call: &BoundedCall,
    keys: &Keys,
    page: &Page<'_>,
) -> Result<(BTreeMap<LockName, StoredLock>, Option<Vec<u8>>)> {
    let count = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let ranges = Family::ALL.map(|family| {
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
        keys.name_in(family, last.key()).map(<[u8]>::to_vec)
    });
    let end: Option<Vec<u8>> = ends.min();
    let mut stored_locks = stored_locks(keys, &found);
    if let Some(end) = &end {
        stored_locks.retain(|name, _| name.as_str().as_bytes() <= end.as_slice());
    }
    Ok((stored_locks, end))
}
