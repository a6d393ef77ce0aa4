//! The crate `distributed-lock-redis`: Redlock, here with one server. A task extends each lock.
//!
//! Its `acquire` tries once and does not wait, whatever its limit: a lock that is held makes it
//! fail as timed out. So the measurement polls, as an application that waits must do.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use distributed_lock_core::traits::{DistributedLock, LockHandle, LockProvider};
use distributed_lock_redis::RedisLockProvider;
use tokio::time::sleep;

use crate::contender::{LockLibrary, Release};

/// Waiters of `distributed-lock-mongo`, from the same project, poll at this interval.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

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
        let handle = loop {
            if let Some(handle) = lock.try_acquire().await? {
                break handle;
            }
            sleep(POLL_INTERVAL).await;
        };
        Ok(Box::pin(async move { Ok(handle.release().await?) }))
    }
}
