//! These are the operations, each of which one statement decides.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::mysql::{MySqlPool, MySqlRow};

use super::calls::{MySql, bind};
use super::sql::{EXTENDED, KNOWN, NOT_EXTENDED};
use super::watch;
use crate::shell::{Decision, Found, Hints, Page, acquire_outcome, renew_outcome};
use crate::sql::dialect::Dialect;
use crate::sql::encode;
use crate::sql::prune::{self, PruneCandidate};
use crate::sql::purpose::Purpose;
use crate::sql::released_names::ReleasedNames;
use crate::sql::row::{self, get, ttl_micros};
use crate::sql::statement::{Statement, Statements, Values};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, Error, FencingToken, Grant, LeaseId, LockName,
    LockRecord, Reach, ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock, Wake,
};

impl MySql {
    /// Reads the row of the values' name, as it was last committed.
    pub(super) async fn find(
        &self,
        purpose: Purpose,
        values: &Values<'_>,
    ) -> Result<Option<LockRecord>> {
        let Statements { table, find, .. } = &self.sql.statements;
        let rows = self.connections.read_rows(purpose, || bind(find, values)).await?;
        rows.first().map(|row| row::record(row, table)).transpose()
    }

    async fn renew_one(&self, lease: &RenewOptions) -> Result<RenewOutcome> {
        let (id, ttl) = (lease.lease.to_string(), ttl_micros(lease.ttl));
        let values = Values { name: lease.name.as_str(), lease: &id, ttl, ..Values::default() };
        match self.write(Purpose::Renew, || bind(&self.sql.renew, &values)).await? {
            EXTENDED => Ok(extended_by(ttl)),
            NOT_EXTENDED => {
                let record = self.find(Purpose::Renew, &values).await?;
                Ok(record.map_or(RenewOutcome::Lost, |record| renew_outcome(record, lease.lease)))
            }
            _ => Ok(RenewOutcome::Lost),
        }
    }

    async fn renew_many(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let list = encode::leases(leases)?;
        let list = list.as_bytes();
        let update = || sqlx::query(self.sql.renew_batch.clone()).bind(list);
        let extended = self.connections.execute(Purpose::Renew, update).await?.rows_affected();
        // Each lease is in one row at most. A row that was extended to the time that it had counts
        // on some connections only, and is then found below.
        if usize::try_from(extended) == Ok(leases.len()) {
            let extended = |lease: &&RenewOptions| Ok(extended_by(ttl_micros(lease.ttl)));
            return Ok(leases.iter().map(extended).collect());
        }
        let find = || sqlx::query(self.sql.find_batch.clone()).bind(list);
        let rows = self.connections.read_rows(Purpose::Renew, find).await?;
        // A row without a readable name belongs to none of these leases.
        let table = &self.sql.statements.table;
        let named = |row: &MySqlRow| Some((row::name(row, table).ok()?, row::record(row, table)));
        let found: HashMap<_, _> = rows.iter().filter_map(named).collect();
        let outcome = |lease: &&RenewOptions| match found.get(&lease.name) {
            Some(Ok(record)) => Ok(renew_outcome(record.clone(), lease.lease)),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(RenewOutcome::Lost),
        };
        Ok(leases.iter().map(outcome).collect())
    }

    /// Removes the rows that are still as they were found, and returns their names in order.
    async fn remove(&self, found: Vec<PruneCandidate>, age: i64) -> Result<Vec<LockName>> {
        let list: Vec<_> = found.iter().map(|(name, token)| (name.as_str(), token)).collect();
        let list = serde_json::to_vec(&list).map_err(|error| {
            Error::invalid("cannot encode the names as JSON").with_source(error)
        })?;
        let delete = || sqlx::query(self.sql.remove.clone()).bind(&list[..]).bind(age);
        let removed = self.connections.execute(Purpose::Change, delete).await?.rows_affected();
        let names = found.into_iter().map(|(name, _)| name);
        if usize::try_from(removed) == Ok(names.len()) {
            return Ok(names.collect());
        }
        // Other processes may have changed some of the rows: those that still exist were not
        // removed.
        let find = || sqlx::query(self.sql.find_names.clone()).bind(&list[..]);
        let rows = self.connections.read_rows(Purpose::Read, find).await?;
        let name = |row| get::<_, Vec<u8>>(row, "name");
        let kept: std::result::Result<HashSet<_>, _> = rows.iter().map(name).collect();
        let kept = kept.map_err(|corrupt| self.corrupt_row(corrupt))?;
        Ok(names.filter(|name| !kept.contains(name.as_str().as_bytes())).collect())
    }
}

/// Returns the outcome of a renewal that extended the lease by that many microseconds.
fn extended_by(ttl: i64) -> RenewOutcome {
    RenewOutcome::extended(Duration::from_micros(ttl.unsigned_abs()))
}

impl Dialect for MySql {
    type Db = sqlx::MySql;
    type Row = MySqlRow;

    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities =
            Capabilities::new(StoreClock::Server, Reach::Network, Wake::Poll(watch::INTERVAL))
                .with_renew_batch(encode::RENEW_BATCH);
        if self.sql.queue.is_some() { capabilities.with_queues() } else { capabilities }
    }

    fn pool(&self) -> &MySqlPool {
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
        let token = self.write(Purpose::Acquire, || bind(statement, values)).await?;
        if token > 0 { FencingToken::new(token).map(Some) } else { Ok(None) }
    }

    async fn select(&self, statement: &Statement, values: &Values<'_>) -> Result<Vec<MySqlRow>> {
        self.notifications.on_read();
        self.connections.read_rows(Purpose::Read, || bind(statement, values)).await
    }

    async fn decide(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Decision<Option<FencingToken>>> {
        let token = self.write(purpose, || bind(statement, values)).await?;
        if token > 0 {
            return Ok(Decision::Done(Some(FencingToken::new(token)?)));
        }
        // What stood against the attempt may be gone by now.
        Ok(match self.find(Purpose::Read, values).await? {
            Some(record) => Decision::Refused(record),
            None => Decision::Changed,
        })
    }

    async fn change(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<bool> {
        Ok(self.write(purpose, || bind(statement, values)).await? > 0)
    }

    async fn put_instance(&self, values: &Values<'_>) -> Result<bool> {
        let announce = &self.sql.statements.instances.announce;
        Ok(self.write(Purpose::Presence, || bind(announce, values)).await? != KNOWN)
    }

    async fn extend(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let results = match leases {
            [lease] => vec![self.renew_one(lease).await],
            leases => self.renew_many(leases).await?,
        };
        self.notifications.on_renew(leases, &results);
        Ok(results)
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
        watch::poll(self, hints).await
    }

    fn on_acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        decision: &Decision<Grant>,
    ) -> Result<()> {
        let outcome = match decision {
            Decision::Done(grant) => Some(AcquireOutcome::Granted(*grant)),
            Decision::Refused(record) => acquire_outcome(record.clone(), options.lease)?,
            Decision::Changed => None,
        };
        if let Some(outcome) = outcome {
            self.notifications.on_acquire(name, options, &outcome);
        }
        Ok(())
    }

    fn on_release(&self, name: &LockName, lease: LeaseId, outcome: ReleaseOutcome) {
        self.notifications.on_release(name, lease, outcome);
    }
}
