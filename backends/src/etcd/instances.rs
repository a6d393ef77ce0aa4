//! Instances that make themselves known: a key each, on an etcd lease that it is kept alive by.
//!
//! Which etcd lease that is stands on the server with the key. So an instance has one of them at a
//! time, whoever announces it, and keeping it alive costs no member a write.

use std::time::Duration;

use etcd_client::{GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::client::{BoundedCall, LeaseExpired};
use super::lease_id::{seconds, seconds_of};
use super::limits::TTL_QUERIES_AT_ONCE;
use super::record;
use super::shared::EtcdInner;
use crate::{ErrorKind, InstanceRecord, Presence, Result};

/// How often an announcement is tried whose etcd lease ends meanwhile.
const TRIES: usize = 4;

pub(super) async fn announce(shared: &EtcdInner, presence: &Presence, ttl: Duration) -> Result<()> {
    let value = record::presence_value(presence)?;
    let (key, seconds) = (shared.keys.instance(presence.holder.instance), seconds(ttl));
    let call = shared.etcd.call();
    for _ in 0..TRIES {
        let found = call.read_txn(Txn::new().and_then([TxnOp::get(key.clone(), None)])).await?;
        if let Some(kv) = first(&found)
            && let Some(lease) = lease_of(shared, &kv)
            && seconds_of(lease) == seconds
            && call.keep_alive(lease).await?.is_ok()
        {
            if kv.value() == value || put(shared, &call, &key, &value, lease).await?.is_ok() {
                return Ok(());
            }
            continue;
        }
        let (lease, _) = call.grant(seconds).await?;
        match put(shared, &call, &key, &value, lease).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(LeaseExpired)) => {}
            Err(error) => {
                // Where it may be put all the same, the next attempt finds it, or it runs out.
                if error.kind() != ErrorKind::OutcomeUnknown {
                    shared.etcd.discard(lease);
                }
                return Err(error);
            }
        }
    }
    Err(shared.busy())
}

/// Keeps what an instance says on that etcd lease, and ends the one that it was on before.
async fn put(
    shared: &EtcdInner,
    call: &BoundedCall,
    key: &[u8],
    value: &[u8],
    lease: i64,
) -> Result<std::result::Result<(), LeaseExpired>> {
    let attached = PutOptions::new().with_lease(lease);
    let txn = Txn::new().and_then([TxnOp::get(key, None), TxnOp::put(key, value, Some(attached))]);
    let done = match call.write_txn(txn).await? {
        Ok(done) => done,
        Err(LeaseExpired) => return Ok(Err(LeaseExpired)),
    };
    let before = first(&done).and_then(|kv| lease_of(shared, &kv));
    before.filter(|before| *before != lease).into_iter().for_each(|it| shared.etcd.discard(it));
    Ok(Ok(()))
}

/// Waits until nothing is left on the server: who withdraws may be about to exit.
pub(super) async fn withdraw(shared: &EtcdInner, instance: Uuid) -> Result<()> {
    let (key, call) = (shared.keys.instance(instance), shared.etcd.call());
    let txn = Txn::new().and_then([TxnOp::get(key.clone(), None), TxnOp::delete(key, None)]);
    let done = call.write_txn(txn).await?.map_err(|LeaseExpired| shared.busy())?;
    if let Some(lease) = first(&done).and_then(|kv| lease_of(shared, &kv))
        && let Err(error) = call.revoke(lease).await
    {
        // It is forgotten already.
        tracing::debug!(%error, "an etcd lease is left to run out");
    }
    Ok(())
}

pub(super) async fn known(shared: &EtcdInner) -> Result<Vec<InstanceRecord>> {
    let call = shared.etcd.call();
    let (start, end) = shared.keys.instances();
    let range = GetOptions::new().with_range(end);
    let look = Txn::new().and_then([TxnOp::get(start, Some(range))]);
    let found = call.read_large_txn(look).await?.op_responses();
    let mut instances = Vec::new();
    for answer in &found {
        let TxnOpResponse::Get(got) = answer else { continue };
        for kv in got.kvs() {
            match record::instance(kv, &shared.keys) {
                Ok(instance) => instances.push(instance),
                // A damaged key must not hide the other instances.
                Err(error) => {
                    let error = error.during("instances").on_store(&shared.label);
                    tracing::error!(%error, "an instance cannot be shown");
                }
            }
        }
    }
    let call = &call;
    let known: Vec<_> = stream::iter(instances)
        .map(|(presence, lease)| async move {
            let left = call.time_to_live(lease).await?;
            Ok(left.map(|left| InstanceRecord { presence, left: left.for_waiters }))
        })
        .buffered(TTL_QUERIES_AT_ONCE)
        .filter_map(|known: Result<_>| async move { known.transpose() })
        .collect()
        .await;
    // The keys come in their byte order, which is that of the ids.
    known.into_iter().collect()
}

/// The etcd lease that an instance is on: none that somebody else may have put under its key.
fn lease_of(shared: &EtcdInner, kv: &KeyValue) -> Option<i64> {
    record::instance(kv, &shared.keys).ok().map(|(_, lease)| lease)
}

/// What a transaction that reads one key first found there.
fn first(done: &TxnResponse) -> Option<KeyValue> {
    match done.op_responses().into_iter().next() {
        Some(TxnOpResponse::Get(mut got)) => got.take_kvs().into_iter().next(),
        _ => None,
    }
}
