//! Removes the rows of unused names.

use std::time::Duration;

use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::calls::Postgres;
use super::row;
use super::sql::{CLOCK, COLUMNS};
use crate::shell::{Found, Page};
use crate::sql::pool::Purpose;
use crate::sql::prune::{PruneCandidate, condition, micros, valid_candidates};
use crate::sql::row::get;
use crate::{LockName, Result};

impl Postgres {
    pub(super) async fn prune(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "$2"));
        let sql = AssertSqlSafe(format!(
            "SELECT {COLUMNS}, {CLOCK} AS clock FROM {table} AS l \
             WHERE ($1::text IS NULL OR l.name > $1) AND {unused} ORDER BY l.name LIMIT $3"
        ));
        let sql = sql.into_sql_str();
        let after = page.after.map(String::from_utf8_lossy);
        let (age, limit) = (micros(unused_for), i64::try_from(page.limit).unwrap_or(i64::MAX));
        let find = || sqlx::query(sql.clone()).bind(after.as_deref()).bind(age).bind(limit);
        let rows = self.select(find).await?;
        let unused = valid_candidates(rows.iter().map(|row| row::record(row, table)));
        let entries = if dry_run {
            unused.into_iter().map(|(name, _)| name).collect()
        } else if unused.is_empty() {
            Vec::new()
        } else {
            self.remove(age, &unused).await?
        };
        // Rows that cannot be read, or are in use again, are skipped in favour of the next ones.
        let last = rows.last().filter(|_| rows.len() >= page.limit);
        let next = last.and_then(|row| get::<_, String>(row, "name").ok());
        Ok(Found { entries, next: next.map(String::into_bytes) })
    }

    /// Removes the rows that are still as they were found, and returns their names in order.
    async fn remove(&self, age: i64, found: &[PruneCandidate]) -> Result<Vec<LockName>> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "$3"));
        let sql = AssertSqlSafe(format!(
            "DELETE FROM {table} AS l USING unnest($1::text[], $2::bigint[]) AS a (name, token) \
             WHERE l.name = a.name AND l.token = a.token AND {unused} RETURNING l.name"
        ));
        let sql = sql.into_sql_str();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let tokens: Vec<_> = found.iter().map(|(_, token)| token.cast_signed()).collect();
        let delete = || sqlx::query(sql.clone()).bind(&names).bind(&tokens).bind(age);
        let rows = self.write(Purpose::Change, delete).await?;
        let names = rows.iter().map(|row| row::name(row, table));
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }
}
