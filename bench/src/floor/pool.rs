//! The floor also runs on a pool, as applications have one: it executes the same statements, each
//! on a connection of the driver's pool with its default settings.
//!
//! sqlx tests a connection before each use, and a pool has at most ten connections. As on the
//! floor's own connections, PostgreSQL commits the second statement asynchronously, and SQLite has
//! the durability of Leasehold's store.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::mysql::MySqlPool;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

use super::driver::changed_one;
use super::{mysql, postgres, sqlite};
use crate::contender::Contender;
use crate::leasehold_client::sqlite_options;
use crate::url::scheme;

/// This is the pool of one driver.
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

pub(super) struct OnPool(Pool);

/// Opens a pool on that server, on which the floor was opened before, so that its rows exist. Only
/// SQL drivers have pools.
pub(super) async fn open(url: &str) -> Result<Option<OnPool>> {
    let pool = match scheme(url) {
        "sqlite" => Pool::Sqlite(SqlitePool::connect_with(sqlite_options(url)).await?),
        "postgres" => Pool::Postgres(PgPool::connect(url).await?),
        "mysql" => Pool::MySql(MySqlPool::connect(url).await?),
        _ => return Ok(None),
    };
    Ok(Some(OnPool(pool)))
}

#[async_trait]
impl Contender for OnPool {
    fn name(&self) -> &str {
        "floor, own pool"
    }

    async fn run(&self, lock: &str) -> Result<()> {
        match &self.0 {
            Pool::Sqlite(pool) => {
                for statement in sqlite::SET_AND_UNSET {
                    let done = sqlx::query(statement).bind(lock).execute(pool).await?;
                    changed_one(done.rows_affected())?;
                }
            }
            Pool::Postgres(pool) => {
                for statement in postgres::SET_AND_UNSET {
                    let done = sqlx::query(statement).bind(lock).execute(pool).await?;
                    changed_one(done.rows_affected())?;
                }
            }
            Pool::MySql(pool) => {
                for statement in mysql::SET_AND_UNSET {
                    let done = sqlx::query(statement).bind(lock.as_bytes()).execute(pool).await?;
                    changed_one(done.rows_affected())?;
                }
            }
        }
        Ok(())
    }
}
