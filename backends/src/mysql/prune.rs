//! Removes the rows of unused names.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::row;
use super::shared::MySqlInner;
use super::sql::{CLOCK, COLUMNS};
use crate::common::prune::{PruneCandidate, condition, micros, valid_candidates};
use crate::common::row::get;
use crate::common::server::Purpose;
use crate::{Error, LockName, PruneOptions, Result};

/// Returns the SQL that joins the names and tokens of a JSON list with the table `l`.
fn joined(table: &str) -> String {
    format!(
        "JSON_TABLE(CONVERT(? USING utf8mb4), '$[*]' COLUMNS ( \
             name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', \
             token BIGINT PATH '$[1]')) AS a \
         STRAIGHT_JOIN {table} AS l FORCE INDEX (PRIMARY) ON l.name = CAST(a.name AS BINARY)"
    )
}

impl MySqlInner {
    pub(super) async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        let after = options.after.as_ref().map(LockName::as_str).unwrap_or_default();
        let mut after = after.as_bytes().to_vec();
        let mut pruned = Vec::new();
        while pruned.len() < options.limit {
            let wanted = options.limit - pruned.len();
            let (rows, last, unused) = self.unused(options, &after, wanted).await?;
            if options.dry_run {
                pruned.extend(unused.into_iter().map(|(name, _)| name));
            } else if !unused.is_empty() {
                pruned.extend(self.remove(options, unused).await?);
            }
            // Rows that cannot be read, or are in use again, are skipped in favour of the next
            // ones.
            let Some(last) = last.filter(|_| rows >= wanted) else { break };
            after = last;
        }
        Ok(pruned)
    }

    /// Returns the next candidates: the number of rows, the last name, and the rows that may be
    /// removed.
    async fn unused(
        &self,
        options: &PruneOptions,
        after: &[u8],
        wanted: usize,
    ) -> Result<(usize, Option<Vec<u8>>, Vec<PruneCandidate>)> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "?"));
        let sql = AssertSqlSafe(format!(
            "SELECT {COLUMNS}, {CLOCK} AS clock FROM {table} AS l \
             WHERE l.name > ? AND {unused} ORDER BY l.name LIMIT ?"
        ));
        let sql = sql.into_sql_str();
        let (age, most) = (micros(options.unused_for), i64::try_from(wanted).unwrap_or(i64::MAX));
        let rows = self.read(|| sqlx::query(sql.clone()).bind(after).bind(age).bind(most)).await?;
        let last = rows.last().and_then(|row| get::<_, Vec<u8>>(row, "name").ok());
        let records = rows.iter().map(|row| row::record(row, table));
        Ok((rows.len(), last, valid_candidates(records)))
    }

    /// Removes the rows that are still as they were found, and returns their names in order.
    async fn remove(
        &self,
        options: &PruneOptions,
        found: Vec<PruneCandidate>,
    ) -> Result<Vec<LockName>> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "?"));
        let list: Vec<_> = found.iter().map(|(name, token)| (name.as_str(), token)).collect();
        let list = serde_json::to_vec(&list).map_err(|error| {
            Error::invalid("the names cannot be encoded as JSON").with_source(error)
        })?;
        let delete = AssertSqlSafe(format!(
            "DELETE l FROM {} WHERE l.token = a.token AND {unused}",
            joined(table)
        ));
        let delete = delete.into_sql_str();
        let age = micros(options.unused_for);
        let statement = || sqlx::query(delete.clone()).bind(&list[..]).bind(age);
        let removed = self.execute(Purpose::Change, statement).await?.rows_affected();
        let names = found.into_iter().map(|(name, _)| name);
        if usize::try_from(removed) == Ok(names.len()) {
            return Ok(names.collect());
        }
        // Other processes may have changed some of the rows: those that still exist were not
        // removed.
        let find = AssertSqlSafe(format!("SELECT l.name FROM {}", joined(table))).into_sql_str();
        let rows = self.read(|| sqlx::query(find.clone()).bind(&list[..])).await?;
        let name = |row| get::<_, Vec<u8>>(row, "name");
        let kept: std::result::Result<HashSet<_>, _> = rows.iter().map(name).collect();
        let kept = kept.map_err(|corrupt| self.corrupt_row(corrupt))?;
        Ok(names.filter(|name| !kept.contains(name.as_str().as_bytes())).collect())
    }
}
