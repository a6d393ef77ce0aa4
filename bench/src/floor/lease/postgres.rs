//! Two updates, the first of which returns the token. The second is committed asynchronously, as a
//! release is.
//!
//! The clock is read at the transaction's start. If the statement then waits for the row, the lease
//! ends earlier, which is safe.

use anyhow::{Context, Result};
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::server::{LeasingServer, TTL_MICROS};
use crate::floor::connections::Connections;
use crate::floor::driver::{MAX_CONNECTIONS, changed_one};
use crate::floor::record::HOLDER;

/// Pages are half empty, as in Leasehold's table, so that an update stays within its page.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS leasehold_bench_floor_lease \
     (name text PRIMARY KEY, token bigint NOT NULL, lease uuid, holder text, expires_at bigint) \
     WITH (fillfactor = 50)";
const ROW: &str = "INSERT INTO leasehold_bench_floor_lease VALUES ($1, 1, NULL, NULL, NULL) \
     ON CONFLICT (name) DO UPDATE SET lease = NULL, holder = NULL, expires_at = NULL";
const GRANT: &str = "UPDATE leasehold_bench_floor_lease SET \
         token = greatest(token + 1, (date_part('epoch', now()) * 1000000)::bigint), \
         lease = $2::uuid, holder = $3, \
         expires_at = (date_part('epoch', now()) * 1000000)::bigint + $4 \
     WHERE name = $1 AND (lease IS NULL \
         OR expires_at <= (date_part('epoch', now()) * 1000000)::bigint) \
     RETURNING token";
const RELEASE: &str = "UPDATE leasehold_bench_floor_lease \
     SET lease = NULL, holder = NULL, expires_at = NULL \
     WHERE name = $1 AND lease = $2::uuid \
     RETURNING set_config('synchronous_commit', 'off', true)";

pub(super) struct Postgres(Connections<PgConnection>);

pub(super) async fn open(url: &str, locks: &[String]) -> Result<Postgres> {
    let mut connections = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        connections.push(PgConnection::connect(url).await?);
    }
    sqlx::query(TABLE).execute(&mut connections[0]).await?;
    for lock in locks {
        sqlx::query(ROW).bind(lock.as_str()).execute(&mut connections[0]).await?;
    }
    Ok(Postgres(Connections::new(connections)))
}

#[async_trait]
impl LeasingServer for Postgres {
    async fn grant(&self, lock: &str, lease: &str) -> Result<i64> {
        let mut connection = self.0.acquire().await?;
        let grant = sqlx::query_scalar::<sqlx::Postgres, i64>(GRANT);
        let grant = grant.bind(lock).bind(lease).bind(HOLDER).bind(TTL_MICROS);
        // All rows are fetched, so that the answer to the commit is awaited too.
        let tokens = grant.fetch_all(&mut *connection).await?;
        tokens.first().copied().context("the floor's lock is held")
    }

    async fn release(&self, lock: &str, lease: &str) -> Result<()> {
        let mut connection = self.0.acquire().await?;
        let release = sqlx::query(RELEASE).bind(lock).bind(lease);
        changed_one(release.execute(&mut *connection).await?.rows_affected())
    }
}
