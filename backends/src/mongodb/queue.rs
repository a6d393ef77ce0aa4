//! This module has the operations on queues. The entries are in the document of their name, and one
//! command decides.

use std::collections::HashMap;

use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, doc};

use super::commands::{BatchReply, Effect, Mongo};
use super::permits::PermitKind;
use super::pipeline::{AcquireMarks, new_mark};
use super::record::millis;
use super::{error_codes, queue_pipeline, record, stored_queue};
use crate::{
    AcquireOutcome, EnterOptions, Error, LeaseId, LockName, LockRecord, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result,
};

impl Mongo {
    /// Adds an entry, unless something prevents it, and returns the record as it is then.
    pub(super) async fn enter_queue(
        &self,
        name: &LockName,
        options: &EnterOptions,
    ) -> Result<Option<LockRecord>> {
        let holder = serde_json::to_string(&options.holder).map_err(|error| {
            Error::invalid("the holder cannot be encoded as JSON").with_source(error)
        })?;
        let marks = AcquireMarks { granted: new_mark(), repeated: new_mark() };
        let change = queue_pipeline::enter(name, options, &holder, millis(options.ttl), &marks);
        let after = self.upsert(PermitKind::Other, name, change).await?;
        let by = after.get_str("call").unwrap_or_default();
        if by == marks.granted || by == marks.repeated {
            return record::decided(&after, self.locks(), None).map(Some);
        }
        let record = self.as_of_now(PermitKind::Other, &after).await?;
        // The attempt has no entry, or its entry was not live: only a decision may say that it is.
        Ok(match record.enter_outcome(options) {
            Ok(Some(AcquireOutcome::Granted(_) | AcquireOutcome::Queued(_))) => None,
            _ => Some(record),
        })
    }

    /// Removes an entry. The same command writes the hint.
    pub(super) async fn leave_queue(
        &self,
        name: &LockName,
        lease: LeaseId,
    ) -> Result<ReleaseOutcome> {
        let mark = new_mark();
        match self.change(name, queue_pipeline::leave(lease, &mark), &mark).await? {
            Effect::Changed => Ok(ReleaseOutcome::Released),
            Effect::Unchanged(document) => {
                self.check_version(name, document.as_ref())?;
                if let Some(document) = document.filter(stored_queue::is_marked) {
                    record::record(&document, self.locks(), i64::MIN)?;
                }
                Ok(ReleaseOutcome::NotHeld)
            }
        }
    }

    /// Extends one entry, by one command.
    pub(super) async fn renew_in_queue(&self, renewal: &RenewOptions) -> Result<RenewOutcome> {
        let RenewOptions { name, lease, ttl, .. } = renewal;
        let mark = new_mark();
        let change = queue_pipeline::renew(*lease, millis(*ttl), &mark);
        let after = self.modify(PermitKind::Holder, name, change, false).await?;
        let Some(document) = after.map_err(error_codes::writing)? else {
            return Ok(RenewOutcome::Lost);
        };
        let record = record::decided(&document, self.locks(), None)?;
        if document.get_str("call").is_ok_and(|by| by == mark) {
            return Ok(record.renew_entry_outcome(*lease));
        }
        // The pipeline changes every document that has a queue.
        if record.queue.is_some() { Err(self.contradiction()) } else { Ok(RenewOutcome::Lost) }
    }

    /// Extends entries by one command, and reads the queues by another, since the reply to a batch has
    /// no documents.
    pub(super) async fn renew_in_queues(
        &self,
        entries: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let BatchReply { failed, .. } = self.update_many(updates(entries)?).await?;
        let mut failed: HashMap<usize, Error> = failed.into_iter().collect();
        let found = if failed.len() < entries.len() {
            let parse = |document: &Document| {
                record::decided(document, self.locks(), Some(record::now(document)?))
            };
            self.read_renewed(entries, parse).await?
        } else {
            HashMap::new()
        };
        let outcome = |(index, entry): (usize, &&RenewOptions)| {
            if let Some(error) = failed.remove(&index) {
                return Err(error);
            }
            match found.get(&entry.name) {
                Some(Ok(record)) => Ok(record.renew_entry_outcome(entry.lease)),
                Some(Err(error)) => Err(error.clone()),
                None => Ok(RenewOutcome::Lost),
            }
        };
        Ok(entries.iter().enumerate().map(outcome).collect())
    }
}

fn update(renewal: &RenewOptions) -> mongodb::bson::error::Result<RawDocumentBuf> {
    let stages = queue_pipeline::renew(renewal.lease, millis(renewal.ttl), &new_mark());
    RawDocumentBuf::try_from(doc! { "q": { "_id": renewal.name.as_str() }, "u": stages })
}

/// Returns an update for each entry. They are applied in this order.
fn updates(entries: &[&RenewOptions]) -> Result<RawArrayBuf> {
    let updates = entries.iter().map(|entry| update(entry)).collect::<Result<RawArrayBuf, _>>();
    updates.map_err(|source| {
        Error::invalid("the renewals cannot be encoded as BSON").with_source(source)
    })
}
