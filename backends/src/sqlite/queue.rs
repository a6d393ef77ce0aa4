//! This module has the operations on queues. Each is one transaction, which reads rows, decides, and
//! writes them back: SQLite has one writer, so nobody else changes them in between.
//!
//! The clock is read after the transaction has got the write lock. So an entry that expired while
//! the call waited is neither extended nor counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::SqlStr;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::calls::{BoundStatement, Commit, Sqlite};
use super::clock::Now;
use super::queue_statements::QueueStatements;
use super::stored_queue::{QueueRow, StoredQueue};
use super::{error_codes, row};
use crate::shell::entries::MARKER;
use crate::sql::purpose::Purpose;
use crate::sql::row::get;
use crate::sql::statement::Values;
use crate::{
    EnterOptions, Error, ErrorKind, LeaseId, LockName, LockRecord, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result,
};

impl Sqlite {
    /// Adds an entry, unless something prevents it, and returns the record as it is then.
    pub(super) async fn enter_queue(&self, values: &Values<'_>) -> Result<LockRecord> {
        let statements = self.queue_statements()?;
        let (name, options) = attempt(values)?;
        let work = async |connection: &mut SqliteConnection, now: Now| -> Result<LockRecord> {
            let found = self.read_queue(&mut *connection, values, now).await?;
            let mut queue = found.unwrap_or_else(|| StoredQueue::unused(name.clone()));
            // If the outcome is an error, the caller finds the same one in the record.
            if !matches!(queue.record.enter_outcome(&options), Ok(None)) {
                return Ok(queue.record);
            }
            let token = queue.push(&options, now);
            let token = token.map_err(|error| self.corrupt_row(error.into()).for_lock(&name))?;
            let Some((_, holder, expires_at, entries)) = queue.row()? else {
                return Err(self.contradiction());
            };
            let put: BoundStatement = sqlx::query(statements.put.clone());
            let put = put.bind(values.name).bind(i64::from(token)).bind(holder);
            let put = put.bind(self.clock.boot()).bind(expires_at).bind(now.wall);
            let put = put.bind(values.kind).bind(entries).bind(now.uptime);
            put.execute(connection).await.map_err(error_codes::writing)?;
            Ok(queue.record)
        };
        self.write(Purpose::Acquire, Commit::Together, work).await
    }

    /// Removes the entry of the values' lease, and wakes the watches if that concerns a waiter.
    pub(super) async fn leave_queue(&self, values: &Values<'_>) -> Result<ReleaseOutcome> {
        let statements = self.queue_statements()?;
        let lease: LeaseId = values.lease.parse()?;
        let marker = MARKER.to_string();
        let work =
            async |connection: &mut SqliteConnection, now: Now| -> Result<(ReleaseOutcome, bool)> {
                let found = self.read_queue(&mut *connection, values, now).await?;
                let Some(mut queue) = found else { return Ok((ReleaseOutcome::NotHeld, false)) };
                let Some(removed) = queue.remove(lease) else {
                    return Ok((ReleaseOutcome::NotHeld, false));
                };
                let concerns_others = queue.record.hint_of_leaving(&removed).is_some();
                let write = match queue.row()? {
                    Some(row) if concerns_others => {
                        self.bind_rows(&statements.keep_and_signal, &[row], now)?
                    }
                    Some(row) => self.bind_rows(&statements.keep, &[row], now)?,
                    // The name is free, as after the release of an exclusive lock.
                    None => {
                        let values = Values { lease: &marker, ..*values };
                        self.bind(&self.sql.statements.release, &values, now)
                    }
                };
                self.run(connection, write, 1).await?;
                Ok((ReleaseOutcome::Released, concerns_others))
            };
        let (outcome, concerns_others) =
            self.write(Purpose::Release, Commit::Together, work).await?;
        if concerns_others {
            self.notify_watches();
        }
        Ok(outcome)
    }

    /// Extends entries by one read and one write, however many they are. They are in the order of
    /// their names.
    pub(super) async fn renew_in_queues(
        &self,
        entries: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let statements = self.queue_statements()?;
        let mut names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        names.dedup();
        let names = encoded(&names)?;
        let work = async |connection: &mut SqliteConnection,
                          now: Now|
               -> Result<Vec<Result<RenewOutcome>>> {
            let mut queues = self.read_queues(&mut *connection, statements, &names, now).await?;
            let outcomes = extend(&mut queues, entries, now);
            let mut rows = Vec::new();
            for queue in queues.values().flatten().filter(|queue| queue.is_extended()) {
                rows.extend(queue.row()?);
            }
            if !rows.is_empty() {
                let keep = self.bind_rows(&statements.keep, &rows, now)?;
                self.run(connection, keep, rows.len()).await?;
            }
            Ok(outcomes)
        };
        let renewed = self.write(Purpose::Renew, Commit::Together, work).await;
        renewed.or_else(|error| self.lost_with_file(error, entries.len()))
    }

