//! What the clones of a store share, and its one way to write.

use sqlx::Connection;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqlitePool, SqliteRow};
use tokio::sync::Mutex;

use super::clock::{MachineClock, Now};
use super::connections::HeartbeatConnection;
use super::error;
use super::file::DatabaseFile;
use super::poll_task::PollTask;
use super::row;
use super::sql::Sql;
use crate::common;
use crate::common::CorruptRecord;
use crate::common::row::{get, parse_column};
use crate::{Error, LeaseId, LockName, LockRecord, Reach, RenewOutcome, Result};

pub(super) struct SqliteInner {
    pub(super) label: String,
    pub(super) reach: Reach,
    pub(super) clock: MachineClock,
    /// Writers of this process queue here, which is fair and cheaper than SQLite's busy wait.
    pub(super) writer: Mutex<()>,
    /// Writers with a connection of the pool queue here first, so that only one of them takes one.
    pub(super) pool_writer: Mutex<()>,
    pub(super) pool: SqlitePool,
    /// The connection for renewals and releases, if the database is in a file.
    pub(super) holder: Option<HeartbeatConnection>,
    pub(super) sql: Sql,
    /// The file, if there is one and its identity is known.
    pub(super) file: Option<DatabaseFile>,
    /// A connection beside the pool's, if another can be opened. The poll reads on it, and while it
    /// is open SQLite keeps the write-ahead log.
    pub(super) beside: Option<Mutex<SqliteConnection>>,
    pub(super) poll: PollTask,
}

