//! A store writes on this connection.
//!
//! It does not belong to the pool, so that an application's own queries, and slow listings, keep no
//! heartbeat waiting. The application cannot leave a transaction open on it either, so what the
//! store writes is committed.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::error_codes;
use super::url::{BUSY_TIMEOUT, beside};
use crate::Result;

/// A heartbeat waits this long for another call of its process. That may be one whose task is not
/// polled, because the application blocks its threads.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// This connection is outside the pool, and is opened again when it broke.
pub(super) struct WriteConnection {
    /// Calls that are not heartbeats queue here first, so that a heartbeat waits for at most one.
    calls: Mutex<()>,
    connection: Mutex<Option<SqliteConnection>>,
}

impl WriteConnection {
    /// Takes a connection out of the pool, which has run what the application does with each
    /// connection of it.
    pub(super) async fn take_from(pool: &SqlitePool) -> Result<Self> {
        let connection = pool.acquire().await.map_err(error_codes::not_written)?.detach();
        let connection = Mutex::new(Some(prepared(connection).await?));
        Ok(Self { calls: Mutex::new(()), connection })
    }

    /// Waits until the other calls that are not heartbeats have ended.
    pub(super) async fn queue(&self) -> MutexGuard<'_, ()> {
        self.calls.lock().await
    }

    /// Returns the connection, or `None` if a heartbeat should open another one.
    pub(super) async fn lock(
        &self,
        is_heartbeat: bool,
    ) -> Option<MutexGuard<'_, Option<SqliteConnection>>> {
        lock_within(&self.connection, is_heartbeat).await
    }

    /// Opens another connection, without waiting for the pool.
    pub(super) async fn open(&self, pool: &SqlitePool) -> Result<SqliteConnection> {
        let connection = match pool.try_acquire() {
            Some(connection) => connection.detach(),
            None => beside(pool).connect().await.map_err(error_codes::not_written)?,
        };
        prepared(connection).await
    }
}

/// Waits for the lock; a heartbeat gives up after a while.
pub(super) async fn lock_within<T>(
    mutex: &Mutex<T>,
    is_heartbeat: bool,
) -> Option<MutexGuard<'_, T>> {
    let lock = mutex.lock();
    if is_heartbeat { timeout(MAX_WAIT, lock).await.ok() } else { Some(lock.await) }
}

async fn prepared(mut connection: SqliteConnection) -> Result<SqliteConnection> {
    // The application may have left a transaction open: what is written in it is not committed. If
    // there is none, as usual, this fails.
    let _ = sqlx::query("ROLLBACK").execute(&mut connection).await;
    // The application may have set another limit to how long SQLite waits for other writers.
    let limit = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
    let set = sqlx::query(AssertSqlSafe(limit)).execute(&mut connection).await;
    set.map_err(error_codes::not_written)?;
    Ok(connection)
}
