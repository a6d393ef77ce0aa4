//! This module reads the rows of the SQL stores strictly: what Leasehold did not write is an error,
//! never a guess.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::CorruptRecord;
use crate::shell::StoredInstance;
use crate::shell::entries::{self, MARKER};
use crate::{
    Disablement, EntryRecord, Error, ErrorKind, FencingToken, LeaseRecord, LockKind, LockName,
    LockRecord, Reason, Result,
};

/// A row has these columns. Databases differ in the types that they keep text and names in.
pub(crate) trait Columns: Send + Sync {
    /// Reads a number.
    fn integer(&self, column: &'static str) -> Result<i64, CorruptRecord>;

    /// Reads a number; returns `None` for NULL.
    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, CorruptRecord>;

    /// Reads text; returns `None` for NULL.
    fn text(&self, column: &'static str) -> Result<Option<String>, CorruptRecord>;

    /// Reads the bytes of text that is not NULL.
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, CorruptRecord>;

    /// Returns whether the row has that column.
    fn has(&self, column: &'static str) -> bool;
}

/// Returns a column as the server gives it.
pub(crate) fn get<'r, R, T>(row: &'r R, column: &'static str) -> Result<T, CorruptRecord>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    T: Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get(column).map_err(|source| {
        let wrong = Error::new(ErrorKind::Corrupt, format!("cannot read column {column}"));
        CorruptRecord(wrong.with_source(source))
    })
}

/// Returns whether the row has that column. The statement selects it only if the table has it, and
/// the tables of earlier versions lack those of queues.
pub(crate) fn has<R>(row: &R, column: &'static str) -> bool
where
    R: Row,
    &'static str: ColumnIndex<R>,
{
    row.try_column(column).is_ok()
}

/// Reads text that comes as bytes, whatever character set a connection has.
pub(crate) fn text_of_bytes<R>(
    row: &R,
    column: &'static str,
) -> Result<Option<String>, CorruptRecord>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    let Some(bytes) = get::<_, Option<Vec<u8>>>(row, column)? else { return Ok(None) };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| CorruptRecord::new(format!("column {column} is not UTF-8: {error}")))
}

/// Returns the name in the row's column `name`.
pub(crate) fn name(row: &impl Columns, table: &str) -> Result<LockName> {
    let name = || not_null("name", parse_column("name", row.text("name")?)?);
    name().map_err(|corrupt: CorruptRecord| corrupt.into_error(table))
}

/// Reads the whole row of a server, as of its column `clock`, by which leases run there.
pub(crate) fn record(row: &impl Columns, table: &str) -> Result<LockRecord> {
    record_as_of(row, table, |_| {
        let clock = row.integer("clock")?;
        Ok((clock, move |expires_at| left(expires_at, clock)))
    })
}

/// Reads the whole row. `time` returns the clock of the times that are displayed, and how to
/// compute the time until `expires_at`.
pub(crate) fn record_as_of<L>(
    row: &impl Columns,
    table: &str,
    time: impl FnOnce(&LeaseColumns) -> Result<(i64, L), CorruptRecord>,
) -> Result<LockRecord>
where
    L: Fn(i64) -> Result<Option<Duration>, CorruptRecord>,
{
    let name = name(row, table)?;
    let parse = || {
        let columns = LeaseColumns {
            lease: row.text("lease")?,
            holder: row.text("holder")?,
            expires_at: row.optional_integer("expires_at")?,
            granted_at: row.optional_integer("granted_at")?,
            ending: row.text("ending")?,
        };
        let (clock, left) = time(&columns)?;
        let token = token(row.integer("token")?)?;
        let lease = columns.record(clock, &left)?;
        if lease.is_some() && token.is_none() {
            return Err(CorruptRecord::new("the lease has no token"));
        }
        let (reason, by) = (row.text("disabled_reason")?, row.text("disabled_by")?);
        let disabled = disabled(reason, by, row.optional_integer("disabled_at")?, clock)?;
        let record = LockRecord::unused(name.clone()).with_token(token).with_disabled(disabled);
        Ok(match lease {
            // The columns may be added while a store is open that does not read them. To it the name
            // is held, as to an earlier version.
            Some(marker) if marker.id.as_uuid() == MARKER && row.has("queue") => {
                let (kind, entries) = queue(row, marker.ending.as_ref(), clock, left)?;
                record.with_queue(kind, entries)
            }
            lease => record.with_lease(lease),
        })
    };
    parse().map_err(|corrupt: CorruptRecord| corrupt.into_error(table).for_lock(&name))
}

/// Reads the columns of the queue of a row that has the [`MARKER`], and returns the live entries.
fn queue(
    row: &impl Columns,
    ending: Option<&Reason>,
    clock: i64,
    left: impl Fn(i64) -> Result<Option<Duration>, CorruptRecord>,
) -> Result<(LockKind, Vec<EntryRecord>), CorruptRecord> {
    let text = |column| not_null(column, row.text(column)?);
    let (kind, queue) = (text("kind")?, text("queue")?);
    let (kind, entries) = entries::read_with(&kind, &queue, ending, clock, left)?;
    if entries.is_empty() {
        return Err(CorruptRecord::new("the queue expires later than its entries"));
    }
    Ok((kind, entries))
}

