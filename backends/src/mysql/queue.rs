//! This module has the operations on queues. One statement decides each, and what it left is read
//! after it; [`queue_statements`](super::queue_statements) says how.
//!
//! A read waits for the row only if it has to. Under load a name has many waiters, each of which asks
//! again and again, and every statement that waits for the row makes the others wait longer.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::mysql::MySqlRow;

use super::calls::{MySql, bind};
use super::queue_statements::{QueueStatements, padded};
use crate::sql::pool::BoundStatement;
use crate::sql::purpose::Purpose;
use crate::sql::statement::Values;
use crate::sql::{encode, row};
use crate::{
    AcquireOutcome, EntryRecord, EntryStanding, Error, ErrorKind, FencingToken, Held, Hint,
    LeaseId, LockKind, LockName, LockRecord, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

impl MySql {
    /// Adds an entry, unless something prevents it, and returns the record after that; `None` if
    /// its row has been removed. An entry that the record shows as disabled is removed again.
    pub(super) async fn enter_queue(&self, values: &Values<'_>) -> Result<Option<LockRecord>> {
        let statements = self.queue_statements()?;
        let (name, lease) = (LockName::new(values.name)?, values.lease.parse::<LeaseId>()?);
        let is_contended = self.refusals.is_expected(&name);
        let mut record = None;
        if is_contended && !values.wait {
            // An attempt that is refused again needs no lock of the row.
            record = self.find(Purpose::Read, values).await?;
            record = record.filter(|record| refusal(record, lease, values).is_some());
        }
        if record.is_none() {
            let token = self.write(Purpose::Acquire, || bind(&statements.enter, values)).await?;
            record = if token > 0 {
                Some(only_entry(name, lease, FencingToken::new(token)?, values)?)
            } else {
                // An entry behind others that needs the whole capacity waits.
                let locked = !is_contended && values.weight < values.capacity;
                let found = self.changed_record(statements, values, lease, locked).await;
                found.map_err(after_write)?
            };
        }
        if let Some(record) = &record {
            match refusal(record, lease, values) {
                Some(held) => self.refusals.note(&record.name, &AcquireOutcome::Held(held)),
                None => self.refusals.forget(&record.name),
            }
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

    /// Extends entries by one statement, and reads their rows by two others at most, however many they
    /// are. They are in the order of their names.
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
        // A row in which an entry is known to hold the lock has to be read locked anyway.
        let holding = entries.iter().filter(|entry| self.notifications.has_granted(entry.lease));
        let holding: HashSet<_> = holding.map(|entry| &entry.name).collect();
        names.retain(|name| !holding.contains(name));
        let mut found = self.queue_records(&names, false).await.map_err(after_write)?;
        let is_clear = |entry: &RenewOptions| match found.get(&entry.name) {
            Some(Ok(record)) => waits(record, entry.lease),
            _ => false,
        };
        let unclear = entries.iter().filter(|entry| !is_clear(entry));
        let mut unclear: Vec<&LockName> = unclear.map(|entry| &entry.name).collect();
        unclear.dedup();
        for name in &unclear {
            found.remove(*name);
        }
        found.extend(self.queue_records(&unclear, true).await.map_err(after_write)?);
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

    /// Reads the row after a statement that has locked it, at once with a lock if `locked` says so.
    async fn changed_record(
        &self,
        statements: &QueueStatements,
        values: &Values<'_>,
        lease: LeaseId,
        locked: bool,
    ) -> Result<Option<LockRecord>> {
        if !locked {
            let record = self.find(Purpose::Read, values).await?;
            if !record.as_ref().is_some_and(|record| holds(record, lease)) {
                return Ok(record);
            }
        }
        // Like a write, it is repeated if it has waited too long for the row.
        let find = || bind(&statements.find_locked, values);
        let rows = self.connections.write_rows(Purpose::Read, find).await?;
        let table = &self.sql.statements.table;
        rows.first().map(|row| row::record(row, table)).transpose()
    }

    /// Reads the rows of these names, locked or as they were last committed.
    async fn queue_records(
        &self,
        names: &[&LockName],
        locked: bool,
    ) -> Result<HashMap<LockName, Result<LockRecord>>> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let (statements, count) = (self.queue_statements()?, names.len());
        let rows = if locked {
            let find = || bind_names(sqlx::query(statements.find_many_locked(count)), names);
            self.connections.write_rows(Purpose::Renew, find).await?
        } else {
            let find = || bind_names(sqlx::query(statements.find_many(count)), names);
            self.connections.read_rows(Purpose::Renew, find).await?
        };
        // A row without a readable name belongs to none of these entries.
        let table = &self.sql.statements.table;
        let named = |row: &MySqlRow| Some((row::name(row, table).ok()?, row::record(row, table)));
        Ok(rows.iter().filter_map(named).collect())
    }
}

/// Returns whether the record shows that the entry holds the lock. Only a locking read is sure of that.
fn holds(record: &LockRecord, lease: LeaseId) -> bool {
    let standing = record.queue.as_ref().and_then(|queue| queue.standing(lease));
    matches!(standing, Some(EntryStanding::Holds { .. }))
}

/// Returns whether the record shows that the entry waits. Every read is sure of that: to an older read
/// than the last one an entry ahead may seem to have expired, but none seems to be live.
fn waits(record: &LockRecord, lease: LeaseId) -> bool {
    let standing = record.queue.as_ref().and_then(|queue| queue.standing(lease));
    matches!(standing, Some(EntryStanding::Waits { .. }))
}

/// Returns who keeps the attempt from the lock, if the record shows that it waits, or would have to.
fn refusal(record: &LockRecord, lease: LeaseId, values: &Values<'_>) -> Option<Held> {
    let queue = record.queue.as_ref()?;
    let has_to_wait = match queue.standing(lease) {
        Some(EntryStanding::Holds { .. }) => false,
        Some(EntryStanding::Waits { .. }) => true,
        None => {
            let used: u64 = queue.entries.iter().map(|entry| u64::from(entry.weight)).sum();
            used + u64::from(values.weight) > u64::from(values.capacity)
        }
    };
    let first = queue.entries.first().filter(|_| has_to_wait)?;
    Some(Held::new(first.holder.clone(), first.token, first.left))
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
mod tests;
