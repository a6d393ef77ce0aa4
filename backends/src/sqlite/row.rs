//! Reading rows back, strictly: what Leasehold did not write is an error, never a guess.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Decode, Row, Type};

use super::clock::{MachineClock, Now};
use crate::common::Damage;
use crate::{
    Disablement, Error, ErrorKind, FencingToken, LeaseId, LeaseRecord, LockName, LockRecord,
    Reason, Result,
};

/// The name in the row's column `name`.
pub(super) fn name(row: &SqliteRow, table: &str) -> Result<LockName> {
    text(row, "name").map_err(|error| error.in_table(table))
}

/// The whole row. A lease that is over is no lease, but is read all the same.
pub(super) fn record(
    row: &SqliteRow,
    table: &str,
    clock: &MachineClock,
    now: Now,
) -> Result<LockRecord> {
    let name = name(row, table)?;
    let parse = || {
        Ok(LockRecord {
            name: name.clone(),
            token: token(row)?,
            lease: lease(row, clock, now)?,
            disabled: disabled(row, now)?,
        })
    };
    parse().map_err(|error: Damage| error.in_table(table).for_lock(&name))
}

/// The token column; none when it is 0, which a name has that was disabled before its first grant.
pub(super) fn token(row: &SqliteRow) -> Result<Option<FencingToken>, Damage> {
    let number: i64 = get(row, "token")?;
    if number == 0 {
        return Ok(None);
    }
    u64::try_from(number)
        .map_err(|_| Damage::new(format!("{number} is no fencing token")))
        .and_then(|number| Ok(Some(FencingToken::new(number)?)))
}

fn lease(row: &SqliteRow, clock: &MachineClock, now: Now) -> Result<Option<LeaseRecord>, Damage> {
    let id: Option<LeaseId> = optional_text(row, "lease")?;
    let holder: Option<String> = get(row, "holder")?;
    let boot: Option<String> = get(row, "boot")?;
    let expires_at: Option<i64> = get(row, "expires_at")?;
    let granted_at: Option<i64> = get(row, "granted_at")?;
    let ending: Option<Reason> = optional_text(row, "ending")?;
    match (id, holder, boot, expires_at, granted_at, ending) {
        (Some(id), Some(holder), Some(boot), Some(expires_at), Some(granted_at), ending) => {
            let holder = serde_json::from_str(&holder).map_err(|source| {
                Damage(
                    Error::new(ErrorKind::Corrupt, "holder is not as it was written")
                        .with_source(source),
                )
            })?;
            let held_for = since(granted_at, now)?;
            let left = clock.left(&boot, expires_at, now)?;
            Ok(left.map(|left| LeaseRecord { id, holder, held_for, left, ending }))
        }
        (None, None, None, None, None, None) => Ok(None),
        _ => Err(Damage::new("a part of a lease stands without the others")),
    }
}

fn disabled(row: &SqliteRow, now: Now) -> Result<Option<Disablement>, Damage> {
    let reason: Option<Reason> = optional_text(row, "disabled_reason")?;
    let by: Option<String> = get(row, "disabled_by")?;
    let at: Option<i64> = get(row, "disabled_at")?;
    match (reason, by, at) {
        (Some(reason), by, Some(at)) => {
            Ok(Some(Disablement { reason, by, since: since(at, now)? }))
        }
        (None, None, None) => Ok(None),
        _ => Err(Damage::new("a part of a disablement stands without the others")),
    }
}

/// By the calendar clock, so for display only; zero if that was set back meanwhile.
fn since(wall: i64, now: Now) -> Result<Duration, Damage> {
    let wall = u64::try_from(wall).map_err(|_| Damage::new(format!("{wall} is no time")))?;
    Ok(Duration::from_micros(now.wall.unsigned_abs().saturating_sub(wall)))
}

/// A column as SQLite gives it.
pub(super) fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T, Damage>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(column).map_err(|source| {
        Damage(
            Error::new(ErrorKind::Corrupt, format!("{column} cannot be read")).with_source(source),
        )
    })
}

/// A column that holds the text of a `T`, and not NULL.
pub(super) fn text<T: FromStr<Err: Display>>(row: &SqliteRow, column: &str) -> Result<T, Damage> {
    optional_text(row, column)?.ok_or_else(|| Damage::new(format!("{column} is NULL")))
}

/// A column that holds the text of a `T`.
pub(super) fn optional_text<T>(row: &SqliteRow, column: &str) -> Result<Option<T>, Damage>
where
    T: FromStr<Err: Display>,
{
    let Some(text) = get::<Option<String>>(row, column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|error| Damage::new(format!("{column} is wrong: {error}")))
}
