//! Removes the rows of unused names.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::calls::MySql;
use super::row;
use super::sql::{CLOCK, COLUMNS};
use crate::shell::{Found, Page};
use crate::sql::pool::Purpose;
use crate::sql::prune::{PruneCandidate, condition, micros, valid_candidates};
use crate::sql::row::get;
use crate::{Error, LockName, Result};

/// Returns the SQL that joins the names and tokens of a JSON list with the table `l`.
fn joined(table: &str) -> String {
    format!(
        "JSON_TABLE(CONVERT(? USING utf8mb4), '$[*]' COLUMNS ( \
             name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', \
             token BIGINT PATH '$[1]')) AS a \
         STRAIGHT_JOIN {table} AS l FORCE INDEX (PRIMARY) ON l.name = CAST(a.name AS BINARY)"
    )
}

impl MySql {
    pub(super) async fn prune(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "?"));
        let sql = AssertSqlSafe(format!(
            "SELECT {COLUMNS}, {CLOCK} AS clock FROM {table} AS l \
             WHERE l.name > ? AND {unused} ORDER BY l.name LIMIT ?"
        ));
        let sql = sql.into_sql_str();
        let after = page.after.unwrap_or_default();
        let (age, limit) = (micros(unused_for), i64::try_from(page.limit).unwrap_or(i64::MAX));
        let find = || sqlx::query(sql.clone()).bind(after).bind(age).bind(limit);
        let rows = self.select(find).await?;
        let unused = valid_candidates(rows.iter().map(|row| row::record(row, table)));
        let entries = if dry_run {
            unused.into_iter().map(|(name, _)| name).collect()
        } else if unused.is_empty() {
            Vec::new()
        } else {
            self.remove(age, unused).await?
        };
        // Rows that cannot be read, or are in use again, are skipped in favour of the next ones.
        let last = rows.last().filter(|_| rows.len() >= page.limit);
        Ok(Found { entries, next: last.and_then(|row| get(row, "name").ok()) })
    }

    /// Removes the rows that are still as they were found, and returns their names in order.
    async fn remove(&self, age: i64, found: Vec<PruneCandidate>) -> Result<Vec<LockName>> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "?"));
        let list: Vec<_> = found.iter().map(|(name, token)| (name.as_str(), token)).collect();
        let list = serde_json::to_vec(&list).map_err(|error| {
            Error::invalid("cannot encode the names as JSON").with_source(error)
        })?;
        let delete = AssertSqlSafe(format!(
            "DELETE l FROM {} WHERE l.token = a.token AND {unused}",
            joined(table)
        ));
        let delete = delete.into_sql_str();
        let statement = || sqlx::query(delete.clone()).bind(&list[..]).bind(age);
        let removed = self.execute(Purpose::Change, statement).await?.rows_affected();
        let names = found.into_iter().map(|(name, _)| name);
        if usize::try_from(removed) == Ok(names.len()) {
            return Ok(names.collect());
        }
        // Other processes may have changed some of the rows: those that still exist were not
        // removed.
        let find = AssertSqlSafe(format!("SELECT l.name FROM {}", joined(table))).into_sql_str();
        let rows = self.select(|| sqlx::query(find.clone()).bind(&list[..])).await?;
        let name = |row| get::<_, Vec<u8>>(row, "name");
        let kept: std::result::Result<HashSet<_>, _> = rows.iter().map(name).collect();
        let kept = kept.map_err(|corrupt| self.corrupt_row(corrupt))?;
        Ok(names.filter(|name| !kept.contains(name.as_str().as_bytes())).collect())
    }
}
