//! Renews leases: with one command for one lease, and with one for a whole batch, unless some of
//! its leases are not extended.

use std::collections::HashMap;

use mongodb::bson::{Document, doc};

use super::commands::{BatchReply, Effect, Mongo};
use super::permits::PermitKind;
use super::record::{duration, millis};
use super::{pipeline, record, renewal_updates};
use crate::shell::renew_outcome;
use crate::{
    Error, ErrorKind, LeaseRecord, LockName, LockRecord, RenewOptions, RenewOutcome, Result,
};

impl Mongo {
    pub(super) async fn renew_one(&self, renewal: &RenewOptions) -> Result<RenewOutcome> {
        let RenewOptions { name, lease, ttl, .. } = renewal;
        let (millis, mark) = (millis(*ttl), pipeline::new_mark());
        let change = pipeline::renew(*lease, millis, &mark);
        let document = match self.change(name, change, &mark).await? {
            Effect::Changed => return Ok(RenewOutcome::extended(duration(millis))),
            Effect::Unchanged(None) => return Ok(RenewOutcome::Lost),
            Effect::Unchanged(Some(document)) => document,
        };
        // As of the earliest time, every lease is in force: this one has expired, unless it is told
        // to end.
        let record = record::record(&document, self.locks(), i64::MIN)?;
        let is_told = |own: &LeaseRecord| own.ending.is_some() || record.disabled.is_some();
        if !record.lease.as_ref().is_some_and(|own| own.id == *lease && is_told(own)) {
            return Ok(RenewOutcome::Lost);
        }
        let record = self.as_of_now(PermitKind::Holder, &document).await?;
        Ok(renew_outcome(record, *lease))
    }

    pub(super) async fn renew_many(
        &self,
        leases: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let updates = renewal_updates::updates(leases)?;
        let BatchReply { changed, failed } = self.update_many(updates).await?;
        if changed == leases.len() {
            // No update changes more than one document, so each of them extended its lease.
            let extended =
                |lease: &&RenewOptions| Ok(RenewOutcome::extended(duration(millis(lease.ttl))));
            return Ok(leases.iter().map(extended).collect());
        }
        let mut failed: HashMap<usize, Error> = failed.into_iter().collect();
        let found = if failed.len() < leases.len() {
            self.read_renewed(leases, |document| self.with_time(document)).await?
        } else {
            HashMap::new()
        };
        let outcome = |(index, lease): (usize, &&RenewOptions)| {
            if let Some(error) = failed.remove(&index) {
                return Err(error);
            }
            match found.get(&lease.name) {
                Some(Ok(record)) => Ok(renew_outcome(record.clone(), lease.lease)),
                Some(Err(error)) => Err(error.clone()),
                None => Ok(RenewOutcome::Lost),
            }
        };
        Ok(leases.iter().enumerate().map(outcome).collect())
    }

    /// Reads the documents after a majority has acknowledged their update, so that they show the
    /// outcome: a lease is extended if it is in force and not told to end.
    pub(super) async fn read_renewed(
        &self,
        leases: &[&RenewOptions],
        parse: impl Fn(&Document) -> Result<LockRecord>,
    ) -> Result<HashMap<LockName, Result<LockRecord>>> {
        let names: Vec<_> = leases.iter().map(|lease| lease.name.as_str()).collect();
        let stages = pipeline::read(doc! { "_id": { "$in": names } });
        let found =
            self.read_locks(PermitKind::Holder, stages, leases.len()).await.map_err(|error| {
                let message = "leases were renewed, but reading the result failed";
                Error::new(ErrorKind::OutcomeUnknown, message).with_source(error)
            })?;
        // A document without a readable name belongs to none of these leases.
        let named = found.iter().filter_map(|document| {
            Some((record::name(document, self.locks()).ok()?, parse(document)))
        });
        Ok(named.collect())
    }
}