/// Returns what a server's row shows of an instance, unless that has expired.
pub(crate) fn stored_instance(row: &impl Columns, table: &str) -> Option<StoredInstance> {
    stored_instance_with(row, table, || left(row.integer("expires_at")?, row.integer("clock")?))
}

/// Returns what a row shows of an instance, of which that is left, unless it has expired.
pub(crate) fn stored_instance_with(
    row: &impl Columns,
    table: &str,
    left: impl FnOnce() -> Result<Option<Duration>, CorruptRecord>,
) -> Option<StoredInstance> {
    let read = || -> Result<_, CorruptRecord> {
        let left = left()?;
        Ok((not_null("presence", row.text("presence")?)?, left))
    };
    let key = row.text("instance").ok().flatten().unwrap_or_default();
    match read() {
        Ok((text, left)) => Some(StoredInstance { key, text: Ok(text), left: left? }),
        Err(corrupt) => {
            let text = Err(corrupt.into_error(table));
            Some(StoredInstance { key, text, left: Duration::ZERO })
        }
    }
}

/// Returns the ttl in microseconds, rounded up. It is exact, since the longest ttl is a day.
pub(crate) fn ttl_micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// Parses the text of a column; returns `None` for NULL.
pub(crate) fn parse_column<T>(
    column: &str,
    text: Option<String>,
) -> Result<Option<T>, CorruptRecord>
where
    T: FromStr<Err: Display>,
{
    let Some(text) = text else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|error| CorruptRecord::new(format!("invalid column {column}: {error}")))
}

/// Returns the value of a column, or an error if it is NULL.
pub(crate) fn not_null<T>(column: &str, value: Option<T>) -> Result<T, CorruptRecord> {
    value.ok_or_else(|| CorruptRecord::new(format!("{column} is NULL")))
}

/// Reads a token; returns `None` for 0, the token of a name that was disabled before its first grant.
pub(crate) fn token(number: i64) -> Result<Option<FencingToken>, CorruptRecord> {
    if number == 0 {
        return Ok(None);
    }
    u64::try_from(number)
        .map_err(|_| CorruptRecord::new(format!("{number} is not a valid fencing token")))
        .and_then(|number| Ok(Some(FencingToken::new(number)?)))
}

/// These are the columns of a lease. All of them are NULL, or at most `ending` is.
pub(crate) struct LeaseColumns {
    pub(crate) lease: Option<String>,
    pub(crate) holder: Option<String>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) granted_at: Option<i64>,
    pub(crate) ending: Option<String>,
}

impl LeaseColumns {
    /// Reads the lease, and returns it if it is in force. `clock` is the clock of `granted_at`, and
    /// `left` computes the time until `expires_at`.
    pub(crate) fn record(
        self,
        clock: i64,
        left: impl FnOnce(i64) -> Result<Option<Duration>, CorruptRecord>,
    ) -> Result<Option<LeaseRecord>, CorruptRecord> {
        let (id, ending) =
            (parse_column("lease", self.lease)?, parse_column::<Reason>("ending", self.ending)?);
        match (id, self.holder, self.expires_at, self.granted_at, ending) {
            (Some(id), Some(holder), Some(expires_at), Some(granted_at), ending) => {
                let holder = serde_json::from_str(&holder).map_err(|source| {
                    let wrong = Error::new(ErrorKind::Corrupt, "the holder is corrupt");
                    CorruptRecord(wrong.with_source(source))
                })?;
                let held_for = since(granted_at, clock)?;
                let left = left(expires_at)?;
                Ok(left.map(|left| {
                    LeaseRecord::new(id, holder, left).with_held_for(held_for).with_ending(ending)
                }))
            }
            (None, None, None, None, None) => Ok(None),
            _ => Err(CorruptRecord::new("the lease is incomplete")),
        }
    }
}

/// Reads the columns of a disablement. All of them are NULL, or at most `disabled_by` is.
pub(crate) fn disabled(
    reason: Option<String>,
    by: Option<String>,
    at: Option<i64>,
    clock: i64,
) -> Result<Option<Disablement>, CorruptRecord> {
    match (parse_column::<Reason>("disabled_reason", reason)?, by, at) {
        (Some(reason), by, Some(at)) => {
            Ok(Some(Disablement::new(reason).with_by(by).with_since(since(at, clock)?)))
        }
        (None, None, None) => Ok(None),
        _ => Err(CorruptRecord::new("the disable record is incomplete")),
    }
}

/// Returns the time until then, or `None` if that has passed.
pub(crate) fn left(expires_at: i64, clock: i64) -> Result<Option<Duration>, CorruptRecord> {
    let left = expires_at
        .checked_sub(clock)
        .ok_or_else(|| CorruptRecord::new(format!("{expires_at} is not a valid time")))?;
    Ok(u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_micros))
}

/// Returns the time since then, for display only: zero if the clock was set back in between.
fn since(then: i64, clock: i64) -> Result<Duration, CorruptRecord> {
    let then = u64::try_from(then)
        .map_err(|_| CorruptRecord::new(format!("{then} is not a valid time")))?;
    Ok(Duration::from_micros(clock.unsigned_abs().saturating_sub(then)))
}

#[cfg(test)]
mod tests;
