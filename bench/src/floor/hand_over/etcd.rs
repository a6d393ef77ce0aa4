//! A transaction puts the key, another one deletes it, and a watch reports deletions.

use anyhow::{Result, ensure};
use async_trait::async_trait;
use etcd_client::{
    Client, Compare, CompareOp, KvClient, PutOptions, Txn, TxnOp, WatchFilterType, WatchOptions,
};

use super::server::{Notified, NotifyingServer};
use crate::floor::etcd::TTL_SECONDS;
use crate::url::rest;

const PREFIX: &str = "leasehold_bench_hand_over/";

pub(super) struct Etcd {
    kv: KvClient,
    lease: i64,
}

pub(super) async fn open(url: &str, notified: Notified) -> Result<Etcd> {
    let client = Client::connect([rest(url)], None).await?;
    let lease = client.lease_client().grant(TTL_SECONDS, None).await?.id();
    let options = WatchOptions::new().with_prefix().with_filters([WatchFilterType::NoPut]);
    let mut deletions = client.watch_client().watch(PREFIX, Some(options)).await?;
    tokio::spawn(async move {
        while let Ok(Some(_)) = deletions.message().await {
            notified.notify_waiters();
        }
    });
    Ok(Etcd { kv: client.kv_client(), lease })
}

fn key_of(lock: &str) -> String {
    format!("{PREFIX}{lock}")
}

#[async_trait]
impl NotifyingServer for Etcd {
    async fn set(&self, lock: &str) -> Result<bool> {
        let key = key_of(lock);
        let free = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
        let attached = PutOptions::new().with_lease(self.lease);
        let put = TxnOp::put(key.as_str(), "floor", Some(attached));
        let done = self.kv.clone().txn(Txn::new().when([free]).and_then([put])).await?;
        Ok(done.succeeded())
    }

    async fn unset(&self, lock: &str) -> Result<()> {
        let key = key_of(lock);
        let held = Compare::value(key.as_str(), CompareOp::Equal, "floor");
        let delete = TxnOp::delete(key.as_str(), None);
        let done = self.kv.clone().txn(Txn::new().when([held]).and_then([delete])).await?;
        ensure!(done.succeeded(), "the key of the floor is missing");
        Ok(())
    }
}
