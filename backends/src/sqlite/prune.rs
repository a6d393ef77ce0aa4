//! Removes unused names.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::calls::Sqlite;
use super::clock::Now;
use super::error_codes;
use crate::shell::{Found, Page};
use crate::sql::row::ttl_micros;
use crate::{Error, LockName, Result};

/// At most this many rows are read at once.
pub(super) const MAX_ROWS: usize = 500;

impl Sqlite {
    /// One write transaction reads the unused names and removes them; a dry run writes nothing.
    pub(super) async fn remove_unused(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        if dry_run {
            let mut connection = self.connection().await?;
            return self.unused(&mut connection, page, unused_for, self.clock.now()).await;
        }
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let found = self.unused(connection, page, unused_for, now).await?;
            if !found.entries.is_empty() {
                let list: Vec<_> = found.entries.iter().map(LockName::as_str).collect();
                let list = serde_json::to_string(&list).map_err(|error| {
                    Error::invalid("cannot encode the names as JSON").with_source(error)
                })?;
                sqlx::query(self.sql.remove.clone())
                    .bind(list)
                    .execute(connection)
                    .await
                    .map_err(error_codes::writing)?;
            }
            Ok(found)
        };
        self.write_on_pool(work).await
    }

    /// Tokens follow the calendar clock, so the latest token tells when the latest grant was. A
    /// name whose token is ahead of the clock must stay, since its next token would be smaller.
    async fn unused(
        &self,
        connection: &mut SqliteConnection,
        page: &Page<'_>,
        unused_for: Duration,
        now: Now,
    ) -> Result<Found<LockName>> {
        let unused_for = ttl_micros(unused_for.max(Duration::from_micros(1)));
        let limit = page.limit.min(MAX_ROWS);
        let rows = sqlx::query(self.sql.unused.clone())
            .bind(page.after.unwrap_or_default())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(self.clock.boot())
            .bind(now.uptime)
            .bind(now.wall.saturating_sub(unused_for))
            .fetch_all(connection)
            .await
            .map_err(error_codes::not_written)?;
        // A damaged row is left as it is.
        let records = rows.iter().filter_map(|row| self.record_at(row, now).ok());
        let unused = records.filter(|record| !record.is_in_use()).map(|record| record.name);
        Ok(Found { entries: unused.collect(), next: next(&rows, page, limit)? })
    }
}

/// Returns the name after which the next page begins, if there may be one. Values that are not
/// text sort after all text, so no name follows them.
fn next(rows: &[SqliteRow], page: &Page<'_>, limit: usize) -> Result<Option<Vec<u8>>> {
    let Some(last) = rows.last().filter(|_| rows.len() >= limit) else { return Ok(None) };
    let last = name_of(last)?;
    Ok(Some(last.to_vec()).filter(|last| page.after.is_none_or(|after| &**last > after)))
}

fn name_of(row: &SqliteRow) -> Result<&[u8]> {
    row.try_get_unchecked("name").map_err(error_codes::not_written)
}
