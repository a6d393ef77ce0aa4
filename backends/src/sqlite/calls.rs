//! This module has the writes of the store, and what its clones share.

use std::fmt;

use sqlx::Connection;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use tokio::sync::Mutex;

use super::clock::{MachineClock, Now};
use super::connections::{WriteConnection, lock_within};
use super::error_codes;
use super::file::DatabaseFile;
use super::notification;
use super::row;
use super::sql::Sql;
use crate::sql::CorruptRecord;
use crate::sql::purpose::Purpose;
use crate::sql::released_names::ReleasedNames;
use crate::sql::statement::{Statement, Value, Values};
use crate::{Error, ErrorKind, LockRecord, Reach, Result};

/// This is a statement with its arguments.
pub(super) type BoundStatement = Query<'static, sqlx::Sqlite, SqliteArguments>;

/// This says when the statements of a write are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// Each commits by itself: SQLite has the write lock only while it runs one, and not while a
    /// task is to be polled.
    EachStatement,
    /// All commit as one transaction, whose time is read when it has got the write lock.
    Together,
}

/// This is the backend of a [`SqliteStore`](super::SqliteStore).
pub struct Sqlite {
    pub(super) label: String,
    pub(super) reach: Reach,
    pub(super) clock: MachineClock,
    /// Writers of this process queue here, which is fair and cheaper than SQLite's busy wait.
    pub(super) writer: Mutex<()>,
    /// Writers with a connection of the pool queue here first, so that only one of them takes one.
    pub(super) pool_writer: Mutex<()>,
    pub(super) pool: SqlitePool,
    /// The store writes on this connection, if the database is in a file.
    pub(super) write_connection: Option<WriteConnection>,
    pub(super) sql: Sql,
    pub(super) released_names: ReleasedNames,
    /// This is the file, if there is one and its identity is known.
    pub(super) file: Option<DatabaseFile>,
    /// This connection is beside the pool's, if another can be opened. The poll reads on it, and
    /// while it is open SQLite keeps the write-ahead log.
    pub(super) beside: Option<Mutex<SqliteConnection>>,
    /// This counts how often the watch has read the table.
    #[cfg(test)]
    pub(super) reads: std::sync::atomic::AtomicUsize,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("label", &self.label)
            .field("table", &self.sql.statements.table)
            .finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Runs `work` on the store's own connection; without one as a transaction of the
    /// [pool](Self::write_on_pool).
    ///
    /// Dropped anywhere, this leaves all or nothing of a transaction, and of each statement: one
    /// that was sent runs to its end, before the next one of the connection.
    pub(super) async fn write<T>(
        &self,
        purpose: Purpose,
        commit: Commit,
        work: impl AsyncFnOnce(&mut SqliteConnection, Now) -> Result<T>,
    ) -> Result<T> {
        let Some(own) = &self.write_connection else {
            return self.write_on_pool(work).await;
        };
        let is_heartbeat = matches!(purpose, Purpose::Renew | Purpose::Release);
        let _queue = if is_heartbeat { None } else { Some(own.queue().await) };
        if !is_heartbeat && self.pool.is_closed() {
            return Err(error_codes::not_written(sqlx::Error::PoolClosed));
        }
        let mut shared = own.lock(is_heartbeat).await;
        let _turn =
            if shared.is_some() { lock_within(&self.writer, is_heartbeat).await } else { None };
        // This connection is closed after the call.
        let mut separate = None;
        let slot = match &mut shared {
            Some(shared) => &mut **shared,
            None => &mut separate,
        };
        self.check_file()?;
        let connection = match &mut *slot {
            Some(connection) => connection,
            empty => {
                let opened = own.open(&self.pool).await?;
                // The file may have changed just now, so this may be a connection to the new file.
                self.check_file()?;
                empty.insert(opened)
            }
        };
        let (done, broken) = match commit {
            Commit::Together => self.transaction(connection, work).await,
            Commit::EachStatement => {
                let done = work(&mut *connection, self.clock.now()).await;
                let done = done.map_err(|error| self.with_file_check(error));
                let broken = match done.as_ref().err().map(Error::kind) {
                    None => false,
                    Some(kind) => must_close(kind) || connection.ping().await.is_err(),
                };
                (done, broken)
            }
        };
        if broken {
            *slot = None;
        }
        done
    }

    /// Runs `work` as one write transaction, at the time when it got the write lock, on a connection
    /// of the pool.
    ///
    /// Dropped anywhere, it leaves all or nothing: sqlx rolls a dropped transaction back before it
    /// lends the connection again, and knows whether a dropped COMMIT took place.
    pub(super) async fn write_on_pool<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection, Now) -> Result<T>,
    ) -> Result<T> {
        let _queue = self.pool_writer.lock().await;
        // The connection comes first: while this waits for the pool, others can write.
        let mut connection = self.connection().await?;
        let _turn = self.writer.lock().await;
        let (done, broken) = self.transaction(&mut connection, work).await;
        if broken {
            connection.close_on_drop();
        }
        done
    }

    /// Gets a connection of the pool to the file that the store opened.
    pub(super) async fn connection(&self) -> Result<PoolConnection<sqlx::Sqlite>> {
        // The pool may open a connection to the file that is now at the path, before or while it is
        // checked.
        self.check_file()?;
        let mut connection = self.pool.acquire().await.map_err(error_codes::not_written)?;
        if let Err(why) = self.check_file() {
            connection.close_on_drop();
            return Err(why);
        }
        Ok(connection)
    }

    /// Runs the work in a transaction, in the caller's turn. It also returns whether the connection
    /// must be closed: SQLite ends a transaction by itself after some errors. sqlx does not notice,
    /// and would refuse every later transaction of the connection as one within another.
    async fn transaction<T>(
        &self,
        connection: &mut SqliteConnection,
        work: impl AsyncFnOnce(&mut SqliteConnection, Now) -> Result<T>,
    ) -> (Result<T>, bool) {
        let mut broken = false;
        let done = async {
            let mut transaction = match connection.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => transaction,
                Err(error) => {
                    broken = !error_codes::is_busy(&error);
                    return Err(error_codes::not_written(error));
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
                    broken = !error_codes::is_busy(&error);
                    error_codes::committing(error)
                }),
                Err(error) => {
                    broken = transaction.rollback().await.is_err() || must_close(error.kind());
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

    /// Wakes the watches of all processes after a change that their waiters wait for.
    pub(super) fn notify_watches(&self) {
        if let Some(file) = &self.file {
            notification::announce(file.path());
        }
    }

    /// Binds the values of a statement, as of that time.
    pub(super) fn bind(
        &self,
        statement: &Statement,
        values: &Values<'_>,
        now: Now,
    ) -> BoundStatement {
        let Now { uptime, wall } = now;
        let values = Values { boot: self.clock.boot(), uptime, wall, ..*values };
        let query: BoundStatement = sqlx::query(statement.sql.clone());
        values.of(statement).fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Name(name) => query.bind(name.unwrap_or_default()),
            Value::Integer(number) => query.bind(number),
        })
    }

    pub(super) fn record_at(&self, row: &SqliteRow, now: Now) -> Result<LockRecord> {
        row::record(row, &self.sql.statements.table, &self.clock, now)
    }

    /// Returns the error of a row that SQL found to be one way, and this code another.
    pub(super) fn contradiction(&self) -> Error {
        self.corrupt_row(CorruptRecord::new("the record contradicts itself"))
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.statements.table)
    }
}

/// Returns whether a connection must be closed after such an error: SQLite opens a file that cannot
/// be written for reading only, and the connection stays so.
fn must_close(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Denied | ErrorKind::OutcomeUnknown)
}
