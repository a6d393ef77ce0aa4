//! The operations, each of which is one statement.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::calls::Postgres;
use super::{row, watch};
use crate::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, StoredInstance,
};
use crate::sql::CorruptRecord;
use crate::sql::pool::Purpose;
use crate::sql::row::{get, ttl_micros};
use crate::{
    AcquireOptions, Capabilities, DisableOptions, EnableOutcome, Error, Grant, LeaseId, LockName,
    LockRecord, Reach, ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock, Wake,
};

impl Postgres {
    /// Reads the answer of a statement that either does its work or answers with the row that
    /// stood against it.
    ///
    /// There is no row, or one with nothing against it, when the row changed while the statement
    /// waited for it: the statement saw the row as it was before.
    fn decision(&self, rows: &[PgRow]) -> Result<Decision<LockRecord>> {
        let Some(row) = rows.first() else { return Ok(Decision::Changed) };
        let done: bool = get(row, "done").map_err(|corrupt| self.corrupt_row(corrupt))?;
        let record = row::record(row, &self.sql.table)?;
        Ok(if done { Decision::Done(record) } else { Decision::Refused(record) })
    }
}

impl Backend for Postgres {
    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(StoreClock::Server, Reach::Network, Wake::Push)
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        _attempt: Attempt,
    ) -> Result<Decision<Grant>> {
        self.polled_names.add(name);
        let holder = serde_json::to_string(&options.holder).map_err(|error| {
            Error::invalid("the holder cannot be encoded as JSON").with_source(error)
        })?;
        let (lease, ttl) = (options.lease.to_string(), ttl_micros(options.ttl));
        let statement = || {
            sqlx::query(self.sql.acquire.clone())
                .bind(name.as_str())
                .bind(&lease)
                .bind(&holder)
                .bind(ttl)
        };
        let rows = self.write(Purpose::Acquire, statement).await?;
        Ok(match self.decision(&rows)? {
            Decision::Done(LockRecord { token: Some(token), .. }) => {
                // Counted from when the server decided, however long ago that is.
                let left = Duration::from_micros(ttl.unsigned_abs());
                Decision::Done(Grant::new(token, left))
            }
            Decision::Done(_) => {
                return Err(self.corrupt_row(CorruptRecord::new("the record contradicts itself")));
            }
            Decision::Refused(record) => Decision::Refused(record),
            Decision::Changed => Decision::Changed,
        })
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let names: Vec<_> = leases.iter().map(|lease| lease.name.as_str()).collect();
        let ids: Vec<_> = leases.iter().map(|lease| lease.lease.to_string()).collect();
        let ttls: Vec<_> = leases.iter().map(|lease| ttl_micros(lease.ttl)).collect();
        let statement = || sqlx::query(self.sql.renew.clone()).bind(&names).bind(&ids).bind(&ttls);
        let rows = self.write(Purpose::Renew, statement).await?;
        // A damaged row must not cost the others their leases.
        let renewal = |row: &PgRow| match row::renewal(row, &self.sql.table) {
            Ok(renewal) => Some(renewal),
            Err(error) => {
                tracing::error!(%error, "cannot read a row of the renewal");
                None
            }
        };
        let mut found: HashMap<_, _> = rows.iter().filter_map(renewal).collect();
        let outcome = |lease: &&RenewOptions| {
            let outcome = found.remove(&(lease.name.clone(), lease.lease));
            outcome.unwrap_or(Ok(RenewOutcome::Lost))
        };
        Ok(leases.iter().map(outcome).collect())
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let lease = lease.to_string();
        let lease = &lease;
        let release = |sql: SqlStr| {
            let statement = move || sqlx::query(sql.clone()).bind(name.as_str()).bind(lease);
            self.write(Purpose::Release, statement)
        };
        let rows = self.sql.release.run(release).await?;
        let none = rows.is_empty();
        Ok(if none { ReleaseOutcome::NotHeld } else { ReleaseOutcome::Released })
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        _attempt: Attempt,
    ) -> Result<Decision<()>> {
        let statement = |sql: SqlStr| {
            sqlx::query(sql)
                .bind(name.as_str())
                .bind(options.reason.as_str())
                .bind(options.by.as_deref())
        };
        let disable = |sql: SqlStr| self.write(Purpose::Change, move || statement(sql.clone()));
        let rows = self.sql.disable.run(disable).await?;
        Ok(match self.decision(&rows)? {
            Decision::Done(_) => Decision::Done(()),
            Decision::Refused(record) => Decision::Refused(record),
            Decision::Changed => Decision::Changed,
        })
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let enable = |sql: SqlStr| {
            let statement = move || sqlx::query(sql.clone()).bind(name.as_str());
            self.write(Purpose::Change, statement)
        };
        let rows = self.sql.enable.run(enable).await?;
        let none = rows.is_empty();
        Ok(if none { EnableOutcome::AlreadyEnabled } else { EnableOutcome::Enabled })
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        self.polled_names.add(name);
        let find = || sqlx::query(self.sql.find.clone()).bind(name.as_str());
        let rows = self.select(find).await?;
        Ok(rows.first().map(|row| row::entry(row, &self.sql.table)))
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        let after = page.after.map(String::from_utf8_lossy);
        let (after, limit) = (after.as_deref(), i64::try_from(page.limit).unwrap_or(i64::MAX));
        let first = page.prefix.max(after.unwrap_or_default());
        let list = || sqlx::query(self.sql.list.clone()).bind(first).bind(after).bind(limit);
        let rows = self.select(list).await?;
        Ok(row::to_page(&rows, &self.sql.table, page))
    }

    async fn prune_page(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        self.prune(page, unused_for, dry_run).await
    }

    async fn announce(&self, instance: Uuid, text: &str, ttl: Duration) -> Result<()> {
        self.put_instance(instance, text, ttl_micros(ttl)).await
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.delete_instance(instance).await
    }

    async fn instances(&self) -> Result<Vec<StoredInstance>> {
        self.stored_instances().await
    }

    async fn watch_once(&self, hints: &Hints) -> Result<()> {
        watch::watch_once(self, hints).await
    }

    fn call_limit(&self, _: Operation) -> Option<Duration> {
        // Each statement has a limit, which tells whether it was sent.
        None
    }
}
