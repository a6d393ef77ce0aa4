//! PostgreSQL counts statements in `pg_stat_statements`, and sessions in `pg_stat_database`.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::counts::{Counts, CountsReader};

const COUNTS: &str = "SELECT \
     (SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements \
         WHERE query NOT LIKE '%pg_stat_statements%'), \
     (SELECT sessions::float8 FROM pg_stat_database WHERE datname = current_database()), \
     (SELECT count(*)::float8 FROM pg_stat_activity \
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())";

pub(super) struct Postgres(Mutex<PgConnection>);

pub(super) async fn open(url: &str) -> Result<Postgres> {
    let mut connection = PgConnection::connect(url).await?;
    let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
    sqlx::query(extension).execute(&mut connection).await?;
    Ok(Postgres(Mutex::new(connection)))
}

#[async_trait]
impl CountsReader for Postgres {
    async fn read(&self) -> Result<Counts> {
        let mut connection = self.0.lock().await;
        let (calls, opened, open): (f64, Option<f64>, f64) =
            sqlx::query_as(COUNTS).fetch_one(&mut *connection).await?;
        Ok(Counts { calls, writes: None, opened, open: Some(open) })
    }
}
