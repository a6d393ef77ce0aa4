//! User-level locks (`GET_LOCK`) notify waiters; this module has their names and a connection for
//! them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::error_codes;
use super::session::connect;
use crate::common::timeout::CALL_LIMIT;

/// This setting keeps waits for user-level locks out of the server's log of slow statements.
const DO_NOT_LOG_WAITS: &str = "SET SESSION long_query_time = 3600";

/// A holder waits this many seconds until the waiters have passed its user-level lock on.
const HAND_BACK_SECONDS: u32 = 2;

/// Names the user-level locks of one table on one server.
#[derive(Clone)]
pub(super) struct UserLockNames {
    pub(super) pool: MySqlPool,
    table_hash: u64,
    close_all: watch::Receiver<()>,
}

impl UserLockNames {
    pub(super) fn new(
        pool: &MySqlPool,
        database: &str,
        table: &str,
        close_all: watch::Receiver<()>,
    ) -> Self {
        let table_hash = fnv(database.bytes().chain([0]).chain(table.bytes()));
        Self { pool: pool.clone(), table_hash, close_all }
    }

    /// Returns a receiver that changes when connections must be closed because the server accepts no
    /// more writes or shuts down.
    pub(super) fn close_all_signal(&self) -> watch::Receiver<()> {
        let mut close_all = self.close_all.clone();
        close_all.mark_unchanged();
        close_all
    }

    /// Returns the name of a holder's user-level lock, in the 64 characters that MySQL allows.
    pub(super) fn name_of(&self, holder: Uuid) -> String {
        format!("leasehold:{:016x}:{}", self.table_hash, holder.simple())
    }
}

/// This is FNV-1a, which is the same in every build; the standard library's hash may not be.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A wait for a user-level lock has one of these results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitResult {
    Granted,
    TimedOut,
    /// No session keeps it.
    NotHeld,
}

/// This is a connection for user-level locks, outside of the pool. It must not be used after an
/// error.
pub(super) struct UserLockConnection(MySqlConnection);

impl UserLockConnection {
    pub(super) async fn open(names: &UserLockNames) -> sqlx::Result<Self> {
        // Waiting for a user-level lock is not a slow statement to warn of.
        let options = Arc::unwrap_or_clone(names.pool.connect_options());
        limited(connect(&options.disable_statement_logging())).await.map(Self)
    }

    /// Opens a connection that waits for user-level locks.
    pub(super) async fn open_for_waits(names: &UserLockNames) -> sqlx::Result<Self> {
        let mut opened = Self::open(names).await?;
        match opened.run(DO_NOT_LOG_WAITS.to_owned()).await {
            // A server that refuses the setting logs the waits, which does no harm.
            Err(error) if error.as_database_error().is_none() => Err(error),
            _ => Ok(opened),
        }
    }

    /// Acquires a user-level lock to keep, and returns whether it was granted.
    pub(super) async fn acquire(&mut self, name: &str) -> sqlx::Result<bool> {
        Ok(self.query_number(format!("SELECT GET_LOCK('{name}', {HAND_BACK_SECONDS})")).await?
            == Some(1))
    }

    /// Returns whether the user-level lock is kept on this connection, or an error if the server
    /// accepts no more writes, since waiters then ask another server.
    pub(super) async fn holds(&mut self, name: &str) -> sqlx::Result<bool> {
        let kept = format!("IS_USED_LOCK('{name}') <=> CONNECTION_ID()");
        match self.query_number(format!("SELECT IF(@@read_only, NULL, {kept})")).await? {
            Some(kept) => Ok(kept == 1),
            None => Err(sqlx::Error::Protocol(error_codes::READ_ONLY.into())),
        }
    }

    /// Releases a user-level lock that is kept here, and acquires it again after all waiters. This is
    /// one statement, in this order, so that no session finds the lock without a keeper.
    pub(super) async fn pass_on(&mut self, name: &str) -> sqlx::Result<()> {
        self.run(format!("DO RELEASE_LOCK('{name}'), GET_LOCK('{name}', {HAND_BACK_SECONDS})"))
            .await
    }

    /// Releases a user-level lock.
    pub(super) async fn release(&mut self, name: &str) -> sqlx::Result<()> {
        self.run(format!("DO RELEASE_LOCK('{name}')")).await
    }

    /// Waits for the user-level lock for that many seconds. It is handed to the next waiter within
    /// the same statement, even if this process or the network fails.
    pub(super) async fn wait(&mut self, name: &str, seconds: u32) -> sqlx::Result<WaitResult> {
        let sql = format!(
            "SELECT IF(IS_USED_LOCK('{name}') IS NULL, NULL, GET_LOCK('{name}', {seconds})), \
                 RELEASE_LOCK('{name}')"
        );
        let limit = CALL_LIMIT + Duration::from_secs(u64::from(seconds));
        Ok(match self.query_number_within(limit, sql).await? {
            None => WaitResult::NotHeld,
            Some(0) => WaitResult::TimedOut,
            Some(_) => WaitResult::Granted,
        })
    }

    pub(super) async fn close(self) {
        // The socket closes either way.
        _ = timeout(Duration::from_secs(1), self.0.close()).await;
    }

    async fn query_number(&mut self, sql: String) -> sqlx::Result<Option<i64>> {
        self.query_number_within(CALL_LIMIT, sql).await
    }

    async fn query_number_within(
        &mut self,
        limit: Duration,
        sql: String,
    ) -> sqlx::Result<Option<i64>> {
        let row = within(limit, self.0.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql)))).await?;
        row.try_get(0)
    }

    async fn run(&mut self, sql: String) -> sqlx::Result<()> {
        limited(self.0.execute(sqlx::raw_sql(AssertSqlSafe(sql)))).await.map(drop)
    }
}

async fn limited<T>(call: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    within(CALL_LIMIT, call).await
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    timeout(limit, call).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_lock_names_fit_and_differ_by_table_and_holder() {
        let name = |database: &str, holder| {
            let pool = crate::sql::pool::application_pool::<sqlx::MySql>(
                &super::super::url::from_url(&format!("mysql://app@db/{database}")).unwrap(),
                None,
            );
            let close_all = watch::Sender::new(()).subscribe();
            UserLockNames::new(&pool, database, "leasehold_locks", close_all).name_of(holder)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(u128::MAX));
        assert!(name("app", other).len() <= 64);
        assert_eq!(name("app", one), name("app", one));
        assert_ne!(name("app", one), name("app", other));
        assert_ne!(name("app", one), name("ap", one));
    }

    #[test]
    fn fnv_matches_published_vectors() {
        assert_eq!(fnv("foobar".bytes()), 0x8594_4171_f739_67e8);
    }
}
