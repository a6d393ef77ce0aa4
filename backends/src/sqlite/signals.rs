//! This module reads what was signalled to the watches.

use sqlx::sqlite::SqliteRow;

use super::calls::{BoundStatement, Sqlite};
use super::{error_codes, row};
use crate::sql::row::get;
use crate::sql::statement::Values;
use crate::{Hint, LockName, LockRecord, Result};

impl Sqlite {
    /// Returns the rows that were signalled after that signal, in order.
    pub(super) async fn signals_after(&self, seen: i64) -> Result<Vec<SqliteRow>> {
        let signals: BoundStatement = sqlx::query(self.sql.signals.clone());
        self.read_beside(signals.bind(seen)).await
    }

    pub(super) async fn latest_signal(&self) -> Result<i64> {
        let latest = sqlx::query_scalar(self.sql.latest_signal.clone());
        let signal = match &self.beside {
            Some(beside) => latest.fetch_one(&mut *beside.lock().await).await,
            None => latest.fetch_one(&mut *self.connection().await?).await,
        };
        signal.map_err(error_codes::not_written)
    }

    /// Returns the hint about a row of [`signals_after`](Self::signals_after).
    ///
    /// A row does not say why it was signalled. If it has a queue now, an entry may have left, so
    /// the hint names the entries that hold the lock.
    pub(super) async fn hint(&self, row: &SqliteRow) -> Hint {
        let Ok(name) = row::name(row, &self.sql.statements.table) else { return Hint::Anything };
        if get::<_, i64>(row, "has_queue").is_ok_and(|has_queue| has_queue == 0) {
            return Hint::Name(name);
        }
        match self.signalled_record(&name).await {
            Ok(Some(record)) => hint_of(record),
            // The callers that ask for the record get the error.
            _ => Hint::Name(name),
        }
    }

    async fn signalled_record(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let values = Values { name: name.as_str(), ..Values::default() };
        let find = self.bind(&self.sql.statements.find, &values, self.clock.now());
        let rows = self.read_beside(find).await?;
        rows.first().map(|row| self.record_at(row, self.clock.now())).transpose()
    }

    /// Reads on the connection beside those of the pool, if there is one.
    async fn read_beside(&self, query: BoundStatement) -> Result<Vec<SqliteRow>> {
        let rows = match &self.beside {
            Some(beside) => query.fetch_all(&mut *beside.lock().await).await,
            None => query.fetch_all(&mut *self.connection().await?).await,
        };
        rows.map_err(error_codes::not_written)
    }
}

/// Returns the hint about a name that was signalled and has this record.
///
/// If it is disabled, or an entry was told to leave, the reason of the signal may be a disable or an
/// enable, which concerns all entries.
fn hint_of(record: LockRecord) -> Hint {
    let LockRecord { name, queue, disabled, .. } = record;
    match (queue, disabled) {
        (Some(queue), None) if queue.entries.iter().all(|entry| entry.ending.is_none()) => {
            Hint::Entries(name, queue.holders().iter().map(|entry| entry.id).collect())
        }
        _ => Hint::Name(name),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Disablement, EntryRecord, FencingToken, Holder, LeaseId, LockKind, Reason};

    const LEFT: Duration = Duration::from_secs(3);

    fn entry(token: u64) -> EntryRecord {
        let token = FencingToken::new(token).unwrap();
        EntryRecord::new(LeaseId::new(), Holder::current(), token, LEFT)
    }

    #[test]
    fn a_hint_about_a_queue_names_all_that_hold_the_lock() {
        let name = LockName::new("a").unwrap();
        let unused = LockRecord::unused(name.clone());
        let entries: Vec<_> = (1..=3).map(entry).collect();
        let [first, second, _] = [0, 1, 2].map(|at: usize| entries[at].id);
        let kind = LockKind::semaphore(2).unwrap();
        let queue = unused.clone().with_queue(kind, entries.clone());
        assert_eq!(hint_of(queue), Hint::Entries(name.clone(), vec![first, second]));

        let reason = Reason::new("upkeep").unwrap();
        let mut ending = entries.clone();
        ending[2].ending = Some(reason.clone());
        let disabled = unused.clone().with_disabled(Disablement::new(reason));
        for all in
            [unused.clone(), unused.with_queue(kind, ending), disabled.with_queue(kind, entries)]
        {
            assert_eq!(hint_of(all), Hint::Name(name.clone()));
        }
    }
}