impl SqliteInner {
    /// Runs `work` as one write transaction, at the time when it got the write lock.
    ///
    /// Dropped anywhere, it leaves all or nothing: sqlx rolls a dropped transaction back before it
    /// lends the connection again, and knows whether a dropped COMMIT took place.
    pub(super) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection, Now) -> Result<T>,
    ) -> Result<T> {
        let _queue = self.pool_writer.lock().await;
        // The connection comes first: while this waits for the pool, holders can write.
        let mut connection = self.connection().await?;
        let (done, broken) = self.transaction(&mut connection, work).await;
        if broken {
            connection.close_on_drop();
        }
        done
    }

    /// Like [`write`](Self::write), on a connection that does not depend on the pool.
    pub(super) async fn write_for_heartbeat<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection, Now) -> Result<T>,
    ) -> Result<T> {
        let Some(holder) = &self.holder else { return self.write(work).await };
        let mut slot = holder.lock().await;
        self.check_file()?;
        let connection = match &mut *slot {
            Some(connection) => connection,
            empty => empty.insert(holder.open(&self.pool).await?),
        };
        let (done, broken) = self.transaction(connection, work).await;
        if broken {
            *slot = None;
        }
        done
    }

    /// Gets a connection of the pool to the file that the store opened.
    pub(super) async fn connection(&self) -> Result<PoolConnection<Sqlite>> {
        // The pool may open a connection to the file that is now at the path, before or while it is
        // checked.
        self.check_file()?;
        let mut connection = self.pool.acquire().await.map_err(error::not_written)?;
        if let Err(why) = self.check_file() {
            connection.close_on_drop();
            return Err(why);
        }
        Ok(connection)
    }

    /// Also returns whether the connection is of no use any more: SQLite ends a transaction by
    /// itself after some errors. sqlx does not notice, and would refuse every later transaction of
    /// the connection as one within another.
    async fn transaction<T>(
        &self,
        connection: &mut SqliteConnection,
        work: impl AsyncFnOnce(&mut SqliteConnection, Now) -> Result<T>,
    ) -> (Result<T>, bool) {
        let _turn = self.writer.lock().await;
        let mut broken = false;
        let done = async {
            let mut transaction = match connection.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => transaction,
                Err(error) => {
                    broken = !error::is_busy(&error);
                    return Err(error::not_written(error));
                }
            };
            let done = match self.check_file() {
                Ok(()) => work(&mut transaction, self.clock.now()).await,
                Err(error) => {
                    // The file changed just now, so this may be a connection to the new file.
                    broken = true;
                    return Err(error);
                }
            };
            match done {
                Ok(value) => transaction.commit().await.map(|()| value).map_err(|error| {
                    broken = !error::is_busy(&error);
                    error::committing(error)
                }),
                Err(error) => {
                    broken = transaction.rollback().await.is_err();
                    Err(error)
                }
            }
        }
        .await;
        (done.map_err(|error| self.with_file_check(error)), broken)
    }

    /// Returns the error, or the reason for it if the file was deleted or replaced.
    pub(super) fn with_file_check(&self, error: Error) -> Error {
        match self.check_file() {
            Err(why) if !error.is_outcome_unknown() => why,
            _ => error,
        }
    }

    /// Fails if the database file was deleted or replaced.
    pub(super) fn check_file(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), DatabaseFile::check)
    }

    pub(super) async fn find(
        &self,
        connection: &mut SqliteConnection,
        name: &LockName,
    ) -> Result<Option<SqliteRow>> {
        sqlx::query(self.sql.find.clone())
            .bind(name.as_str())
            .fetch_optional(connection)
            .await
            .map_err(error::not_written)
    }

    /// The row that kept an insert from taking place.
    pub(super) async fn stored_lock(
        &self,
        connection: &mut SqliteConnection,
        name: &LockName,
        now: Now,
    ) -> Result<LockRecord> {
        let row = self.find(connection, name).await?.ok_or_else(|| self.contradiction())?;
        self.record(&row, now)
    }

    pub(super) fn record(&self, row: &SqliteRow, now: Now) -> Result<LockRecord> {
        row::record(row, &self.sql.table, &self.clock, now)
    }

    /// SQL found the row to be one way, and this code another.
    pub(super) fn contradiction(&self) -> Error {
        self.corrupt_row(CorruptRecord::new("its state contradicts itself"))
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.table)
    }

    /// Returns the name and the lease of a renewed row, and the outcome for it.
    pub(super) fn renewal(
        &self,
        row: &SqliteRow,
        now: Now,
    ) -> Result<((String, String), RenewOutcome)> {
        let corrupt_row = |corrupt: CorruptRecord| self.corrupt_row(corrupt);
        let name: String = get(row, "name").map_err(corrupt_row)?;
        let lease: String = get(row, "lease").map_err(corrupt_row)?;
        let parse = || {
            let (boot, set_at) = (get(row, "boot")?, get(row, "set_at")?);
            let left = self.clock.left(boot, set_at, get(row, "expires_at")?, now)?;
            let left =
                left.ok_or_else(|| CorruptRecord::new("a lease was extended into the past"))?;
            Ok(match parse_column("ending", get(row, "ending")?)? {
                Some(reason) => RenewOutcome::Disabled { reason, left },
                None => RenewOutcome::Extended { left },
            })
        };
        let outcome = parse().unwrap_or_else(|corrupt| unknown(&self.corrupt_row(corrupt)));
        Ok(((name, lease), outcome))
    }

    /// Returns the outcomes of those leases that were not renewed although their rows exist, because
    /// the rows are damaged.
    pub(super) async fn unreadable_leases(
        &self,
        connection: &mut SqliteConnection,
        leases: &[&(&str, LeaseId)],
        now: Now,
    ) -> Result<Vec<((String, String), RenewOutcome)>> {
        let leases = serde_json::to_string(leases)
            .map_err(|e| Error::invalid("the batch is no JSON").with_source(e))?;
        let rows = sqlx::query(self.sql.leases.clone()).bind(leases);
        let rows = rows.fetch_all(connection).await.map_err(error::not_written)?;
        let outcome = |row: &SqliteRow| {
            let error = self.record(row, now).err()?;
            Some(((get(row, "name").ok()?, get(row, "lease").ok()?), unknown(&error)))
        };
        Ok(rows.iter().filter_map(outcome).collect())
    }

    pub(super) async fn signals_after(&self, seen: i64) -> Result<Vec<SqliteRow>> {
        let signals = sqlx::query(self.sql.signals.clone()).bind(seen);
        let rows = match &self.beside {
            Some(beside) => signals.fetch_all(&mut *beside.lock().await).await,
            None => signals.fetch_all(&mut *self.connection().await?).await,
        };
        rows.map_err(error::not_written)
    }

    pub(super) async fn latest_signal(&self) -> Result<i64> {
        let latest = sqlx::query_scalar(self.sql.latest_signal.clone());
        let signal = match &self.beside {
            Some(beside) => latest.fetch_one(&mut *beside.lock().await).await,
            None => latest.fetch_one(&mut *self.connection().await?).await,
        };
        signal.map_err(error::not_written)
    }

    /// Completes an error with what it was about.
    pub(super) fn with_context(
        &self,
        operation: &'static str,
        name: Option<&LockName>,
    ) -> impl Fn(Error) -> Error {
        common::with_context(operation, &self.label, name)
    }
}

/// The outcome for a lease whose row is damaged.
fn unknown(error: &Error) -> RenewOutcome {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    RenewOutcome::Unknown { why: format!("{error}{}", cause.unwrap_or_default()) }
}
