//! The operations, each of which is decided by one statement.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::mysql::MySqlRow;
use uuid::Uuid;

use super::calls::MySql;
use super::sql::{EXTENDED, NOT_EXTENDED};
use super::{row, watch};
use crate::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, StoredInstance,
    acquire_outcome, renew_outcome,
};
use crate::sql::pool::Purpose;
use crate::sql::row::ttl_micros;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, EnableOutcome, Error,
    FencingToken, Grant, LeaseId, LockName, LockRecord, Reach, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result, StoreClock, Wake,
};

impl MySql {
    /// Reads what stood against an attempt; it may be gone by now.
    async fn refused<T>(&self, name: &LockName) -> Result<Decision<T>> {
        Ok(match self.find_record(Purpose::Read, name).await? {
            Some(record) => Decision::Refused(record),
            None => Decision::Changed,
        })
    }

    async fn find_record(&self, purpose: Purpose, name: &LockName) -> Result<Option<LockRecord>> {
        let row = self.find(purpose, name).await?;
        row.map(|row| row::record(&row, &self.sql.table)).transpose()
    }

    async fn renew_one(&self, lease: &RenewOptions) -> Result<RenewOutcome> {
        let (id, ttl) = (lease.lease.to_string(), ttl_micros(lease.ttl));
        let statement = || {
            sqlx::query(self.sql.renew.clone())
                .bind(ttl)
                .bind(lease.name.as_str().as_bytes())
                .bind(id.as_bytes())
        };
        match self.write(Purpose::Renew, statement).await? {
            EXTENDED => Ok(RenewOutcome::extended(Duration::from_micros(ttl.unsigned_abs()))),
            NOT_EXTENDED => {
                let record = self.find_record(Purpose::Renew, &lease.name).await?;
                Ok(record.map_or(RenewOutcome::Lost, |record| renew_outcome(record, lease.lease)))
            }
            _ => Ok(RenewOutcome::Lost),
        }
    }

    async fn renew_many(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let list: Vec<_> = leases
            .iter()
            .map(|lease| (lease.name.as_str(), lease.lease.to_string(), ttl_micros(lease.ttl)))
            .collect();
        let list = serde_json::to_vec(&list).map_err(|error| {
            Error::invalid("the leases cannot be encoded as JSON").with_source(error)
        })?;
        let update = || sqlx::query(self.sql.renew_batch.clone()).bind(&list[..]);
        self.write(Purpose::Renew, update).await?;
        let find = || sqlx::query(self.sql.find_batch.clone()).bind(&list[..]);
        let rows = self.read_for(Purpose::Renew, find).await?;
        // A row without a readable name belongs to none of these leases.
        let table = &self.sql.table;
        let named = |row: &MySqlRow| Some((row::name(row, table).ok()?, row::record(row, table)));
        let found: HashMap<_, _> = rows.iter().filter_map(named).collect();
        let outcome = |lease: &&RenewOptions| match found.get(&lease.name) {
            Some(Ok(record)) => Ok(renew_outcome(record.clone(), lease.lease)),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(RenewOutcome::Lost),
        };
        Ok(leases.iter().map(outcome).collect())
    }
}

impl Backend for MySql {
    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(StoreClock::Server, Reach::Network, Wake::Poll(watch::INTERVAL))
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        _attempt: Attempt,
    ) -> Result<Decision<Grant>> {
        let holder = serde_json::to_vec(&options.holder).map_err(|error| {
            Error::invalid("the holder cannot be encoded as JSON").with_source(error)
        })?;
        let (lease, ttl) = (options.lease.to_string(), ttl_micros(options.ttl));
        let (lease, holder) = (lease.as_bytes(), &holder[..]);
        let statement = || {
            // Each sending has a number of its own: a later one must not take an earlier one,
            // whose answer was lost, for its own and grant the name again.
            let attempt = fastrand::i64(..);
            sqlx::query(self.sql.acquire.clone())
                .bind(name.as_str().as_bytes())
                .bind(lease)
                .bind(holder)
                .bind(ttl)
                .bind(attempt)
                .bind(attempt)
                .bind(attempt)
                .bind(attempt)
                .bind(lease)
                .bind(attempt)
                .bind(holder)
                .bind(attempt)
                .bind(ttl)
                .bind(attempt)
                .bind(attempt)
        };
        let token = self.write(Purpose::Acquire, statement).await?;
        let decision = if token > 0 {
            let left = Duration::from_micros(ttl.unsigned_abs());
            Decision::Done(Grant::new(FencingToken::new(token)?, left))
        } else {
            self.refused(name).await?
        };
        let outcome = match &decision {
            Decision::Done(grant) => Some(AcquireOutcome::Granted(*grant)),
            Decision::Refused(record) => acquire_outcome(record.clone(), options.lease)?,
            Decision::Changed => None,
        };
        if let Some(outcome) = outcome {
            self.notifications.on_acquire(name, options, &outcome);
        }
        Ok(decision)
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let results = match leases {
            [lease] => vec![self.renew_one(lease).await],
            leases => self.renew_many(leases).await?,
        };
        self.notifications.on_renew(leases, &results);
        Ok(results)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let id = lease.to_string();
        let statement = || {
            sqlx::query(self.sql.release.clone()).bind(name.as_str().as_bytes()).bind(id.as_bytes())
        };
        let done = self.write(Purpose::Release, statement).await?;
        let outcome = if done > 0 { ReleaseOutcome::Released } else { ReleaseOutcome::NotHeld };
        self.notifications.on_release(lease, outcome);
        Ok(outcome)
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        _attempt: Attempt,
    ) -> Result<Decision<()>> {
        let reason = options.reason.as_str().as_bytes();
        let by = options.by.as_deref().map(str::as_bytes);
        let statement = || {
            let attempt = fastrand::i64(..);
            sqlx::query(self.sql.disable.clone())
                .bind(name.as_str().as_bytes())
                .bind(reason)
                .bind(by)
                .bind(attempt)
                .bind(attempt)
                .bind(attempt)
                .bind(attempt)
                .bind(reason)
                .bind(attempt)
                .bind(reason)
                .bind(attempt)
                .bind(by)
                .bind(attempt)
                .bind(attempt)
        };
        if self.write(Purpose::Change, statement).await? > 0 {
            return Ok(Decision::Done(()));
        }
        self.refused(name).await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let statement = || sqlx::query(self.sql.enable.clone()).bind(name.as_str().as_bytes());
        let done = self.write(Purpose::Change, statement).await?;
        Ok(if done > 0 { EnableOutcome::Enabled } else { EnableOutcome::AlreadyEnabled })
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        let row = self.find(Purpose::Read, name).await?;
        Ok(row.map(|row| row::entry(&row, &self.sql.table)))
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        let after = page.after.unwrap_or_default();
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let list = || {
            sqlx::query(self.sql.list.clone()).bind(page.prefix.as_bytes()).bind(after).bind(limit)
        };
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
