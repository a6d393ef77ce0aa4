//! The crate `distributed-lock-redis`: Redlock, here with one server. Waiters poll, and a task
//! extends each lock.

use anyhow::Result;
use async_trait::async_trait;
use distributed_lock_core::traits::{DistributedLock, LockHandle, LockProvider};
use distributed_lock_redis::RedisLockProvider;

use crate::contender::{LockLibrary, Release};

pub(super) struct DistributedRedis(RedisLockProvider);

pub(super) async fn open(url: &str) -> Result<DistributedRedis> {
    Ok(DistributedRedis(RedisLockProvider::new(url).await?))
}

#[async_trait]
impl LockLibrary for DistributedRedis {
    fn name(&self) -> &str {
        "distributed-lock-redis"
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let lock = self.0.create_lock(&format!("leasehold_bench_peer:{lock}"));
        let handle = lock.acquire(None).await?;
        Ok(Box::pin(async move { Ok(handle.release().await?) }))
    }
}
