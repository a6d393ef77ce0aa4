//! An update acquires, another one that commits asynchronously notifies, and a second session
//! listens.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgListener};
use tokio::sync::Mutex;

use super::server::{Notified, NotifyingServer};
use crate::floor::driver::changed_one;
use crate::floor::postgres::{SET, TABLE};

const CHANNEL: &str = "leasehold_bench_floor";
const INSERT_IF_MISSING: &str =
    "INSERT INTO leasehold_bench_floor VALUES ($1, 'floor') ON CONFLICT DO NOTHING";
const UNSET: &str = "UPDATE leasehold_bench_floor SET lease = NULL \
     WHERE name = $1 AND lease = 'floor' \
     RETURNING set_config('synchronous_commit', 'off', true), pg_notify($2, name)";

pub(super) struct Postgres(Mutex<PgConnection>);

pub(super) async fn open(url: &str, notified: Notified) -> Result<Postgres> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query(TABLE).execute(&mut connection).await?;
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    tokio::spawn(async move {
        while listener.recv().await.is_ok() {
            notified.notify_waiters();
        }
    });
    Ok(Postgres(Mutex::new(connection)))
}

#[async_trait]
impl NotifyingServer for Postgres {
    async fn set(&self, lock: &str) -> Result<bool> {
        let mut connection = self.0.lock().await;
        let done = sqlx::query(SET).bind(lock).execute(&mut *connection).await?;
        if done.rows_affected() == 1 {
            return Ok(true);
        }
        // The row is missing only at the first attempt.
        let inserted = sqlx::query(INSERT_IF_MISSING).bind(lock).execute(&mut *connection).await?;
        Ok(inserted.rows_affected() == 1)
    }

    async fn unset(&self, lock: &str) -> Result<()> {
        let mut connection = self.0.lock().await;
        let unset = sqlx::query(UNSET).bind(lock).bind(CHANNEL);
        changed_one(unset.execute(&mut *connection).await?.rows_affected())
    }
}
