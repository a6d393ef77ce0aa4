//! This module has the operations on queues. One statement decides each, and what it left is read
//! after it; [`queue_statements`](super::queue_statements) says how.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::mysql::MySqlRow;

use super::calls::{MySql, bind};
use super::queue_statements::{QueueStatements, padded};
use crate::sql::pool::BoundStatement;
use crate::sql::purpose::Purpose;
use crate::sql::statement::Values;
use crate::sql::{encode, row};
use crate::{
    EntryRecord, Error, ErrorKind, FencingToken, Hint, LeaseId, LockKind, LockName, LockRecord,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

impl MySql {
    /// Adds an entry, unless something prevents it, and returns the record after that; `None` if
    /// its row has been removed. An entry that the record shows as disabled is removed again.
    pub(super) async fn enter_queue(&self, values: &Values<'_>) -> Result<Option<LockRecord>> {
        let statements = self.queue_statements()?;
        let (name, lease) = (LockName::new(values.name)?, values.lease.parse::<LeaseId>()?);
        let token = self.write(Purpose::Acquire, || bind(&statements.enter, values)).await?;
        let record = if token > 0 {
            Some(only_entry(name, lease, FencingToken::new(token)?, values)?)
        } else {
            self.locked_record(statements, values).await.map_err(after_write)?
        };
        if let Some(record) = &record {
            let mut entries = record.queue.iter().flat_map(|queue| &queue.entries);
            let is_disabled = record.disabled.is_some();
            if entries.any(|entry| entry.id == lease && (is_disabled || entry.ending.is_some())) {
                // The name was disabled after the statement that added the entry. The attempt is
                // refused for that, so its entry must not remain.
                self.write(Purpose::Release, || bind(&statements.leave, values)).await?;
            }
            self.notifications.on_entry(lease, record);
        }
        Ok(record)
    }

    /// Removes the entry of the values' lease, and signals that to the watches.
    pub(super) async fn leave_queue(&self, values: &Values<'_>) -> Result<ReleaseOutcome> {
        let statements = self.queue_statements()?;
        let lease: LeaseId = values.lease.parse()?;
        let left = self.write(Purpose::Release, || bind(&statements.leave, values)).await? > 0;
        if !left {
            // A row that cannot be read is not changed.
            self.find(Purpose::Read, values).await?;
        }
        let outcome = if left { ReleaseOutcome::Released } else { ReleaseOutcome::NotHeld };
        self.notifications.on_leave(lease, outcome);
        Ok(outcome)
    }

    /// Extends entries by one statement, and reads their rows by another, however many they are.
    /// They are in the order of their names.
    pub(super) async fn renew_in_queues(
        &self,
        entries: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let statements = self.queue_statements()?;
        let list = encode::leases(entries)?;
        let mut names: Vec<&LockName> = entries.iter().map(|entry| &entry.name).collect();
        names.dedup();
        let renew = || {
            let query: BoundStatement<sqlx::MySql> = sqlx::query(statements.renew(names.len()));
            bind_names(query.bind(list.as_bytes()), &names)
        };
        self.connections.execute(Purpose::Renew, renew).await?;
        let find = || bind_names(sqlx::query(statements.find_many(names.len())), &names);
        let rows = self.connections.read_rows(Purpose::Renew, find).await.map_err(after_write)?;
        // A row without a readable name belongs to none of these entries.
        let table = &self.sql.statements.table;
        let named = |row: &MySqlRow| Some((row::name(row, table).ok()?, row::record(row, table)));
        let found: HashMap<_, _> = rows.iter().filter_map(named).collect();
        let outcome = |entry: &&RenewOptions| match found.get(&entry.name) {
            Some(Ok(record)) => {
                self.notifications.on_entry(entry.lease, record);
                Ok(record.renew_entry_outcome(entry.lease))
            }
            Some(Err(error)) => Err(error.clone()),
            None => Ok(RenewOutcome::Lost),
        };
        Ok(entries.iter().map(outcome).collect())
    }

    /// Returns the hint about a name with a queue that was signalled.
    ///
    /// A row does not say why it was signalled. An entry may have left, so the hint names the
    /// entries that hold the lock now.
    pub(super) async fn queue_hint(&self, name: LockName) -> Hint {
        let values = Values { name: name.as_str(), ..Values::default() };
        let found = self.find(Purpose::Read, &values).await;
        match found {
            Ok(Some(record)) => {
                if let Some(queue) = &record.queue {
                    self.notifications.on_queue_changed(&name, queue);
                }
                hint_of(record)
            }
            // The callers that ask for the record get the error.
            _ => Hint::Name(name),
        }
    }

    fn queue_statements(&self) -> Result<&QueueStatements> {
        self.sql.queue.as_ref().ok_or_else(|| {
            let (table, add) = (&self.sql.statements.table, &self.sql.add_columns);
            let message = format!("the store does not use the columns kind and queue of {table}");
            Error::new(ErrorKind::Unsupported, message).with_fix(format!(
                "use an exclusive lock; or let leasehold add the columns, or run {add}, and restart \
                 this program; on MariaDB, group_concat_max_len must not be below its default"
            ))
        })
    }

    async fn locked_record(
        &self,
        statements: &QueueStatements,
        values: &Values<'_>,
    ) -> Result<Option<LockRecord>> {
        let find = || bind(&statements.find, values);
        let rows = self.connections.read_rows(Purpose::Read, find).await?;
        let table = &self.sql.statements.table;
        rows.first().map(|row| row::record(row, table)).transpose()
    }
}

/// Returns the error of a read after a statement that has changed the row: the change stands.
fn after_write(error: Error) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    let message = "the queue was changed, but reading the result failed";
    Error::new(ErrorKind::OutcomeUnknown, message).with_source(error)
}

