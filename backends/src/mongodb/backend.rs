//! The operations. Each is one command on one document.

use std::time::Duration;

use uuid::Uuid;

use super::commands::{Effect, Mongo};
use super::fields::CorruptDocument;
use super::permits::PermitKind;
use super::pipeline::AcquireMarks;
use super::record::{duration, millis};
use super::{pipeline, record, watch};
use crate::common::timeout::CALL_LIMIT;
use crate::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, StoredInstance,
    acquire_outcome,
};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, EnableOutcome, EnterOptions,
    Error, Grant, LeaseId, LockName, LockRecord, Reach, ReleaseOutcome, RenewOptions, RenewOutcome,
    Result, StoreClock, Wake,
};

impl Mongo {
    /// Returns the decision on an attempt for which the record was read. If the name is free, or
    /// the attempt's own lease holds it, the attempt must be sent: a read may show a write that no
    /// majority has, and a grant is reported only after a majority acknowledged it.
    fn refused(&self, record: LockRecord, lease: LeaseId) -> Result<Decision<Grant>> {
        let outcome = acquire_outcome(record.clone(), lease)?;
        Ok(match outcome {
            None | Some(AcquireOutcome::Granted(_)) => Decision::Changed,
            Some(refusal) => {
                self.refusals.note(&record.name, &refusal);
                Decision::Refused(record)
            }
        })
    }

    fn granted(&self, name: &LockName, grant: Grant) -> Decision<Grant> {
        self.refusals.note(name, &AcquireOutcome::Granted(grant));
        Decision::Done(grant)
    }

    fn corrupt(&self, name: &LockName) -> impl Fn(CorruptDocument) -> Error {
        move |corrupt| corrupt.in_collection(self.locks()).for_lock(name)
    }
}

impl Backend for Mongo {
    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(
            StoreClock::Server,
            Reach::Network,
            if self.push { Wake::Push } else { Wake::Poll(watch::INTERVAL) },
        )
        .with_ttl_step(Duration::from_millis(1))
        .with_queues()
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        attempt: Attempt,
    ) -> Result<Decision<Grant>> {
        if attempt.number == 1
            && self.refusals.is_expected(name)
            && let Some(document) = self.find(name).await?
            && let refused @ Decision::Refused(_) =
                self.refused(self.with_time(&document)?, options.lease)?
        {
            return Ok(refused);
        }
        let ttl = millis(options.ttl);
        let holder = serde_json::to_string(&options.holder).map_err(|error| {
            Error::invalid("the holder cannot be encoded as JSON").with_source(error)
        })?;
        let marks = AcquireMarks { granted: pipeline::new_mark(), repeated: pipeline::new_mark() };
        let change = pipeline::acquire(name, options.lease, &holder, ttl, &marks);
        let after = self.upsert(PermitKind::Other, name, change).await?;
        let by = after.get_str("call").unwrap_or_default();
        if by == marks.granted {
            let token = record::token(&after).map_err(self.corrupt(name))?;
            let token = token.ok_or_else(|| self.contradiction())?;
            return Ok(self.granted(name, Grant::new(token, duration(ttl))));
        }
        let is_repeated = by == marks.repeated;
        let record = self.as_of_now(PermitKind::Other, &after).await?;
        if !is_repeated {
            return self.refused(record, options.lease);
        }
        Ok(match record {
            LockRecord { token: Some(token), lease: Some(lease), .. } => {
                self.granted(name, Grant::new(token, lease.left))
            }
            // The lease expired just after the attempt was decided.
            _ => Decision::Changed,
        })
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        match leases {
            [one] => Ok(vec![self.renew_one(one).await]),
            many => self.renew_many(many).await,
        }
    }

    async fn enter(
        &self,
        name: &LockName,
        options: &EnterOptions,
        _attempt: Attempt,
    ) -> Result<Option<LockRecord>> {
        self.enter_queue(name, options).await
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.leave_queue(name, lease).await
    }

    async fn renew_entries(&self, entries: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        match entries {
            [one] => Ok(vec![self.renew_in_queue(one).await]),
            many => self.renew_in_queues(many).await,
        }
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let mark = pipeline::new_mark();
        match self.change(name, pipeline::release(lease, &mark), &mark).await? {
            Effect::Changed => Ok(ReleaseOutcome::Released),
            Effect::Unchanged(document) => {
                self.check_version(name, document.as_ref()).map(|()| ReleaseOutcome::NotHeld)
            }
        }
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        _attempt: Attempt,
    ) -> Result<Decision<()>> {
        let call = pipeline::new_mark();
        let change = pipeline::disable(name, options, &call);
        let after = self.upsert(PermitKind::Holder, name, change).await?;
        let by = after.get_document("disabled").and_then(|disabled| disabled.get_str("call"));
        if by.is_ok_and(|by| by == call) {
            return Ok(Decision::Done(()));
        }
        let record = self.as_of_now(PermitKind::Holder, &after).await?;
        if record.disabled.is_none() {
            return Err(self.contradiction());
        }
        Ok(Decision::Refused(record))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let mark = pipeline::new_mark();
        match self.change(name, pipeline::enable(&mark), &mark).await? {
            Effect::Changed => Ok(EnableOutcome::Enabled),
            Effect::Unchanged(document) => {
                self.check_version(name, document.as_ref()).map(|()| EnableOutcome::AlreadyEnabled)
            }
        }
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        let found = self.find(name).await?;
        Ok(found.map(|document| self.entry(&document)))
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        let after = page.after.map(String::from_utf8_lossy);
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let stages = pipeline::list(page.prefix, after.as_deref(), limit);
        let found = self.read_locks(PermitKind::Other, stages, page.limit).await?;
        let (mut entries, mut last) = (Vec::new(), None);
        for document in &found {
            let name = document.get_str("_id").ok();
            // Names with the same prefix are adjacent, so any others are at the end.
            let Some(name) = name.filter(|name| name.starts_with(page.prefix)) else {
                return Ok(Found { entries, next: None });
            };
            last = Some(name.as_bytes().to_vec());
            entries.push(self.entry(document));
        }
        Ok(Found { entries, next: last.filter(|_| found.len() >= page.limit) })
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
        self.put_instance(instance, text, ttl).await
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

    fn call_limit(&self, operation: Operation) -> Option<Duration> {
        // Each of the commands that prune names has a limit.
        (operation != Operation::Prune).then_some(CALL_LIMIT)
    }
}
