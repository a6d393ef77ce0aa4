//! The floor of etcd: `LeaseGrant`, a transaction that puts the key, and `LeaseRevoke`, which
//! deletes it.
//!
//! These are three round trips and three proposals, as in acquire and release. Leasehold revokes
//! the etcd lease in the background and deletes the key by a transaction.

use anyhow::{Result, ensure};
use async_trait::async_trait;
use etcd_client::{
    Client, Compare, CompareOp, GetOptions, KvClient, LeaseClient, PutOptions, Txn, TxnOp,
};

use super::driver::Floor;
use crate::url::rest;

const TTL_SECONDS: i64 = 60;

pub(super) struct Etcd {
    kv: KvClient,
    leases: LeaseClient,
}

pub(super) async fn open(url: &str) -> Result<Etcd> {
    let client = Client::connect([rest(url)], None).await?;
    Ok(Etcd { kv: client.kv_client(), leases: client.lease_client() })
}

#[async_trait]
impl Floor for Etcd {
    async fn ping(&self) -> Result<()> {
        let serializable = GetOptions::new().with_serializable();
        self.kv.clone().get("leasehold_bench_floor/ping", Some(serializable)).await?;
        Ok(())
    }

    async fn pair(&self, lock: &str) -> Result<()> {
        let (mut kv, mut leases) = (self.kv.clone(), self.leases.clone());
        let key = format!("leasehold_bench_floor/{lock}");
        let lease = leases.grant(TTL_SECONDS, None).await?.id();
        let free = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
        let put = TxnOp::put(key.as_str(), "floor", Some(PutOptions::new().with_lease(lease)));
        let done = kv.txn(Txn::new().when([free]).and_then([put])).await?;
        ensure!(done.succeeded(), "the key of the floor exists");
        leases.revoke(lease).await?;
        Ok(())
    }
}
