//! This module has the operations on queues, each of which is one statement;
//! [`queue_statements`](super::queue_statements) says how.

use std::collections::HashMap;

use sqlx::postgres::PgRow;

use super::calls::Postgres;
use super::queue_statements::QueueStatements;
use crate::shell::Decision;
use crate::shell::entries::MARKER;
use crate::sql::purpose::Purpose;
use crate::sql::row::{self, get, ttl_micros};
use crate::sql::statement::Values;
use crate::{
    Error, ErrorKind, FencingToken, LeaseId, LockRecord, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result,
};

impl Postgres {
    /// Adds an entry, unless something prevents it, and returns the record after that; `None` if
    /// the row changed in between.
    pub(super) async fn enter_queue(&self, values: &Values<'_>) -> Result<Option<LockRecord>> {
        let statements = self.queue_statements()?;
        let lease: LeaseId = values.lease.parse()?;
        let rows = self.write(Purpose::Acquire, &statements.enter, values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let done: bool = get(row, "done").map_err(|corrupt| self.corrupt_row(corrupt))?;
        let record = row::record(row, &self.sql.statements.table)?;
        Ok((done || !shows_entry(&record, values.kind, lease)).then_some(record))
    }

    /// Removes the entry of the values' lease. The same statement sends the hint.
    pub(super) async fn leave_queue(&self, values: &Values<'_>) -> Result<ReleaseOutcome> {
        let statements = self.queue_statements()?;
        if !self.write(Purpose::Release, &statements.leave, values).await?.is_empty() {
            return Ok(ReleaseOutcome::Released);
        }
        // A row that cannot be read is not changed.
        self.find(values).await?;
        Ok(ReleaseOutcome::NotHeld)
    }

    /// Extends entries by one statement, which returns their rows.
    pub(super) async fn renew_in_queues(
        &self,
        entries: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let statements = self.queue_statements()?;
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let ids: Vec<_> = entries.iter().map(|entry| entry.lease.as_uuid()).collect();
        let ttls: Vec<_> = entries.iter().map(|entry| ttl_micros(entry.ttl)).collect();
        let renew = || sqlx::query(statements.renew.clone()).bind(&names).bind(&ids).bind(&ttls);
        let rows = self.connections.write_rows(Purpose::Renew, renew).await?;
        let table = &self.sql.statements.table;
        // The names were bound, so each of them can be read.
        let named = |row: &PgRow| Some((row::name(row, table).ok()?, row::record(row, table)));
        let found: HashMap<_, _> = rows.iter().filter_map(named).collect();
        let outcome = |entry: &&RenewOptions| match found.get(&entry.name) {
            Some(Ok(record)) => Ok(record.renew_entry_outcome(entry.lease)),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(RenewOutcome::Lost),
        };
        Ok(entries.iter().map(outcome).collect())
    }

    /// Returns whether the record, which was read without the columns of queues, is that of a queue
    /// that refuses an exclusive lock.
    pub(super) fn is_refused_by_queue(&self, record: &LockRecord) -> bool {
        let is_marked = |id: LeaseId| id.as_uuid() == MARKER;
        self.sql.queue.is_some()
            && record.disabled.is_none()
            && record.lease.as_ref().is_some_and(|lease| is_marked(lease.id))
    }

    /// Reads which kind of lock refuses an exclusive lock. The statement of an acquire does not read
    /// that, so that its cost does not depend on queues.
    pub(super) async fn refusal_by_queue(
        &self,
        values: &Values<'_>,
    ) -> Result<Decision<Option<FencingToken>>> {
        let record = self.find(values).await?;
        let refuses = |record: &LockRecord| record.is_in_use() || record.disabled.is_some();
        Ok(record.filter(refuses).map_or(Decision::Changed, Decision::Refused))
    }

    async fn find(&self, values: &Values<'_>) -> Result<Option<LockRecord>> {
        let rows = self.read(&self.sql.statements.find, values).await?;
        let table = &self.sql.statements.table;
        rows.first().map(|row| row::record(row, table)).transpose()
    }

    fn queue_statements(&self) -> Result<&QueueStatements> {
        self.sql.queue.as_ref().ok_or_else(|| {
            let (table, add) = (&self.sql.statements.table, &self.sql.add_columns);
            let message = format!("the store does not use the columns kind and queue of {table}");
            Error::new(ErrorKind::Unsupported, message).with_fix(format!(
                "use an exclusive lock; or let leasehold add the columns, or run {add}, and restart \
                 this program"
            ))
        })
    }
}

/// Returns whether a record of the snapshot shows the attempt's own entry as one that counts. The
/// entries ahead of it may have been renewed since, so only a locked row may say that.
fn shows_entry(record: &LockRecord, kind: &str, lease: LeaseId) -> bool {
    let queue = record.queue.as_ref().filter(|_| record.disabled.is_none());
    record.kind.code() == kind && queue.is_some_and(|queue| queue.standing(lease).is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Disablement, EntryRecord, Holder, LockKind, LockName, Reason};

    #[test]
    fn only_a_locked_row_says_that_an_attempt_has_an_entry() {
        let (own, other) = (LeaseId::new(), LeaseId::new());
        let token = FencingToken::new(7_u64).unwrap();
        let entry = EntryRecord::new(own, Holder::current(), token, Duration::from_secs(3));
        let unused = LockRecord::unused(LockName::new("a").unwrap());
        assert!(!shows_entry(&unused, "fair", own));
        let queue = unused.with_queue(LockKind::Fair, vec![entry]);
        assert!(shows_entry(&queue, "fair", own));
        // These refuse the attempt, whatever has changed since.
        assert!(!shows_entry(&queue, "fair", other));
        assert!(!shows_entry(&queue, "semaphore:2", own));
        let disabled = Disablement::new(Reason::new("upkeep").unwrap());
        assert!(!shows_entry(&queue.with_disabled(disabled), "fair", own));
    }
}
