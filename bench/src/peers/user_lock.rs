//! The user-level locks of MySQL and MariaDB, by plain statements.

use anyhow::{Result, ensure};
use async_trait::async_trait;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};

use super::limits::CONNECTIONS;
use crate::contender::{LockLibrary, Release};

pub(super) struct UserLock(MySqlPool);

/// Creates the pool. Its connections are not tested before use, which is to the peer's advantage.
pub(super) fn open(url: &str) -> Result<UserLock> {
    let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    Ok(UserLock(pool.connect_lazy(url)?))
}

#[async_trait]
impl LockLibrary for UserLock {
    fn name(&self) -> &str {
        "GET_LOCK"
    }

    fn max_waiters(&self) -> usize {
        CONNECTIONS as usize / 2
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let mut connection = self.0.acquire().await?;
        let granted: Option<i64> = sqlx::query_scalar("SELECT GET_LOCK(?, 600)")
            .bind(lock)
            .fetch_one(&mut *connection)
            .await?;
        ensure!(granted == Some(1), "the user-level lock was not granted");
        let lock = lock.to_owned();
        Ok(Box::pin(async move {
            let released: Option<i64> = sqlx::query_scalar("SELECT RELEASE_LOCK(?)")
                .bind(lock)
                .fetch_one(&mut *connection)
                .await?;
            ensure!(released == Some(1), "the user-level lock was not held");
            Ok(())
        }))
    }
}
