//! `GET_LOCK` waits and an update acquires; another update releases, with `RELEASE_LOCK` in the same
//! message.
//!
//! Each waiter waits on a connection of its own. The server grants the user-level lock to one of
//! them, which keeps it while it holds the lock. The write follows in a round trip of its own, as
//! an acquire has one after a notification.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::contender::{LockLibrary, Release};
use crate::floor::FLOOR;
use crate::floor::driver::changed_one;
use crate::floor::mysql::{SET, TABLE};

const INSERT: &str = "INSERT INTO leasehold_bench_floor VALUES (?, 'floor')";

/// This many seconds are longer than any measurement waits.
const WAIT: &str = "SELECT GET_LOCK(?, 600)";

pub(super) struct MySql {
    url: String,
    /// These connections keep no user-level lock.
    free: Arc<Mutex<Vec<MySqlConnection>>>,
}

pub(super) async fn open(url: &str) -> Result<MySql> {
    let mut connection = MySqlConnection::connect(url).await?;
    sqlx::query(TABLE).execute(&mut connection).await?;
    Ok(MySql { url: url.to_owned(), free: Arc::new(Mutex::new(vec![connection])) })
}

#[async_trait]
impl LockLibrary for MySql {
    fn name(&self) -> &str {
        FLOOR
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match free {
            Some(connection) => connection,
            None => MySqlConnection::connect(&self.url).await?,
        };
        wait(&mut connection, lock).await?;
        set(&mut connection, lock).await?;
        let (free, lock) = (self.free.clone(), lock.to_owned());
        Ok(Box::pin(async move {
            unset(&mut connection, &lock).await?;
            free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok(())
        }))
    }
}

fn user_lock(lock: &str) -> String {
    format!("leasehold_bench_floor:{lock}")
}

async fn wait(connection: &mut MySqlConnection, lock: &str) -> Result<()> {
    let granted: Option<i64> =
        sqlx::query_scalar(WAIT).bind(user_lock(lock)).fetch_one(&mut *connection).await?;
    ensure!(granted == Some(1), "the user-level lock was not granted");
    Ok(())
}

async fn set(connection: &mut MySqlConnection, lock: &str) -> Result<()> {
    let done = sqlx::query(SET).bind(lock.as_bytes()).execute(&mut *connection).await?;
    if done.rows_affected() == 0 {
        // The row is missing at the first attempt. If it exists, the lease is set, and this fails.
        sqlx::query(INSERT).bind(lock.as_bytes()).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn unset(connection: &mut MySqlConnection, lock: &str) -> Result<()> {
    let statements = format!(
        "UPDATE leasehold_bench_floor SET lease = NULL WHERE name = '{lock}' AND lease = 'floor'; \
         DO RELEASE_LOCK('{}')",
        user_lock(lock)
    );
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(statements))).await?;
    changed_one(done.rows_affected())
}
