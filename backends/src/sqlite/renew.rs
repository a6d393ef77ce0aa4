//! This module renews leases, with one transaction for a whole batch.

use std::time::Duration;

use sqlx::SqlStr;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::calls::{BoundStatement, Commit, Sqlite};
use super::clock::Now;
use super::error_codes;
use crate::shell::renew_outcome;
use crate::sql::encode;
use crate::sql::purpose::Purpose;
use crate::sql::row::{get, parse_column, ttl_micros};
use crate::{Error, Reason, RenewOptions, RenewOutcome, Result};

impl Sqlite {
    pub(super) async fn renew_leases(
        &self,
        leases: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let batch = encode::leases(leases)?;
        let work = async |connection: &mut SqliteConnection,
                          now: Now|
               -> Result<Vec<Result<RenewOutcome>>> {
            let renewed = self.bind_batch(&self.sql.renew, &batch, now).execute(&mut *connection);
            let renewed = renewed.await.map_err(error_codes::writing)?.rows_affected();
            let mut outcomes: Vec<_> = leases.iter().map(|lease| Ok(extended(lease))).collect();
            // Each lease is in one row at most.
            if usize::try_from(renewed) != Ok(leases.len()) {
                let others = self.bind_batch(&self.sql.not_renewed, &batch, now);
                let rows = others.fetch_all(connection).await.map_err(error_codes::not_written)?;
                for row in &rows {
                    let position = get::<_, i64>(row, "position");
                    let position = position.map_err(|corrupt| self.corrupt_row(corrupt))?;
                    let at = usize::try_from(position).unwrap_or(usize::MAX);
                    if let (Some(lease), Some(outcome)) = (leases.get(at), outcomes.get_mut(at)) {
                        // A damaged row must not cost the others their leases.
                        *outcome = self.not_renewed(row, lease, now);
                    }
                }
            }
            Ok(outcomes)
        };
        let renewed = self.write(Purpose::Renew, Commit::Together, work).await;
        renewed.or_else(|error| self.lost_with_file(error, leases.len()))
    }

    /// Reports this many leases as lost if the file was deleted or replaced, and otherwise returns
    /// the error of their renewal. A row in a file that other processes no longer open does not
    /// keep them from the lock.
    pub(super) fn lost_with_file(
        &self,
        error: Error,
        count: usize,
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let Err(why) = self.check_file() else { return Err(error) };
        let error = why.during("renew").on_store(&self.label);
        tracing::error!(%error, "all leases of this store are lost");
        Ok(vec![Ok(RenewOutcome::Lost); count])
    }

    fn bind_batch(&self, sql: &SqlStr, batch: &str, now: Now) -> BoundStatement {
        let query: BoundStatement = sqlx::query(sql.clone());
        query.bind(batch).bind(self.clock.boot()).bind(now.uptime)
    }

    /// Returns the outcome of a lease that was not extended, or the error if its row is damaged.
    fn not_renewed(&self, row: &SqliteRow, lease: &RenewOptions, now: Now) -> Result<RenewOutcome> {
        let id: Option<String> =
            get(row, "lease").map_err(|corrupt| self.corrupt_row(corrupt).for_lock(&lease.name))?;
        if id.is_none() {
            return Ok(RenewOutcome::Lost);
        }
        let record = match self.record_at(row, now) {
            Ok(record) => record,
            // A holder that must stop is told so, whatever else is damaged.
            Err(error) => return self.told_to_end(row, now).ok_or(error),
        };
        match renew_outcome(record, lease.lease) {
            RenewOutcome::Extended { .. } => Err(self.contradiction().for_lock(&lease.name)),
            outcome => Ok(outcome),
        }
    }

    /// Returns the outcome of a lease that is in force and told to end, from the columns that say
    /// so. Returns `None` if these are damaged too.
    fn told_to_end(&self, row: &SqliteRow, now: Now) -> Option<RenewOutcome> {
        let reason: Reason = parse_column("ending", get(row, "ending").ok()?).ok()??;
        let boot: Option<String> = get(row, "boot").ok()?;
        let (set_at, expires_at) = (get(row, "set_at").ok()?, get(row, "expires_at").ok()?);
        let left = self.clock.left(&boot?, set_at, expires_at, now).ok()??;
        Some(RenewOutcome::disabled(reason, left))
    }
}

fn extended(lease: &RenewOptions) -> RenewOutcome {
    RenewOutcome::extended(Duration::from_micros(ttl_micros(lease.ttl).unsigned_abs()))
}
