//! A transaction puts the key, attached to an etcd lease that is kept alive in the same round trip,
//! and another transaction deletes the key. The token is the revision of the first.
//!
//! Each lock has an etcd lease of its own, so that it expires by itself. This lease was granted
//! before, since granting one is another write on each member. Its ttl begins with the keep-alive,
//! which writes nothing.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use etcd_client::{
    Client, Compare, CompareOp, KvClient, LeaseKeepAliveStream, LeaseKeeper, PutOptions,
    ResponseHeader, Txn, TxnOp,
};
use tokio::sync::Mutex;

use super::server::LeasingServer;
use crate::floor::etcd::TTL_SECONDS;
use crate::floor::record::HOLDER;
use crate::url::rest;

/// This is an etcd lease, with the stream that keeps it alive.
struct EtcdLease {
    keeper: LeaseKeeper,
    replies: LeaseKeepAliveStream,
}

pub(super) struct Etcd {
    kv: KvClient,
    /// Each lock has one of these.
    leases: HashMap<String, Mutex<EtcdLease>>,
}

pub(super) async fn open(url: &str, locks: &[String]) -> Result<Etcd> {
    let client = Client::connect([rest(url)], None).await?;
    let (mut kv, mut client) = (client.kv_client(), client.lease_client());
    let mut leases = HashMap::new();
    for lock in locks {
        // An earlier run may have been stopped between its two transactions.
        kv.delete(key_of(lock), None).await?;
        let id = client.grant(TTL_SECONDS, None).await?.id();
        let (keeper, replies) = client.keep_alive(id).await?;
        leases.insert(lock.clone(), Mutex::new(EtcdLease { keeper, replies }));
    }
    Ok(Etcd { kv, leases })
}

fn key_of(lock: &str) -> String {
    format!("leasehold_bench_floor_lease/{lock}")
}

/// Returns the value of the key, which names the lease and the holder.
fn value_of(lease: &str) -> String {
    format!("{lease} {HOLDER}")
}

impl EtcdLease {
    async fn keep_alive(&mut self) -> Result<()> {
        self.keeper.keep_alive().await?;
        let reply = self.replies.message().await?;
        ensure!(reply.is_some_and(|reply| reply.ttl() > 0), "an etcd lease of the floor is over");
        Ok(())
    }
}

#[async_trait]
impl LeasingServer for Etcd {
    async fn grant(&self, lock: &str, lease: &str) -> Result<i64> {
        let attached = self.leases.get(lock).context("the floor was opened for other locks")?;
        let mut attached = attached.lock().await;
        let (mut kv, key) = (self.kv.clone(), key_of(lock));
        let is_free = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
        let options = PutOptions::new().with_lease(attached.keeper.id());
        let put = TxnOp::put(key.as_str(), value_of(lease), Some(options));
        let put = Txn::new().when([is_free]).and_then([put]);
        let (done, extended) = tokio::join!(kv.txn(put), attached.keep_alive());
        extended?;
        let done = done?;
        ensure!(done.succeeded(), "the floor's lock is held");
        done.header().map(ResponseHeader::revision).context("the reply of etcd has no revision")
    }

    async fn release(&self, lock: &str, lease: &str) -> Result<()> {
        let (mut kv, key) = (self.kv.clone(), key_of(lock));
        let is_held = Compare::value(key.as_str(), CompareOp::Equal, value_of(lease));
        let delete = TxnOp::delete(key.as_str(), None);
        let done = kv.txn(Txn::new().when([is_held]).and_then([delete])).await?;
        ensure!(done.succeeded(), "the key of the floor is missing");
        Ok(())
    }
}
