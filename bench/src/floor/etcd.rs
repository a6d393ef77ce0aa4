//! The floor of etcd: a transaction that puts the key, attached to an etcd lease, and another one
//! that deletes it.
//!
//! These are two round trips and two proposals, as an acquire on an existing etcd lease and its
//! release have.

use anyhow::{Result, ensure};
use async_trait::async_trait;
use etcd_client::{Client, Compare, CompareOp, GetOptions, KvClient, PutOptions, Txn, TxnOp};

use super::driver::Floor;
use crate::url::rest;

/// The etcd lease lasts longer than any run.
pub(super) const TTL_SECONDS: i64 = 24 * 60 * 60;

pub(super) struct Etcd {
    kv: KvClient,
    lease: i64,
}

pub(super) async fn open(url: &str, locks: &[String]) -> Result<Etcd> {
    let client = Client::connect([rest(url)], None).await?;
    let lease = client.lease_client().grant(TTL_SECONDS, None).await?.id();
    let mut kv = client.kv_client();
    for lock in locks {
        // An earlier run may have been stopped between its two transactions.
        kv.delete(key_of(lock), None).await?;
    }
    Ok(Etcd { kv, lease })
}

fn key_of(lock: &str) -> String {
    format!("leasehold_bench_floor/{lock}")
}

#[async_trait]
impl Floor for Etcd {
    async fn ping(&self) -> Result<()> {
        let serializable = GetOptions::new().with_serializable();
        self.kv.clone().get("leasehold_bench_floor/ping", Some(serializable)).await?;
        Ok(())
    }

    async fn set_and_unset(&self, lock: &str) -> Result<()> {
        let (mut kv, key) = (self.kv.clone(), key_of(lock));
        let free = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
        let attached = PutOptions::new().with_lease(self.lease);
        let put = TxnOp::put(key.as_str(), "floor", Some(attached));
        let done = kv.txn(Txn::new().when([free]).and_then([put])).await?;
        ensure!(done.succeeded(), "the key of the floor exists");
        let held = Compare::value(key.as_str(), CompareOp::Equal, "floor");
        let delete = TxnOp::delete(key.as_str(), None);
        let done = kv.txn(Txn::new().when([held]).and_then([delete])).await?;
        ensure!(done.succeeded(), "the key of the floor is missing");
        Ok(())
    }
}
