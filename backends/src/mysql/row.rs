//! Which columns of MySQL's rows say what.

use sqlx::mysql::MySqlRow;

use crate::common::Damage;
use crate::common::row::{self, LeaseColumns, get, parsed, present};
use crate::{LockName, LockRecord, Result};

/// The whole row, as of its column `clock`.
pub(super) fn record(row: &MySqlRow, table: &str) -> Result<LockRecord> {
    let name = name(row, table)?;
    let parse = || {
        let clock = get(row, "clock")?;
        let token = row::token(get(row, "token")?)?;
        let columns = LeaseColumns {
            lease: text(row, "lease")?,
            holder: text(row, "holder")?,
            expires_at: get(row, "expires_at")?,
            granted_at: get(row, "granted_at")?,
            ending: text(row, "ending")?,
        };
        let lease = columns.record(clock, |expires_at| row::left(expires_at, clock))?;
        if lease.is_some() && token.is_none() {
            return Err(Damage::new("a lease has no token"));
        }
        let (reason, by) = (text(row, "disabled_reason")?, text(row, "disabled_by")?);
        let disabled = row::disabled(reason, by, get(row, "disabled_at")?, clock)?;
        Ok(LockRecord { name: name.clone(), token, lease, disabled })
    };
    parse().map_err(|damage: Damage| damage.in_table(table).for_lock(&name))
}

fn name(row: &MySqlRow, table: &str) -> Result<LockName> {
    let name = || present("name", parsed("name", text(row, "name")?)?);
    name().map_err(|damage| damage.in_table(table))
}

/// A column of bytes that are UTF-8.
pub(super) fn text(row: &MySqlRow, column: &'static str) -> Result<Option<String>, Damage> {
    let Some(bytes) = get::<_, Option<Vec<u8>>>(row, column)? else { return Ok(None) };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| Damage::new(format!("{column} is no UTF-8: {error}")))
}
