//! These are the operations, each of which is one statement.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::postgres::{PgPool, PgRow};

use super::calls::Postgres;
use super::row::{lease, set_outcomes};
use super::watch;
use crate::shell::{Decision, Found, Hints, Page};
use crate::sql::dialect::Dialect;
use crate::sql::encode;
use crate::sql::prune::{self, PruneCandidate};
use crate::sql::purpose::Purpose;
use crate::sql::released_names::ReleasedNames;
use crate::sql::row::{self, get, ttl_micros};
use crate::sql::statement::{Statement, Statements, Values};
use crate::{
    Capabilities, FencingToken, LockName, LockRecord, Reach, ReleaseOptions, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result, StoreClock, Wake,
};

impl Postgres {
    /// Removes the rows that are still as they were found, and returns their names in order.
    async fn remove(&self, found: Vec<PruneCandidate>, age: i64) -> Result<Vec<LockName>> {
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let tokens: Vec<_> = found.iter().map(|(_, token)| token.cast_signed()).collect();
        let delete = || sqlx::query(self.sql.remove.clone()).bind(&names).bind(&tokens).bind(age);
        let rows = self.connections.write_rows(Purpose::Change, delete).await?;
        let table = &self.sql.statements.table;
        let names = rows.iter().map(|row| row::name(row, table));
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the token of a row that was written; its other columns are as the call wrote them.
    fn token(&self, row: &PgRow) -> Result<Option<FencingToken>> {
        get(row, "token").and_then(row::token).map_err(|corrupt| self.corrupt_row(corrupt))
    }
}

impl Dialect for Postgres {
    type Db = sqlx::Postgres;
    type Row = PgRow;

    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities = Capabilities::new(StoreClock::Server, Reach::Network, Wake::Push)
            .with_renew_batch(encode::RENEW_BATCH);
        if self.sql.queue.is_some() { capabilities.with_queues() } else { capabilities }
    }

    fn pool(&self) -> &PgPool {
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
        let rows = self.write(Purpose::Acquire, statement, values).await?;
        rows.first().map_or(Ok(None), |row| self.token(row))
    }

    async fn select(&self, statement: &Statement, values: &Values<'_>) -> Result<Vec<PgRow>> {
        self.read(statement, values).await
    }

    /// The statement either does its work or answers with the row that stood against it.
    ///
    /// There is no row, or one with nothing against it, when the row changed while the statement
    /// waited for it: the statement saw the row as it was before.
    async fn decide(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Decision<Option<FencingToken>>> {
        let rows = self.write(purpose, statement, values).await?;
        let Some(row) = rows.first() else { return Ok(Decision::Changed) };
        let done: bool = get(row, "done").map_err(|corrupt| self.corrupt_row(corrupt))?;
        if done {
            return Ok(Decision::Done(self.token(row)?));
        }
        let record = row::record(row, &self.sql.statements.table)?;
        if purpose == Purpose::Acquire && self.is_refused_by_queue(&record) {
            return self.refusal_by_queue(values).await;
        }
        Ok(Decision::Refused(record))
    }

    async fn change(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<bool> {
        Ok(!self.write(purpose, statement, values).await?.is_empty())
    }

    async fn put_instance(&self, values: &Values<'_>) -> Result<bool> {
        let announce = &self.sql.statements.instances.announce;
        let rows = self.write(Purpose::Presence, announce, values).await?;
        Ok(rows.first().is_some_and(|row| get(row, "is_new").unwrap_or(false)))
    }

    async fn extend(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let names: Vec<_> = leases.iter().map(|lease| lease.name.as_str()).collect();
        let ids: Vec<_> = leases.iter().map(|lease| lease.lease.as_uuid()).collect();
        let ttls: Vec<_> = leases.iter().map(|lease| ttl_micros(lease.ttl)).collect();
        let statement = || sqlx::query(self.sql.renew.clone()).bind(&names).bind(&ids).bind(&ttls);
        let rows = self.connections.write_rows(Purpose::Renew, statement).await?;
        // A damaged row must not cost the others their leases: it is the outcome of its own.
        let mut outcomes: Vec<_> = leases.iter().map(|_| Ok(RenewOutcome::Lost)).collect();
        for row in &rows {
            set_outcomes(row, &self.sql.statements.table, leases, &mut outcomes)
                .map_err(|corrupt| self.corrupt_row(corrupt))?;
        }
        Ok(outcomes)
    }

    async fn add_entry(&self, values: &Values<'_>) -> Result<Option<LockRecord>> {
        self.enter_queue(values).await
    }

    async fn remove_entry(&self, values: &Values<'_>) -> Result<ReleaseOutcome> {
        self.leave_queue(values).await
    }

    async fn extend_entries(&self, entries: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        self.renew_in_queues(entries).await
    }

    async fn end(&self, leases: &[&ReleaseOptions]) -> Result<Option<Vec<Result<ReleaseOutcome>>>> {
        let names: Vec<_> = leases.iter().map(|lease| lease.name.as_str()).collect();
        let ids: Vec<_> = leases.iter().map(|lease| lease.lease.as_uuid()).collect();
        let bound = |sql: SqlStr| sqlx::query(sql).bind(&names).bind(&ids);
        let rows = self.write_bound(Purpose::Release, &self.sql.release_many, bound).await?;
        let ended = rows.iter().map(|row| lease(row, &self.sql.statements.table));
        let ended = ended.collect::<Result<HashSet<_>>>()?;
        let outcome = |release: &&ReleaseOptions| {
            let is_ended = ended.contains(&(release.name.clone(), release.lease));
            Ok(if is_ended { ReleaseOutcome::Released } else { ReleaseOutcome::NotHeld })
        };
        Ok(Some(leases.iter().map(outcome).collect()))
    }

    async fn prune(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        let remove = |found, age| self.remove(found, age);
        let remove = (!dry_run).then_some(remove);
        prune::prune(self, &self.sql.unused, page, unused_for, remove).await
    }

    async fn watch(&self, hints: &Hints) -> Result<()> {
        watch::listen_or_poll(self, hints).await
    }

    fn on_ask(&self, name: &LockName) {
        self.polled_names.add(name);
    }
}
