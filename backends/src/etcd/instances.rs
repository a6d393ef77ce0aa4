//! Keeps the texts of instances: each has a key, attached to an etcd lease that is kept alive.
//!
//! The server stores with the key to which etcd lease it is attached. So an instance has one such
//! lease at a time, whichever client announces it, and a keep-alive costs no member a write.

use std::time::Duration;

use etcd_client::{GetOptions, TxnOpResponse};
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::client::{BoundedCall, EtcdClient, LeaseExpired};
use super::error_codes::contended;
use super::keys::Keys;
use super::lease_id::{seconds, seconds_of};
use super::limits::TTL_QUERIES_AT_ONCE;
use super::record;
use super::transaction::{self, first_key};
use crate::shell::StoredInstance;
use crate::{ErrorKind, Result};

/// An announcement is tried this many times if its etcd lease ends in between.
const TRIES: usize = 4;

/// Stores the text of an instance for that long.
pub(super) async fn announce(
    client: &EtcdClient,
    keys: &Keys,
    instance: Uuid,
    text: &str,
    ttl: Duration,
) -> Result<()> {
    let (key, seconds) = (keys.instance(instance), seconds(ttl));
    let call = client.call();
    let announcement = Announcement { client, keys, call: &call, key: &key, text };
    for _ in 0..TRIES {
        let found = call.read_txn(transaction::read_key(&key)).await?;
        if let Some(kv) = first_key(&found)
            && let Some(lease) = record::instance_lease(&kv, keys)
            && seconds_of(lease) == seconds
            && call.keep_alive(lease).await?.is_ok()
        {
            let is_current = kv.value() == text.as_bytes();
            if is_current || announcement.put(lease).await?.is_ok() {
                return Ok(());
            }
            continue;
        }
        let (lease, _) = call.grant(seconds).await?;
        match announcement.put(lease).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(LeaseExpired)) => {}
            Err(error) => {
                // If the key may have been put, the next announcement finds it, or it expires.
                if error.kind() != ErrorKind::OutcomeUnknown {
                    client.discard(lease);
                }
                return Err(error);
            }
        }
    }
    Err(contended())
}

/// A text to store under a key.
struct Announcement<'a> {
    client: &'a EtcdClient,
    keys: &'a Keys,
    call: &'a BoundedCall,
    key: &'a [u8],
    text: &'a str,
}

impl Announcement<'_> {
    /// Attaches the key to that etcd lease, and ends the one to which it was attached before.
    async fn put(&self, lease: i64) -> Result<std::result::Result<(), LeaseExpired>> {
        let Self { client, keys, call, key, text } = self;
        let done = match call.write_txn(transaction::replace(key, text, lease)).await? {
            Ok(done) => done,
            Err(LeaseExpired) => return Ok(Err(LeaseExpired)),
        };
        let before = first_key(&done).and_then(|kv| record::instance_lease(&kv, keys));
        if let Some(before) = before.filter(|before| *before != lease) {
            client.discard(before);
        }
        Ok(Ok(()))
    }
}

/// Removes the text of an instance and its etcd lease. It waits for both, since the caller may be
/// about to exit.
pub(super) async fn withdraw(client: &EtcdClient, keys: &Keys, instance: Uuid) -> Result<()> {
    let call = client.call();
    let removal = transaction::remove(&keys.instance(instance));
    let done = call.write_txn(removal).await?.map_err(|LeaseExpired| contended())?;
    if let Some(lease) = first_key(&done).and_then(|kv| record::instance_lease(&kv, keys))
        && let Err(error) = call.revoke(lease).await
    {
        // The key is removed already.
        tracing::debug!(%error, "could not revoke an etcd lease; it will expire");
    }
    Ok(())
}

/// Reads the texts of all instances.
pub(super) async fn instances(client: &EtcdClient, keys: &Keys) -> Result<Vec<StoredInstance>> {
    let call = client.call();
    let (start, end) = keys.instances();
    let range = GetOptions::new().with_range(end);
    let found = call.read_large_txn(transaction::read_range(start, range)).await?;
    let mut records = Vec::new();
    for answer in found.op_responses() {
        let TxnOpResponse::Get(got) = answer else { continue };
        records
            .extend(got.kvs().iter().map(|kv| (keys.instance_in(kv.key()), record::instance(kv))));
    }
    let call = &call;
    let stored: Vec<_> = stream::iter(records)
        .map(|(key, record)| async move { stored_instance(call, key, record).await })
        .buffered(TTL_QUERIES_AT_ONCE)
        .filter_map(|stored| async move { stored.transpose() })
        .collect()
        .await;
    stored.into_iter().collect()
}

/// Adds how much longer an instance is kept; `None` if it has expired.
async fn stored_instance(
    call: &BoundedCall,
    key: String,
    record: Result<(String, i64)>,
) -> Result<Option<StoredInstance>> {
    let (text, lease) = match record {
        Ok(record) => record,
        Err(error) => {
            return Ok(Some(StoredInstance { key, text: Err(error), left: Duration::ZERO }));
        }
    };
    let left = call.time_to_live(lease).await?;
    Ok(left.map(|left| StoredInstance { key, text: Ok(text), left: left.for_waiters }))
}
