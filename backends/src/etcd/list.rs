//! Reads the records of names, one by one or a page at a time.

use std::collections::BTreeMap;

use etcd_client::{GetOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse, TxnResponse};
use futures_util::{StreamExt, stream};

use super::client::BoundedCall;
use super::keys::Family;
use super::limits::TTL_QUERIES_AT_ONCE;
use super::record::{self, StoredLock};
use super::shared::EtcdInner;
use crate::{Error, LeaseRecord, ListOptions, LockName, LockRecord, Result};

impl EtcdInner {
    /// Collects by name what [`reads`](Self::reads) or ranges of all families returned. A key that
    /// cannot be read is an error for its own name only.
    fn stored_locks(&self, response: &TxnResponse) -> BTreeMap<LockName, StoredLock> {
        let mut stored_locks = BTreeMap::<LockName, StoredLock>::new();
        for answer in response.op_responses() {
            let TxnOpResponse::Get(got) = answer else { continue };
            for kv in got.kvs() {
                let Some((family, name)) = self.keys.parse(kv.key()) else { continue };
                let Ok(name) = LockName::new(name) else { continue };
                let read = |stored_lock: &mut StoredLock| {
                    match family {
                        Family::Lease => stored_lock.lease = Some(record::lease(kv)?),
                        Family::Holder => stored_lock.holder = Some(record::holder(kv)?),
                        Family::Ending => stored_lock.ending = Some(record::ending(kv)?),
                        Family::Granted => stored_lock.token = Some(record::token(kv)?),
                        Family::Disabled => stored_lock.disabled = Some(record::disabled(kv)?),
                    }
                    Ok(())
                };
                let stored_lock = stored_locks.entry(name.clone()).or_default();
                if let Err(error) = read(stored_lock) {
                    let error: Error = error;
                    stored_lock.corrupt.get_or_insert(error.for_lock(&name));
                }
            }
        }
        stored_locks
    }

    /// Returns what is stored of the name, all of which must be readable.
    pub(super) fn stored_lock(
        &self,
        response: &TxnResponse,
        name: &LockName,
    ) -> Result<StoredLock> {
        let stored_lock = self.stored_locks(response).remove(name).unwrap_or_default();
        stored_lock.corrupt.clone().map_or(Ok(stored_lock), Err)
    }

    /// Returns the record of a name. The inner error says that it cannot be read.
    async fn record(
        &self,
        call: &BoundedCall,
        name: &LockName,
        stored_lock: StoredLock,
    ) -> Result<Result<LockRecord>> {
        let StoredLock { lease, holder, ending, token, disabled, corrupt } = stored_lock;
        if let Some(error) = corrupt {
            return Ok(Err(error));
        }
        let lease = match lease {
            Some(lease) => call.time_to_live(lease.etcd_lease).await?.map(|left| (lease.id, left)),
            None => None,
        };
        let lease = match (lease, holder) {
            (Some((id, left)), Some((holder, held_for))) => {
                Some(LeaseRecord { id, holder, held_for, left: left.for_waiters, ending })
            }
            (Some(_), None) => return Ok(Err(self.contradiction(name).for_lock(name))),
            (None, _) => None,
        };
        Ok(Ok(LockRecord { name: name.clone(), token, lease, disabled, corrupt: None }))
    }

    pub(super) async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let call = self.etcd.call();
        let found = call.read_txn(Txn::new().and_then(self.reads(name))).await?;
        match self.stored_locks(&found).remove(name) {
            Some(stored_lock) => {
                let record = self.record(&call, name, stored_lock).await?;
                let unreadable = |error| LockRecord::unreadable(name.clone(), &error);
                Ok(Some(record.unwrap_or_else(unreadable)))
            }
            None => Ok(None),
        }
    }

    pub(super) async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let ListOptions { prefix, after, limit } = options;
        let call = self.etcd.call();
        let mut after = after.as_ref().map(|name| name.as_str().as_bytes().to_vec());
        let mut stored_locks = BTreeMap::new();
        while stored_locks.len() < *limit {
            let (found, next) = self.page(&call, prefix, after.as_deref(), *limit).await?;
            stored_locks.extend(found);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let call = &call;
        let records = stream::iter(stored_locks.into_iter().take(*limit))
            .map(|(name, stored_lock)| async move {
                let record = self.record(call, &name, stored_lock).await?;
                Ok(record.unwrap_or_else(|error| LockRecord::unreadable(name, &error)))
            })
            .buffered(TTL_QUERIES_AT_ONCE)
            .collect::<Vec<_>>();
        records.await.into_iter().collect()
    }

    /// Returns what is stored of the first names after the given one, and the last of them if there
    /// are more. Keys that contain no valid name are skipped.
    async fn page(
        &self,
        call: &BoundedCall,
        prefix: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(BTreeMap<LockName, StoredLock>, Option<Vec<u8>>)> {
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let ranges = Family::ALL.map(|family| {
            let (start, end) = (self.keys.start(family, prefix), self.keys.end(family, prefix));
            let start =
                after.map_or(start.clone(), |name| self.keys.range_after(family, name).max(start));
            // The range is empty if the name to start after sorts behind the prefix.
            let end = end.max(start.clone());
            let range = GetOptions::new()
                .with_range(end)
                .with_sort(SortTarget::Key, SortOrder::Ascend)
                .with_limit(count);
            TxnOp::get(start, Some(range))
        });
        let found = call.read_large_txn(Txn::new().and_then(ranges)).await?;
        // The name up to which each family was read.
        let ends =
            Family::ALL.into_iter().zip(found.op_responses()).filter_map(|(family, answer)| {
                let TxnOpResponse::Get(got) = answer else { return None };
                let last = got.kvs().last().filter(|_| got.more())?;
                self.keys.name_in(family, last.key()).map(<[u8]>::to_vec)
            });
        let end: Option<Vec<u8>> = ends.min();
        let mut stored_locks = self.stored_locks(&found);
        if let Some(end) = &end {
            stored_locks.retain(|name, _| name.as_str().as_bytes() <= end.as_slice());
        }
        Ok((stored_locks, end))
    }
}
