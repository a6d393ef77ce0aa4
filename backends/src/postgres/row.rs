//! Reading rows back, strictly: what Leasehold did not write is an error, never a guess.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row, Type};

use crate::common::Damage;
use crate::{
    Disablement, Error, ErrorKind, FencingToken, LeaseId, LeaseRecord, LockName, LockRecord,
    Reason, RenewOutcome, Result,
};

/// The whole row, as of its column `clock`. A lease that is over is no lease, but is read all the
/// same.
pub(super) fn record(row: &PgRow, table: &str) -> Result<LockRecord> {
    let name = name(row, table)?;
    let parse = || {
        let clock = get(row, "clock")?;
        let (token, lease) = (token(row)?, lease(row, clock)?);
        if lease.is_some() && token.is_none() {
            return Err(Damage::new("a lease has no token"));
        }
        Ok(LockRecord { name: name.clone(), token, lease, disabled: disabled(row, clock)? })
    };
    parse().map_err(|error: Damage| error.in_table(table).for_lock(&name))
}

/// The name in the row's column `name`.
pub(super) fn name(row: &PgRow, table: &str) -> Result<LockName> {
    text(row, "name").map_err(|error: Damage| error.in_table(table))
}

/// Whose lease a row of a renewal is, and what became of it.
pub(super) fn renewal(row: &PgRow, table: &str) -> Result<((LockName, LeaseId), RenewOutcome)> {
    let name = name(row, table)?;
    let parse = || {
        let outcome = match optional_text(row, "reason")? {
            Some(reason) => {
                let left = left(get(row, "expires_at")?, get(row, "clock")?)?.unwrap_or_default();
                RenewOutcome::Disabled { reason, left }
            }
            None => {
                let ttl: i64 = get(row, "ttl")?;
                RenewOutcome::Extended { left: Duration::from_micros(ttl.unsigned_abs()) }
            }
        };
        Ok((text(row, "lease")?, outcome))
    };
    let (lease, outcome) =
        parse().map_err(|damage: Damage| damage.in_table(table).for_lock(&name))?;
    Ok(((name, lease), outcome))
}

/// The token column; none when it is 0, which a name has that was disabled before its first grant.
fn token(row: &PgRow) -> Result<Option<FencingToken>, Damage> {
    let number: i64 = get(row, "token")?;
    if number == 0 {
        return Ok(None);
    }
    u64::try_from(number)
        .map_err(|_| Damage::new(format!("{number} is no fencing token")))
        .and_then(|number| Ok(Some(FencingToken::new(number)?)))
}

fn lease(row: &PgRow, clock: i64) -> Result<Option<LeaseRecord>, Damage> {
    let id: Option<LeaseId> = optional_text(row, "lease")?;
    let holder: Option<String> = get(row, "holder")?;
    let expires_at: Option<i64> = get(row, "expires_at")?;
    let granted_at: Option<i64> = get(row, "granted_at")?;
    let ending: Option<Reason> = optional_text(row, "ending")?;
    match (id, holder, expires_at, granted_at, ending) {
        (Some(id), Some(holder), Some(expires_at), Some(granted_at), ending) => {
            let holder = serde_json::from_str(&holder).map_err(|source| {
                Damage(
                    Error::new(ErrorKind::Corrupt, "holder is not as it was written")
                        .with_source(source),
                )
            })?;
            let held_for = since(granted_at, clock)?;
            let left = left(expires_at, clock)?;
            Ok(left.map(|left| LeaseRecord { id, holder, held_for, left, ending }))
        }
        (None, None, None, None, None) => Ok(None),
        _ => Err(Damage::new("a part of a lease stands without the others")),
    }
}

fn disabled(row: &PgRow, clock: i64) -> Result<Option<Disablement>, Damage> {
    let reason: Option<Reason> = optional_text(row, "disabled_reason")?;
    let by: Option<String> = get(row, "disabled_by")?;
    let at: Option<i64> = get(row, "disabled_at")?;
    match (reason, by, at) {
        (Some(reason), by, Some(at)) => {
            Ok(Some(Disablement { reason, by, since: since(at, clock)? }))
        }
        (None, None, None) => Ok(None),
        _ => Err(Damage::new("a part of a disablement stands without the others")),
    }
}

/// What is left until then; none when it is over.
fn left(expires_at: i64, clock: i64) -> Result<Option<Duration>, Damage> {
    let left = expires_at
        .checked_sub(clock)
        .ok_or_else(|| Damage::new(format!("{expires_at} is no time")))?;
    Ok(u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_micros))
}

/// For display only; zero if the server's clock was set back meanwhile.
fn since(then: i64, clock: i64) -> Result<Duration, Damage> {
    let then = u64::try_from(then).map_err(|_| Damage::new(format!("{then} is no time")))?;
    Ok(Duration::from_micros(clock.unsigned_abs().saturating_sub(then)))
}

/// A column as PostgreSQL gives it.
pub(super) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, Damage>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(|source| {
        Damage(
            Error::new(ErrorKind::Corrupt, format!("{column} cannot be read")).with_source(source),
        )
    })
}

/// A column that holds the text of a `T`, and not NULL.
fn text<T: FromStr<Err: Display>>(row: &PgRow, column: &str) -> Result<T, Damage> {
    optional_text(row, column)?.ok_or_else(|| Damage::new(format!("{column} is NULL")))
}

/// A column that holds the text of a `T`.
fn optional_text<T: FromStr<Err: Display>>(row: &PgRow, column: &str) -> Result<Option<T>, Damage> {
    let Some(text) = get::<Option<String>>(row, column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|error| Damage::new(format!("{column} is wrong: {error}")))
}
