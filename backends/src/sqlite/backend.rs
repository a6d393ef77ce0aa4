//! The operations, each of which is one transaction.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::clock::{Now, duration};
use super::transactions::Sqlite;
use super::{error_codes, watch};
use crate::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, StoredInstance,
};
use crate::sql::row::{get, token, ttl_micros};
use crate::{
    AcquireOptions, Capabilities, DisableOptions, EnableOutcome, Error, Grant, LeaseId, LockName,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock, Wake,
};

impl Backend for Sqlite {
    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(StoreClock::Machine, self.reach, Wake::Poll(watch::INTERVAL))
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        _attempt: Attempt,
    ) -> Result<Decision<Grant>> {
        let ttl = ttl_micros(options.ttl);
        let holder = serde_json::to_string(&options.holder).map_err(|error| {
            Error::invalid("the holder cannot be encoded as JSON").with_source(error)
        })?;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let granted = sqlx::query(self.sql.acquire.clone())
                .bind(name.as_str())
                .bind(options.lease.to_string())
                .bind(&holder)
                .bind(self.clock.boot())
                .bind(now.uptime)
                .bind(ttl)
                .bind(now.wall)
                .fetch_optional(&mut *connection)
                .await
                .map_err(error_codes::writing)?;
            if let Some(row) = granted {
                let token = get(&row, "token").and_then(token);
                let token = token.map_err(|corrupt| self.corrupt_row(corrupt))?;
                let token = token.ok_or_else(|| self.contradiction())?;
                return Ok(Decision::Done(Grant::new(token, duration(ttl))));
            }
            let record = self.stored_lock(connection, name, now).await?;
            if record.lease.is_none() && record.disabled.is_none() {
                return Err(self.contradiction());
            }
            Ok(Decision::Refused(record))
        };
        self.write(work).await
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        self.renew_leases(leases).await
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let done = sqlx::query(self.sql.release.clone())
                .bind(name.as_str())
                .bind(lease.to_string())
                .bind(self.clock.boot())
                .bind(now.uptime)
                .bind(now.wall)
                .execute(connection)
                .await
                .map_err(error_codes::writing)?;
            Ok(match done.rows_affected() {
                0 => ReleaseOutcome::NotHeld,
                _ => ReleaseOutcome::Released,
            })
        };
        self.write_for_heartbeat(work).await
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        _attempt: Attempt,
    ) -> Result<Decision<()>> {
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let done = sqlx::query(self.sql.disable.clone())
                .bind(name.as_str())
                .bind(options.reason.as_str())
                .bind(options.by.as_deref())
                .bind(now.wall)
                .bind(self.clock.boot())
                .bind(now.uptime)
                .fetch_optional(&mut *connection)
                .await
                .map_err(error_codes::writing)?;
            if done.is_some() {
                return Ok(Decision::Done(()));
            }
            let record = self.stored_lock(connection, name, now).await?;
            if record.disabled.is_none() {
                return Err(self.contradiction());
            }
            Ok(Decision::Refused(record))
        };
        self.write(work).await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let done = sqlx::query(self.sql.enable.clone())
                .bind(name.as_str())
                .bind(now.wall)
                .execute(connection)
                .await
                .map_err(error_codes::writing)?;
            Ok(match done.rows_affected() {
                0 => EnableOutcome::AlreadyEnabled,
                _ => EnableOutcome::Enabled,
            })
        };
        self.write(work).await
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        let mut connection = self.connection().await?;
        let row = self.find(&mut connection, name).await?;
        Ok(row.map(|row| self.entry(&row, self.clock.now())))
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        self.list_page(page).await.map_err(|error| self.with_file_check(error))
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
        // SQLite limits how long a statement waits for another writer.
        None
    }
}
