//! Removes the rows of unused names.

use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::row;
use super::shared::PostgresInner;
use super::sql::{CLOCK, COLUMNS};
use crate::common::prune::{PruneCandidate, condition, micros, valid_candidates};
use crate::common::row::get;
use crate::common::server::Purpose;
use crate::{LockName, PruneOptions, Result};

impl PostgresInner {
    pub(super) async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        let mut after = options.after.as_ref().map(|name| name.as_str().to_owned());
        let mut pruned = Vec::new();
        while pruned.len() < options.limit {
            let wanted = options.limit - pruned.len();
            let (rows, last, unused) = self.unused(options, after.as_deref(), wanted).await?;
            if options.dry_run {
                pruned.extend(unused.into_iter().map(|(name, _)| name));
            } else if !unused.is_empty() {
                pruned.extend(self.remove(options, &unused).await?);
            }
            // Rows that cannot be read, or are in use again, are skipped in favour of the next
            // ones.
            if rows < wanted || last.is_none() {
                break;
            }
            after = last;
        }
        Ok(pruned)
    }

    /// Returns the next candidates: the number of rows, the last name, and the rows that may be
    /// removed.
    async fn unused(
        &self,
        options: &PruneOptions,
        after: Option<&str>,
        wanted: usize,
    ) -> Result<(usize, Option<String>, Vec<PruneCandidate>)> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "$2"));
        let sql = AssertSqlSafe(format!(
            "SELECT {COLUMNS}, {CLOCK} AS clock FROM {table} AS l \
             WHERE ($1::text IS NULL OR l.name > $1) AND {unused} ORDER BY l.name LIMIT $3"
        ));
        let sql = sql.into_sql_str();
        let (age, most) = (micros(options.unused_for), i64::try_from(wanted).unwrap_or(i64::MAX));
        let rows = self.read(|| sqlx::query(sql.clone()).bind(after).bind(age).bind(most)).await?;
        let last = rows.last().and_then(|row| get::<_, String>(row, "name").ok());
        let records = rows.iter().map(|row| row::record(row, table));
        Ok((rows.len(), last, valid_candidates(records)))
    }

    /// Removes the rows that are still as they were found, and returns their names in order.
    async fn remove(
        &self,
        options: &PruneOptions,
        found: &[PruneCandidate],
    ) -> Result<Vec<LockName>> {
        let (table, unused) = (&self.sql.table, condition(CLOCK, "$3"));
        let sql = AssertSqlSafe(format!(
            "DELETE FROM {table} AS l USING unnest($1::text[], $2::bigint[]) AS a (name, token) \
             WHERE l.name = a.name AND l.token = a.token AND {unused} RETURNING l.name"
        ));
        let sql = sql.into_sql_str();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let tokens: Vec<_> = found.iter().map(|(_, token)| token.cast_signed()).collect();
        let age = micros(options.unused_for);
        let delete = || sqlx::query(sql.clone()).bind(&names).bind(&tokens).bind(age);
        let rows = self.write(Purpose::Change, delete).await?;
        let names = rows.iter().map(|row| row::name(row, table));
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }
}