    fn queue_statements(&self) -> Result<&QueueStatements> {
        self.sql.queue.as_ref().ok_or_else(|| {
            let table = &self.sql.statements.table;
            let add = ["kind", "queue"].map(|column| self.sql.add_column(column)).join("; ");
            let message =
                format!("the table {table} has no columns kind and queue of the type TEXT");
            Error::new(ErrorKind::Unsupported, message).with_fix(format!(
                "use an exclusive lock; or let leasehold add them, or run {add}, and restart this \
                 program"
            ))
        })
    }

    /// Reads the row of the values' name; `None` if there is none.
    async fn read_queue(
        &self,
        connection: &mut SqliteConnection,
        values: &Values<'_>,
        now: Now,
    ) -> Result<Option<StoredQueue>> {
        let find = self.bind(&self.sql.statements.find, values, now).fetch_optional(connection);
        let row = find.await.map_err(error_codes::not_written)?;
        row.map(|row| self.queue_at(&row, now)).transpose()
    }

    /// Reads the rows of these names. A row that is damaged concerns only its own entries.
    async fn read_queues(
        &self,
        connection: &mut SqliteConnection,
        statements: &QueueStatements,
        names: &str,
        now: Now,
    ) -> Result<BTreeMap<LockName, Result<StoredQueue>>> {
        let find: BoundStatement = sqlx::query(statements.find.clone());
        let rows = find.bind(names).fetch_all(connection).await;
        let rows = rows.map_err(error_codes::not_written)?;
        let table = &self.sql.statements.table;
        rows.iter().map(|row| Ok((row::name(row, table)?, self.queue_at(row, now)))).collect()
    }

    fn queue_at(&self, row: &SqliteRow, now: Now) -> Result<StoredQueue> {
        let record = self.record_at(row, now)?;
        let name = record.name.clone();
        StoredQueue::read(record, || get(row, "queue"))
            .map_err(|corrupt| self.corrupt_row(corrupt).for_lock(&name))
    }

    fn bind_rows(
        &self,
        statement: &SqlStr,
        rows: &[QueueRow<'_>],
        now: Now,
    ) -> Result<BoundStatement> {
        let query: BoundStatement = sqlx::query(statement.clone());
        Ok(query.bind(encoded(rows)?).bind(self.clock.boot()).bind(now.uptime).bind(now.wall))
    }

    /// Runs a statement on this many rows, which were read in the same transaction.
    async fn run(
        &self,
        connection: &mut SqliteConnection,
        statement: BoundStatement,
        rows: usize,
    ) -> Result<()> {
        let done = statement.execute(connection).await.map_err(error_codes::writing)?;
        if usize::try_from(done.rows_affected()) == Ok(rows) {
            Ok(())
        } else {
            Err(self.contradiction())
        }
    }
}

/// Extends the entries, and returns the outcome of each, when all of them are extended.
fn extend(
    queues: &mut BTreeMap<LockName, Result<StoredQueue>>,
    entries: &[&RenewOptions],
    now: Now,
) -> Vec<Result<RenewOutcome>> {
    for entry in entries {
        if let Some(Ok(queue)) = queues.get_mut(&entry.name) {
            queue.extend(entry, now);
        }
    }
    let outcome = |entry: &&RenewOptions| match queues.get(&entry.name) {
        Some(Ok(queue)) => Ok(queue.record.renew_entry_outcome(entry.lease)),
        Some(Err(error)) => Err(error.clone()),
        None => Ok(RenewOutcome::Lost),
    };
    entries.iter().map(outcome).collect()
}

/// Returns the attempt that has these values.
fn attempt(values: &Values<'_>) -> Result<(LockName, EnterOptions)> {
    let holder = serde_json::from_str(values.holder)
        .map_err(|error| Error::invalid("the holder cannot be read").with_source(error))?;
    let ttl = Duration::from_micros(values.ttl.unsigned_abs());
    let options = EnterOptions::new(values.lease.parse()?, holder, ttl, values.kind.parse()?);
    let options = options.with_weight(values.weight);
    let options = if values.wait { options } else { options.without_waiting() };
    Ok((LockName::new(values.name)?, options))
}

fn encoded<T: Serialize>(values: &[T]) -> Result<String> {
    serde_json::to_string(values)
        .map_err(|error| Error::invalid("the queues cannot be encoded as JSON").with_source(error))
}
