//! Two write transactions of one update each, with the durability that Leasehold's store has. The
//! first returns the token.

use anyhow::{Context, Result};
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnection;

use super::server::{LeasingServer, TTL_MICROS};
use crate::floor::connections::Connections;
use crate::floor::driver::changed_one;
use crate::floor::record::HOLDER;
use crate::leasehold_client::sqlite_options;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS leasehold_bench_floor_lease \
     (name TEXT PRIMARY KEY, token INTEGER NOT NULL, lease TEXT, holder TEXT, \
     expires_at INTEGER) WITHOUT ROWID";
const ROW: &str =
    "INSERT OR REPLACE INTO leasehold_bench_floor_lease VALUES (?1, 1, NULL, NULL, NULL)";
const GRANT: &str = "UPDATE leasehold_bench_floor_lease SET \
         token = max(token + 1, CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)), \
         lease = ?2, holder = ?3, \
         expires_at = CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) + ?4 \
     WHERE name = ?1 AND (lease IS NULL \
         OR expires_at <= CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)) \
     RETURNING token";
const RELEASE: &str = "UPDATE leasehold_bench_floor_lease \
     SET lease = NULL, holder = NULL, expires_at = NULL WHERE name = ?1 AND lease = ?2";

pub(super) struct Sqlite(Connections<SqliteConnection>);

/// Opens one connection, because one at a time can write.
pub(super) async fn open(url: &str, locks: &[String]) -> Result<Sqlite> {
    let mut connection = sqlite_options(url).connect().await?;
    sqlx::query(TABLE).execute(&mut connection).await?;
    for lock in locks {
        sqlx::query(ROW).bind(lock.as_str()).execute(&mut connection).await?;
    }
    Ok(Sqlite(Connections::new(vec![connection])))
}

#[async_trait]
impl LeasingServer for Sqlite {
    async fn grant(&self, lock: &str, lease: &str) -> Result<i64> {
        let mut connection = self.0.acquire().await?;
        let grant = sqlx::query_scalar::<sqlx::Sqlite, i64>(GRANT);
        let grant = grant.bind(lock).bind(lease).bind(HOLDER).bind(TTL_MICROS);
        // All rows are fetched, because SQLite commits after the last one.
        let tokens = grant.fetch_all(&mut *connection).await?;
        tokens.first().copied().context("the floor's lock is held")
    }

    async fn release(&self, lock: &str, lease: &str) -> Result<()> {
        let mut connection = self.0.acquire().await?;
        let release = sqlx::query(RELEASE).bind(lock).bind(lease);
        changed_one(release.execute(&mut *connection).await?.rows_affected())
    }
}
