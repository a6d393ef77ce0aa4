//! Lists names and removes unused ones, a page at a time.

use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Row, SqlStr};

use super::clock::{Now, ttl_micros};
use super::shared::SqliteInner;
use super::{error, row};
use crate::{Error, ListOptions, LockName, LockRecord, PruneOptions, Result};

/// This many rows are read at once.
const READ: usize = 500;

/// A statement whose first arguments are a name before the first, and a limit.
type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

impl SqliteInner {
    pub(super) async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let mut connection = self.connection().await?;
        let now = self.clock.now();
        let prefix = options.prefix.as_bytes();
        let page = PageQuery { after: options.after.as_ref(), limit: options.limit, prefix };
        page.read(
            &mut connection,
            &self.sql.list,
            |statement| statement.bind(prefix),
            |row| match self.record(row, now) {
                Ok(record) => Some(record),
                Err(error) => match row::name(row, &self.sql.table) {
                    Ok(name) => Some(LockRecord::unreadable(name, &error)),
                    Err(_) => {
                        tracing::error!(%error, "a row without a readable name is not listed");
                        None
                    }
                },
            },
        )
        .await
    }

    /// One write transaction reads the unused names and removes them; a dry run writes nothing.
    pub(super) async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        if options.dry_run {
            let mut connection = self.connection().await?;
            return self.unused(&mut connection, options, self.clock.now()).await;
        }
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let names = self.unused(connection, options, now).await?;
            if !names.is_empty() {
                let list: Vec<_> = names.iter().map(LockName::as_str).collect();
                let list = serde_json::to_string(&list).map_err(|e| {
                    Error::invalid("the names cannot be encoded as JSON").with_source(e)
                })?;
                sqlx::query(self.sql.remove.clone())
                    .bind(list)
                    .execute(connection)
                    .await
                    .map_err(error::writing)?;
            }
            Ok(names)
        };
        self.write(work).await
    }

    /// Tokens follow the calendar clock, so the latest token tells when the latest grant was. A
    /// name whose token is ahead of the clock must stay, since its next token would be smaller.
    async fn unused(
        &self,
        connection: &mut SqliteConnection,
        options: &PruneOptions,
        now: Now,
    ) -> Result<Vec<LockName>> {
        let unused_for = ttl_micros(options.unused_for.max(Duration::from_micros(1)));
        let page = PageQuery { after: options.after.as_ref(), limit: options.limit, prefix: b"" };
        page.read(
            connection,
            &self.sql.unused,
            |statement| {
                statement
                    .bind(self.clock.boot())
                    .bind(now.uptime)
                    .bind(now.wall.saturating_sub(unused_for))
            },
            // A damaged row is left as it is.
            |row| self.record(row, now).ok().filter(|record| record.lease.is_none()),
        )
        .await
        .map(|records| records.into_iter().map(|record| record.name).collect())
    }
}

/// Selects the names of a page.
struct PageQuery<'a> {
    after: Option<&'a LockName>,
    limit: usize,
    prefix: &'a [u8],
}

impl PageQuery<'_> {
    /// Reads until the page is full or there are no more rows, so that rows that `keep` omits do
    /// not make the page shorter.
    async fn read<'q, T>(
        &self,
        connection: &mut SqliteConnection,
        sql: &SqlStr,
        bind: impl Fn(Statement<'q>) -> Statement<'q>,
        keep: impl Fn(&SqliteRow) -> Option<T>,
    ) -> Result<Vec<T>> {
        let mut page = Vec::new();
        let mut after =
            self.after.map(|name| name.as_str().as_bytes().to_vec()).unwrap_or_default();
        while page.len() < self.limit {
            let before = after.clone();
            let limit = READ.min(self.limit - page.len());
            let statement = sqlx::query(sql.clone()).bind(after.clone());
            let statement = bind(statement.bind(i64::try_from(limit).unwrap_or(i64::MAX)));
            let rows = statement.fetch_all(&mut *connection).await.map_err(error::not_written)?;
            for row in &rows {
                let name: &[u8] = row.try_get_unchecked("name").map_err(error::not_written)?;
                // Names with the same prefix are adjacent, so any others are at the end.
                if !name.starts_with(self.prefix) {
                    return Ok(page);
                }
                after = name.to_vec();
                page.extend(keep(row));
            }
            // Values that are not text sort after all text, so no name follows them.
            if rows.len() < limit || after <= before {
                break;
            }
        }
        Ok(page)
    }
}
