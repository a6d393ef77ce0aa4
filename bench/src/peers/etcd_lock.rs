//! etcd's own lock API.
//!
//! Locks of one lease do not exclude each other, so each waiter takes a lease of its own. Leases
//! are reused and not renewed, which is to the peer's advantage.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use etcd_client::{Client, LeaseClient, LockClient, LockOptions};

use crate::contender::{LockLibrary, Release};
use crate::url::rest;

/// No run takes this long.
const TTL_SECONDS: i64 = 24 * 60 * 60;

pub(super) struct EtcdLock {
    locks: LockClient,
    leases: LeaseClient,
    free: Arc<Mutex<Vec<i64>>>,
}

pub(super) async fn open(url: &str) -> Result<EtcdLock> {
    let client = Client::connect([rest(url)], None).await?;
    Ok(EtcdLock {
        locks: client.lock_client(),
        leases: client.lease_client(),
        free: Arc::default(),
    })
}

#[async_trait]
impl LockLibrary for EtcdLock {
    fn name(&self) -> &str {
        "etcd's lock API"
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let lease = match free {
            Some(lease) => lease,
            None => self.leases.clone().grant(TTL_SECONDS, None).await?.id(),
        };
        let mut locks = self.locks.clone();
        let name = format!("leasehold_bench_peer/{lock}");
        let options = LockOptions::new().with_lease(lease);
        let key = locks.lock(name, Some(options)).await?.key().to_vec();
        let free = self.free.clone();
        Ok(Box::pin(async move {
            locks.unlock(key).await?;
            free.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
            Ok(())
        }))
    }
}