fn bind_names(
    query: BoundStatement<sqlx::MySql>,
    names: &[&LockName],
) -> BoundStatement<sqlx::MySql> {
    let more = padded(names.len()) - names.len();
    let last = names.last().into_iter().cycle().take(more);
    names.iter().chain(last).fold(query, |query, name| query.bind(name.as_str().as_bytes()))
}

/// Returns the record of a name whose only entry is the one of these values, which was made just now.
fn only_entry(
    name: LockName,
    lease: LeaseId,
    token: FencingToken,
    values: &Values<'_>,
) -> Result<LockRecord> {
    let holder = serde_json::from_str(values.holder)
        .map_err(|error| Error::invalid("the holder cannot be read").with_source(error))?;
    let kind: LockKind = values.kind.parse()?;
    // Counted from when the server decided, however long ago that is.
    let left = Duration::from_micros(values.ttl.unsigned_abs());
    let entry = EntryRecord::new(lease, holder, token, left).with_weight(values.weight);
    Ok(LockRecord::unused(name).with_token(token).with_queue(kind, vec![entry]))
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
    use sqlx::{Arguments, Execute};

    use super::*;
    use crate::{AcquireOutcome, Disablement, EnterOptions, Grant, Holder, Reason};

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
        let holding: Vec<_> = entries.iter().take(2).map(|entry| entry.id).collect();
        let kind = LockKind::semaphore(2).unwrap();
        let queue = unused.clone().with_queue(kind, entries.clone());
        assert_eq!(hint_of(queue), Hint::Entries(name.clone(), holding));

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

    #[test]
    fn an_only_entry_holds_the_lock_and_is_granted_without_a_read() {
        let (lease, holder) = (LeaseId::new(), Holder::current());
        let text = encode::holder(&holder).unwrap();
        let values = Values {
            holder: &text,
            ttl: 3_000_000,
            kind: "semaphore:5",
            weight: 2,
            ..Values::default()
        };
        let token = FencingToken::new(7_u64).unwrap();
        let record = only_entry(LockName::new("a").unwrap(), lease, token, &values).unwrap();
        let options =
            EnterOptions::new(lease, holder, LEFT, LockKind::semaphore(5).unwrap()).with_weight(2);
        let granted = Grant::new(token, LEFT).with_floor(token);
        let outcome = record.enter_outcome(&options).unwrap();
        assert_eq!(outcome, Some(AcquireOutcome::Granted(granted)));
        assert_eq!(record.queue.unwrap().entries[0].weight, 2);
    }

    #[test]
    fn the_last_name_fills_the_list_of_names() {
        let names = ["a", "b", "c"].map(|name| LockName::new(name).unwrap());
        let names: Vec<_> = names.iter().collect();
        for count in 1..=3 {
            let mut query = bind_names(sqlx::query("SELECT 1"), &names[..count]);
            let arguments = query.take_arguments().unwrap().unwrap();
            assert_eq!(arguments.len(), padded(count));
        }
    }
}
