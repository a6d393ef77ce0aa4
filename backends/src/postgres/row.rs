//! Which columns of PostgreSQL's rows say what.

use std::time::Duration;

use sqlx::postgres::PgRow;

use crate::common::Damage;
use crate::common::row::{self, LeaseColumns, get, parsed, present};
use crate::{LeaseId, LockName, LockRecord, RenewOutcome, Result};

/// The whole row, as of its column `clock`.
pub(super) fn record(row: &PgRow, table: &str) -> Result<LockRecord> {
    let name = name(row, table)?;
    let parse = || {
        let clock = get(row, "clock")?;
        let token = row::token(get(row, "token")?)?;
        let columns = LeaseColumns {
            lease: get(row, "lease")?,
            holder: get(row, "holder")?,
            expires_at: get(row, "expires_at")?,
            granted_at: get(row, "granted_at")?,
            ending: get(row, "ending")?,
        };
        let lease = columns.record(clock, |expires_at| row::left(expires_at, clock))?;
        if lease.is_some() && token.is_none() {
            return Err(Damage::new("a lease has no token"));
        }
        let (reason, by) = (get(row, "disabled_reason")?, get(row, "disabled_by")?);
        let disabled = row::disabled(reason, by, get(row, "disabled_at")?, clock)?;
        Ok(LockRecord { name: name.clone(), token, lease, disabled })
    };
    parse().map_err(|damage: Damage| damage.in_table(table).for_lock(&name))
}

fn name(row: &PgRow, table: &str) -> Result<LockName> {
    let name = || present("name", parsed("name", get(row, "name")?)?);
    name().map_err(|damage| damage.in_table(table))
}

/// Whose lease a row of a renewal is, and what became of it.
pub(super) fn renewal(row: &PgRow, table: &str) -> Result<((LockName, LeaseId), RenewOutcome)> {
    let name = name(row, table)?;
    let parse = || {
        let outcome = match parsed("reason", get(row, "reason")?)? {
            Some(reason) => {
                let left = row::left(get(row, "expires_at")?, get(row, "clock")?)?;
                RenewOutcome::Disabled { reason, left: left.unwrap_or_default() }
            }
            None => {
                let ttl: i64 = get(row, "ttl")?;
                RenewOutcome::Extended { left: Duration::from_micros(ttl.unsigned_abs()) }
            }
        };
        Ok((present("lease", parsed("lease", get(row, "lease")?)?)?, outcome))
    };
    let (lease, outcome) =
        parse().map_err(|damage: Damage| damage.in_table(table).for_lock(&name))?;
    Ok(((name, lease), outcome))
}
