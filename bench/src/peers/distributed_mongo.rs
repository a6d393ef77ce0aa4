//! The crate `distributed-lock-mongo`, which takes the server's time. Waiters poll, and no lock is
//! renewed.

use anyhow::{Context, Result};
use async_trait::async_trait;
use distributed_lock_core::traits::{DistributedLock, LockHandle};
use distributed_lock_mongo::MongoDistributedLock;
use mongodb::{Client, Database};

use crate::contender::{LockLibrary, Release};

pub(super) struct DistributedMongo(Database);

pub(super) async fn open(url: &str) -> Result<DistributedMongo> {
    let client = Client::with_uri_str(url).await?;
    Ok(DistributedMongo(client.default_database().context("the URL names no database")?))
}

#[async_trait]
impl LockLibrary for DistributedMongo {
    fn name(&self) -> &str {
        "distributed-lock-mongo"
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let collection = Some("leasehold_bench_peer".to_owned());
        let lock = MongoDistributedLock::new(lock.to_owned(), self.0.clone(), collection, None);
        let handle = lock.acquire(None).await?;
        Ok(Box::pin(async move { Ok(handle.release().await?) }))
    }
}
