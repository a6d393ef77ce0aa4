//! This module renews leases, with one transaction for a whole batch.

use std::collections::HashMap;

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::calls::{Commit, Sqlite};
use super::clock::Now;
use super::error_codes;
use crate::sql::purpose::Purpose;
use crate::sql::row::{get, parse_column};
use crate::sql::{CorruptRecord, encode};
use crate::{Error, LeaseId, RenewOptions, RenewOutcome, Result};

/// This has the name and the lease of a row, and the result of its renewal.
type Renewal = ((String, String), Result<RenewOutcome>);

impl Sqlite {
    pub(super) async fn renew_leases(
        &self,
        leases: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let batch = encode::leases(leases)?;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let rows = sqlx::query(self.sql.renew.clone())
                .bind(&batch)
                .bind(self.clock.boot())
                .bind(now.uptime)
                .fetch_all(&mut *connection)
                .await
                .map_err(error_codes::writing)?;
            // A damaged row must not cost the others their leases.
            let renewal = |row| match self.renewal(row, now) {
                Ok(renewal) => Some(renewal),
                Err(error) => {
                    tracing::error!(%error, "cannot read a row of the renewal");
                    None
                }
            };
            let mut found: HashMap<_, _> = rows.iter().filter_map(renewal).collect();
            let missing = leases.iter().filter(|lease| !found.contains_key(&key(lease)));
            let missing: Vec<_> = missing.map(|lease| (lease.name.as_str(), lease.lease)).collect();
            if !missing.is_empty() {
                found.extend(self.unreadable_leases(connection, &missing, now).await?);
            }
            Ok(found)
        };
        let mut found = match self.write(Purpose::Renew, Commit::Together, work).await {
            Ok(found) => found,
            Err(error) => {
                // A row in a file that other processes no longer open does not keep them from the
                // lock.
                let Err(why) = self.check_file() else { return Err(error) };
                let error = why.during("renew").on_store(&self.label);
                tracing::error!(%error, "all leases of this store are lost");
                return Ok(vec![Ok(RenewOutcome::Lost); leases.len()]);
            }
        };
        let outcome =
            |lease: &&RenewOptions| found.remove(&key(lease)).unwrap_or(Ok(RenewOutcome::Lost));
        Ok(leases.iter().map(outcome).collect())
    }

    fn renewal(&self, row: &SqliteRow, now: Now) -> Result<Renewal> {
        let corrupt_row = |corrupt: CorruptRecord| self.corrupt_row(corrupt);
        let name: String = get(row, "name").map_err(corrupt_row)?;
        let lease: String = get(row, "lease").map_err(corrupt_row)?;
        let parse = || {
            let (boot, set_at) = (get(row, "boot")?, get(row, "set_at")?);
            let left = self.clock.left(boot, set_at, get(row, "expires_at")?, now)?;
            let left =
                left.ok_or_else(|| CorruptRecord::new("the extended lease ends in the past"))?;
            Ok(match parse_column("ending", get(row, "ending")?)? {
                Some(reason) => RenewOutcome::disabled(reason, left),
                None => RenewOutcome::extended(left),
            })
        };
        Ok(((name, lease), parse().map_err(corrupt_row)))
    }

    /// Returns the errors of those leases that were not renewed although their rows exist, because
    /// the rows are damaged.
    async fn unreadable_leases(
        &self,
        connection: &mut SqliteConnection,
        leases: &[(&str, LeaseId)],
        now: Now,
    ) -> Result<Vec<Renewal>> {
        let leases = serde_json::to_string(leases).map_err(not_encoded)?;
        let rows = sqlx::query(self.sql.leases.clone()).bind(leases);
        let rows = rows.fetch_all(connection).await.map_err(error_codes::not_written)?;
        let outcome = |row: &SqliteRow| {
            let error = self.record_at(row, now).err()?;
            Some(((get(row, "name").ok()?, get(row, "lease").ok()?), Err(error)))
        };
        Ok(rows.iter().filter_map(outcome).collect())
    }
}

/// Returns how a renewal is found in the answer.
fn key(lease: &RenewOptions) -> (String, String) {
    (lease.name.as_str().to_owned(), lease.lease.to_string())
}

fn not_encoded(error: serde_json::Error) -> Error {
    Error::invalid("the leases cannot be encoded as JSON").with_source(error)
}
