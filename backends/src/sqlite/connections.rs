//! A store renews and releases its leases on this connection.
//!
//! It does not belong to the pool, so that an application's own queries, and slow listings, keep no
//! heartbeat waiting.

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::sync::{Mutex, MutexGuard};

use super::error_codes;
use super::url::{BUSY_TIMEOUT, beside};
use crate::Result;

/// This connection is outside the pool, and is opened again when it broke.
pub(super) struct HeartbeatConnection(Mutex<Option<SqliteConnection>>);

impl HeartbeatConnection {
    /// Takes a connection out of the pool, which has run what the application does with each
    /// connection of it.
    pub(super) async fn take_from(pool: &SqlitePool) -> Result<Self> {
        let connection = pool.acquire().await.map_err(error_codes::not_written)?.detach();
        Ok(Self(Mutex::new(Some(prepared(connection).await?))))
    }

    pub(super) async fn lock(&self) -> MutexGuard<'_, Option<SqliteConnection>> {
        self.0.lock().await
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

/// The application may have set another limit to how long SQLite waits for other writers.
async fn prepared(mut connection: SqliteConnection) -> Result<SqliteConnection> {
    let limit = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
    let set = sqlx::query(AssertSqlSafe(limit)).execute(&mut connection).await;
    set.map_err(error_codes::not_written)?;
    Ok(connection)
}
