//! PostgreSQL's advisory locks, as sqlx offers them.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::postgres::{PgAdvisoryLock, PgPool, PgPoolOptions};

use super::limits::CONNECTIONS;
use crate::contender::{LockLibrary, Release};

pub(super) struct AdvisoryLock(PgPool);

/// Creates the pool. Its connections are not tested before use, which is to the peer's advantage.
pub(super) fn open(url: &str) -> Result<AdvisoryLock> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    Ok(AdvisoryLock(pool.connect_lazy(url)?))
}

#[async_trait]
impl LockLibrary for AdvisoryLock {
    fn name(&self) -> &str {
        "sqlx::PgAdvisoryLock"
    }

    fn max_waiters(&self) -> usize {
        CONNECTIONS as usize / 2
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let connection = self.0.acquire().await?;
        let guard = PgAdvisoryLock::new(lock).acquire(connection).await?;
        Ok(Box::pin(async move {
            guard.release_now().await?;
            Ok(())
        }))
    }
}
