//! Every SQL store has these operations, each of which one statement decides.

use std::time::Duration;

use uuid::Uuid;

use super::dialect::Dialect;
use super::purpose::Purpose;
use super::row::ttl_micros;
use super::statement::Values;
use super::{CorruptRecord, encode, page};
use crate::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, StoredInstance,
};
use crate::{
    AcquireOptions, Capabilities, DisableOptions, EnableOutcome, EnterOptions, Error, ErrorKind,
    Grant, LeaseId, LockName, LockRecord, ReleaseOptions, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result,
};

impl<D: Dialect> Backend for D {
    fn label(&self) -> &str {
        Dialect::label(self)
    }

    fn capabilities(&self) -> Capabilities {
        Dialect::capabilities(self)
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        _attempt: Attempt,
    ) -> Result<Decision<Grant>> {
        self.on_ask(name);
        let statements = self.statements();
        let (holder, lease) = (encode::holder(&options.holder)?, options.lease.to_string());
        let values = Values {
            name: name.as_str(),
            lease: &lease,
            holder: &holder,
            ttl: ttl_micros(options.ttl),
            ..Values::default()
        };
        let mut granted = None;
        if self.released_names().take(name) {
            granted = self.grant_free(&statements.acquire_free, &values).await?;
        }
        let decision = match granted {
            Some(token) => Decision::Done(Some(token)),
            None => self.decide(Purpose::Acquire, &statements.acquire, &values).await?,
        };
        let decision = match decision {
            Decision::Done(Some(token)) => {
                // Counted from when the server decided, however long ago that is.
                let left = Duration::from_micros(values.ttl.unsigned_abs());
                Decision::Done(Grant::new(token, left))
            }
            Decision::Done(None) => {
                let contradiction = CorruptRecord::new("the record contradicts itself");
                return Err(contradiction.into_error(&statements.table));
            }
            Decision::Refused(record) => Decision::Refused(record),
            Decision::Changed => Decision::Changed,
        };
        self.on_acquire(name, options, &decision)?;
        Ok(decision)
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        self.extend(leases).await
    }

    async fn enter(
        &self,
        name: &LockName,
        options: &EnterOptions,
        _attempt: Attempt,
    ) -> Result<Option<LockRecord>> {
        self.on_ask(name);
        let EnterOptions { lease, holder, ttl, kind, weight, wait, .. } = options;
        let (lease, holder, code) = (lease.to_string(), encode::holder(holder)?, kind.code());
        let values = Values {
            name: name.as_str(),
            lease: &lease,
            holder: &holder,
            ttl: ttl_micros(*ttl),
            kind: &code,
            capacity: kind.capacity(),
            weight: *weight,
            wait: *wait,
            ..Values::default()
        };
        self.add_entry(&values).await
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let id = lease.to_string();
        let values = Values { name: name.as_str(), lease: &id, ..Values::default() };
        self.remove_entry(&values).await
    }

    async fn renew_entries(&self, entries: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        self.extend_entries(entries).await
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let id = lease.to_string();
        let values = Values { name: name.as_str(), lease: &id, ..Values::default() };
        let done = self.change(Purpose::Release, &self.statements().release, &values).await?;
        let outcome = if done { ReleaseOutcome::Released } else { ReleaseOutcome::NotHeld };
        if done {
            self.released_names().add(name);
        }
        self.on_release(name, lease, outcome);
        Ok(outcome)
    }

    async fn release_many(
        &self,
        leases: &[&ReleaseOptions],
    ) -> Result<Option<Vec<Result<ReleaseOutcome>>>> {
        self.end(leases).await
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        _attempt: Attempt,
    ) -> Result<Decision<()>> {
        let values = Values {
            name: name.as_str(),
            reason: options.reason.as_str(),
            by: options.by.as_deref(),
            ..Values::default()
        };
        let disable = &self.statements().disable;
        Ok(match self.decide(Purpose::Change, disable, &values).await? {
            Decision::Done(_) => Decision::Done(()),
            Decision::Refused(record) => Decision::Refused(record),
            Decision::Changed => Decision::Changed,
        })
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let values = Values { name: name.as_str(), ..Values::default() };
        let done = self.change(Purpose::Change, &self.statements().enable, &values).await?;
        Ok(if done { EnableOutcome::Enabled } else { EnableOutcome::AlreadyEnabled })
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        self.on_ask(name);
        let statements = self.statements();
        let values = Values { name: name.as_str(), ..Values::default() };
        let rows = self.select(&statements.find, &values).await?;
        Ok(rows.first().map(|row| page::entry(self.record_reader()(row), row, &statements.table)))
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        let statements = self.statements();
        let page = Page { limit: page.limit.min(D::MAX_ROWS), ..*page };
        let rows = self.select(&statements.list, &Values::of_page(&page)).await?;
        Ok(page::to_page(&rows, &statements.table, &page, self.record_reader()))
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
        let id = instance.to_string();
        let values =
            Values { instance: &id, presence: text, ttl: ttl_micros(ttl), ..Values::default() };
        if self.put_instance(&values).await? {
            let sweep = &self.statements().instances.sweep;
            self.change(Purpose::Presence, sweep, &values).await?;
        }
        Ok(())
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let id = instance.to_string();
        let values = Values { instance: &id, ..Values::default() };
        let withdraw = &self.statements().instances.withdraw;
        self.change(Purpose::Presence, withdraw, &values).await.map(drop)
    }

    async fn instances(&self) -> Result<Vec<StoredInstance>> {
        let list = &self.statements().instances.list;
        let rows = self.select(list, &Values::default()).await?;
        Ok(rows.iter().filter_map(self.instance_reader()).collect())
    }

    async fn watch_once(&self, hints: &Hints) -> Result<()> {
        if self.pool().is_closed() {
            let closed = Error::new(ErrorKind::Unavailable, "the pool of connections is closed");
            return Err(closed.with_source(sqlx::Error::PoolClosed));
        }
        let closed = self.pool().close_event();
        tokio::select! {
            ended = self.watch(hints) => ended,
            () = closed => Ok(()),
        }
    }

    fn call_limit(&self, _: Operation) -> Option<Duration> {
        // The calls of each dialect have limits, which tell whether a statement was sent.
        None
    }
}
