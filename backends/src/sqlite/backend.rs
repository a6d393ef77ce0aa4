//! These are the operations, each of which one statement or one transaction decides.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::calls::{Commit, Sqlite};
use super::clock::{MAX_INSTANCE_TTL, Now, TOLERANCE};
use super::{error_codes, notification, prune, watch};
use crate::shell::{Decision, Found, Hints, Page, StoredInstance};
use crate::sql::dialect::Dialect;
use crate::sql::purpose::Purpose;
use crate::sql::released_names::ReleasedNames;
use crate::sql::row::{get, stored_instance_with};
use crate::sql::statement::{Statement, Statements, Values};
use crate::{
    Capabilities, FencingToken, LockName, LockRecord, ReleaseOptions, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result, StoreClock, Wake,
};

/// An instance's row with another boot id can last at most this much longer.
const MAX_LEFT: Duration = Duration::from_micros((MAX_INSTANCE_TTL + TOLERANCE).unsigned_abs());

impl Dialect for Sqlite {
    type Db = sqlx::Sqlite;
    type Row = SqliteRow;

    const MAX_ROWS: usize = prune::MAX_ROWS;

    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        let is_notified = notification::IS_SUPPORTED && self.file.is_some();
        let wake = if is_notified { Wake::Push } else { Wake::Poll(watch::INTERVAL) };
        let capabilities = Capabilities::new(StoreClock::Machine, self.reach, wake);
        if self.sql.queue.is_some() { capabilities.with_queues() } else { capabilities }
    }

    fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    fn statements(&self) -> &Statements {
        &self.sql.statements
    }

    fn released_names(&self) -> &ReleasedNames {
        &self.released_names
    }

    async fn grant_free(
        &self,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Option<FencingToken>> {
        if self.write_connection.is_none() {
            return Ok(None);
        }
        let work = async |connection: &mut SqliteConnection, now: Now| {
            self.attempt(connection, Purpose::Acquire, statement, values, now).await
        };
        match self.write(Purpose::Acquire, Commit::EachStatement, work).await? {
            Some(Decision::Done(token)) => Ok(token),
            _ => Ok(None),
        }
    }

    async fn select(&self, statement: &Statement, values: &Values<'_>) -> Result<Vec<SqliteRow>> {
        let read = async {
            let mut connection = self.connection().await?;
            let query = self.bind(statement, values, self.clock.now());
            query.fetch_all(&mut *connection).await.map_err(error_codes::not_written)
        };
        read.await.map_err(|error| self.with_file_check(error))
    }

    async fn decide(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Decision<Option<FencingToken>>> {
        let decision = match self.decide_at_once(purpose, statement, values).await? {
            Some(decision) => decision,
            None => self.decide_in_transaction(purpose, statement, values).await?,
        };
        if purpose != Purpose::Acquire && matches!(decision, Decision::Done(_)) {
            self.notify_watches();
        }
        Ok(decision)
    }

    async fn change(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<bool> {
        let work = async |connection: &mut SqliteConnection, now: Now| -> Result<bool> {
            let done = self.bind(statement, values, now).execute(connection).await;
            Ok(done.map_err(error_codes::writing)?.rows_affected() > 0)
        };
        let changed = self.write(purpose, Commit::EachStatement, work).await?;
        if changed && purpose != Purpose::Presence {
            self.notify_watches();
        }
        Ok(changed)
    }

    /// The rows of expired instances are removed in the same transaction, by a clock that is read
    /// after all rows were written.
    async fn put_instance(&self, values: &Values<'_>) -> Result<bool> {
        let instances = &self.sql.statements.instances;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let announce = self.bind(&instances.announce, values, now);
            announce.execute(&mut *connection).await.map_err(error_codes::writing)?;
            let sweep = self.bind(&instances.sweep, values, now);
            sweep.execute(connection).await.map_err(error_codes::writing)
        };
        self.write(Purpose::Presence, Commit::Together, work).await?;
        Ok(false)
    }

    async fn extend(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        self.renew_leases(leases).await
    }

    async fn add_entry(&self, values: &Values<'_>) -> Result<Option<LockRecord>> {
        self.enter_queue(values).await.map(Some)
    }

    async fn remove_entry(&self, values: &Values<'_>) -> Result<ReleaseOutcome> {
        self.leave_queue(values).await
    }

    async fn extend_entries(&self, entries: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        self.renew_in_queues(entries).await
    }

    /// One transaction ends all of them.
    async fn end(&self, leases: &[&ReleaseOptions]) -> Result<Option<Vec<Result<ReleaseOutcome>>>> {
        let release = &self.sql.statements.release;
        let work =
            async |connection: &mut SqliteConnection, now: Now| -> Result<Vec<ReleaseOutcome>> {
                let mut outcomes = Vec::with_capacity(leases.len());
                for ReleaseOptions { name, lease, .. } in leases {
                    let id = lease.to_string();
                    let values = Values { name: name.as_str(), lease: &id, ..Values::default() };
                    let done = self.bind(release, &values, now).execute(&mut *connection).await;
                    let is_released = done.map_err(error_codes::writing)?.rows_affected() > 0;
                    outcomes.push(match is_released {
                        true => ReleaseOutcome::Released,
                        false => ReleaseOutcome::NotHeld,
                    });
                }
                Ok(outcomes)
            };
        let outcomes = self.write(Purpose::Release, Commit::Together, work).await?;
        if outcomes.contains(&ReleaseOutcome::Released) {
            self.notify_watches();
        }
        Ok(Some(outcomes.into_iter().map(Ok).collect()))
    }

    async fn prune(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        self.remove_unused(page, unused_for, dry_run).await
    }

    async fn watch(&self, hints: &Hints) -> Result<()> {
        watch::poll(self, hints).await
    }

    fn record_reader(&self) -> impl Fn(&SqliteRow) -> Result<LockRecord> {
        let now = self.clock.now();
        move |row| self.record_at(row, now)
    }

    fn instance_reader(&self) -> impl Fn(&SqliteRow) -> Option<StoredInstance> {
        let (table, now) = (&self.sql.statements.instances.table, self.clock.now());
        move |row| {
            stored_instance_with(row, table, || {
                let boot: &str = get(row, "boot")?;
                let left = self.clock.left(boot, None, get(row, "expires_at")?, now)?;
                Ok(left.filter(|left| boot == self.clock.boot() || *left <= MAX_LEFT))
            })
        }
    }
}
