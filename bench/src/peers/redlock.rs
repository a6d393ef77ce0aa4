//! The crate `rslock`: Redlock, here with one server. Waiters poll.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use rslock::LockManager;

use crate::contender::{LockLibrary, Release};

const TTL: Duration = Duration::from_secs(15);

pub(super) struct Redlock(LockManager);

pub(super) fn open(url: &str) -> Redlock {
    Redlock(LockManager::new(vec![url.to_owned()]))
}

#[async_trait]
impl LockLibrary for Redlock {
    fn name(&self) -> &str {
        "rslock"
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let key = format!("leasehold_bench_peer:{lock}");
        let held = self.0.acquire_no_guard(key.as_bytes(), TTL).await?;
        let manager = self.0.clone();
        Ok(Box::pin(async move {
            manager.unlock(&held).await;
            Ok(())
        }))
    }
}
