//! What the clones of a store share, and its one way to write.

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use tokio::sync::Mutex;

use super::clock::{MachineClock, Now};
use super::error;
use super::file::DatabaseFile;
use super::row;
use super::sql::Sql;
use super::watch::Poll;
use crate::common;
use crate::common::Damage;
use crate::common::row::{get, parsed, present};
use crate::{Error, LeaseId, LockName, LockRecord, Reach, RenewOutcome, Result};

pub(super) struct Shared {
    pub(super) label: String,
    pub(super) reach: Reach,
    pub(super) clock: MachineClock,
    /// Writers of this process queue here, which is fair and cheaper than SQLite's busy wait.
    pub(super) writer: Mutex<()>,
    pub(super) pool: SqlitePool,
    pub(super) sql: Sql,
    /// The file, if there is one and its identity is known.
    pub(super) file: Option<DatabaseFile>,
    /// A connection beside the pool's, if another can be opened. The poll reads on it, and while it
    /// is open SQLite keeps the write-ahead log.
    pub(super) beside: Option<Mutex<SqliteConnection>>,
    pub(super) poll: Poll,
}

impl Shared {
    /// Runs `work` as one write transaction, at the time when it got the write lock.
    ///
    /// Dropped anywhere, it leaves all or nothing: sqlx rolls a dropped transaction back before it
    /// lends the connection again, and knows whether a dropped COMMIT took place.
    pub(super) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection, Now) -> Result<T>,
    ) -> Result<T> {
        let _turn = self.writer.lock().await;
        // This comes before the pool can open a connection to a file that is now at the path.
        self.check_file()?;
        let mut connection = self.pool.acquire().await.map_err(error::unwritten)?;
        let mut broken = false;
        let done = async {
            let mut transaction = match connection.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => transaction,
                Err(error) => {
                    broken = matches!(error, sqlx::Error::InvalidSavePointStatement);
                    return Err(error::unwritten(error));
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
        if broken {
            // SQLite ends a transaction by itself after some errors. sqlx does not notice, and
            // would refuse every later transaction of this connection as one within another.
            connection.close_on_drop();
        }
        done.map_err(|error| self.explained(error))
    }

    /// Returns the error, or the reason for it if the file was deleted or replaced.
    pub(super) fn explained(&self, error: Error) -> Error {
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
            .map_err(error::unwritten)
    }

    /// The row that kept an insert from taking place.
    pub(super) async fn standing(
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
        self.damaged(Damage::new("its state contradicts itself"))
    }

    pub(super) fn damaged(&self, damage: Damage) -> Error {
        damage.in_table(&self.sql.table)
    }

    /// Whose lease a row of a renewal is, and what became of it.
    pub(super) fn renewal(
        &self,
        row: &SqliteRow,
        now: Now,
    ) -> Result<((LockName, LeaseId), RenewOutcome)> {
        let name = row::name(row, &self.sql.table)?;
        let parse = || {
            let (boot, ttl) = (get(row, "boot")?, get(row, "ttl")?);
            let left = self.clock.left(boot, ttl, get(row, "expires_at")?, now)?;
            let left = left.ok_or_else(|| Damage::new("a lease was extended into the past"))?;
            let outcome = match parsed("ending", get(row, "ending")?)? {
                Some(reason) => RenewOutcome::Disabled { reason, left },
                None => RenewOutcome::Extended { left },
            };
            Ok((present("lease", parsed("lease", get(row, "lease")?)?)?, outcome))
        };
        let (lease, outcome) = parse().map_err(|damage| self.damaged(damage).for_lock(&name))?;
        Ok(((name, lease), outcome))
    }

    pub(super) async fn signals_after(&self, seen: i64) -> Result<Vec<SqliteRow>> {
        let signals = sqlx::query(self.sql.signals.clone()).bind(seen);
        let rows = match &self.beside {
            Some(beside) => signals.fetch_all(&mut *beside.lock().await).await,
            None => signals.fetch_all(&self.pool).await,
        };
        rows.map_err(error::unwritten)
    }

    pub(super) async fn latest_signal(&self) -> Result<i64> {
        let latest = sqlx::query_scalar(self.sql.latest_signal.clone());
        let signal = match &self.beside {
            Some(beside) => latest.fetch_one(&mut *beside.lock().await).await,
            None => latest.fetch_one(&self.pool).await,
        };
        signal.map_err(error::unwritten)
    }

    /// Completes an error with what it was about.
    pub(super) fn about(
        &self,
        operation: &'static str,
        name: Option<&LockName>,
    ) -> impl Fn(Error) -> Error {
        common::about(operation, &self.label, name)
    }
}
