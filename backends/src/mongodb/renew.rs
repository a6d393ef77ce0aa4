//! Renews leases: with one command for one lease, and with two for a whole batch.

use std::collections::HashMap;

use mongodb::bson::doc;

use super::commands::Mongo;
use super::permits::PermitKind;
use super::record::{duration, millis};
use super::{pipeline, record};
use crate::shell::renew_outcome;
use crate::{Error, ErrorKind, LockName, LockRecord, RenewOptions, RenewOutcome, Result};

impl Mongo {
    pub(super) async fn renew_one(&self, renewal: &RenewOptions) -> Result<RenewOutcome> {
        let RenewOptions { name, lease, ttl, .. } = renewal;
        let millis = millis(*ttl);
        let filter = pipeline::renewable(name, *lease);
        if let Some(extended) = self.update(filter, pipeline::renew(millis)).await? {
            // The new expiry minus the ttl is the server's time of the renewal.
            let expires = extended.get_i64("expires").unwrap_or_default();
            record::record(&extended, self.locks(), expires.saturating_sub(millis))?;
            return Ok(RenewOutcome::extended(duration(millis)));
        }
        let found = self.find(PermitKind::Holder, name).await?;
        let Some(document) = found else { return Ok(RenewOutcome::Lost) };
        // A lease that is in force and not told to end would have been extended.
        Ok(match renew_outcome(self.with_time(&document)?, *lease) {
            RenewOutcome::Extended { .. } => RenewOutcome::Lost,
            outcome => outcome,
        })
    }

    pub(super) async fn renew_many(
        &self,
        leases: &[&RenewOptions],
    ) -> Result<Vec<Result<RenewOutcome>>> {
        let updates = leases.iter().map(|RenewOptions { name, lease, ttl, .. }| {
            doc! { "q": pipeline::renewable(name, *lease), "u": pipeline::renew(millis(*ttl)) }
        });
        let failed = self.update_many(updates.collect()).await?;
        let mut failed: HashMap<usize, Error> = failed.into_iter().collect();
        let found = if failed.len() < leases.len() {
            self.read_renewed(leases).await?
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
    async fn read_renewed(
        &self,
        leases: &[&RenewOptions],
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
            Some((record::name(document, self.locks()).ok()?, self.with_time(document)))
        });
        Ok(named.collect())
    }
}
