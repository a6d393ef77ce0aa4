//! Renews leases: with one command each, or two for a whole batch, and an answer for each lease.

use std::collections::HashMap;

use mongodb::bson::{Document, doc};

use super::permits::PermitKind;
use super::shared::MongoInner;
use super::store::{duration, millis};
use super::{pipeline, record};
use crate::{
    Error, ErrorKind, LeaseId, LeaseRecord, LockName, LockRecord, RenewOptions, RenewOutcome,
    Result,
};

impl MongoInner {
    pub(super) async fn renew_one(&self, renewal: &RenewOptions) -> Result<RenewOutcome> {
        let RenewOptions { name, lease, ttl } = renewal;
        let ttl = millis(*ttl);
        let filter = pipeline::renewable(name, *lease);
        if let Some(extended) = self.update(filter, pipeline::renew(ttl)).await? {
            return Ok(self.extended(&extended, ttl));
        }
        let stages = pipeline::read(pipeline::named(name));
        let found = self.read(PermitKind::Holder, stages, 1).await?;
        // A lease that is in force and not told to end would have been extended.
        Ok(match found.first().map(|document| self.lease_state(document)) {
            Some(LeaseState::Read { lease: of, outcome, .. }) if of == *lease => match outcome {
                RenewOutcome::Extended { .. } => RenewOutcome::Lost,
                told => told,
            },
            Some(LeaseState::Corrupt { why, .. }) => RenewOutcome::Unknown { why },
            _ => RenewOutcome::Lost,
        })
    }

    pub(super) async fn renew_batch(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        // If a lease is in the batch twice, the last ttl counts, and both answers report it.
        let last: HashMap<_, _> =
            leases.iter().map(|l| ((&l.name, l.lease), millis(l.ttl))).collect();
        let asked: Vec<_> = last.into_iter().collect();
        let updates = asked.iter().map(|((name, lease), ttl)| {
            doc! { "q": pipeline::renewable(name, *lease), "u": pipeline::renew(*ttl) }
        });
        let failed = self.update_many(updates.collect()).await?;
        let failed: HashMap<_, _> = failed
            .into_iter()
            .filter_map(|(number, error)| Some((asked.get(number)?.0, error)))
            .collect();
        if failed.len() == asked.len()
            && let Some(error) = failed.values().next()
        {
            return Err(error.clone());
        }
        // A majority has acknowledged the update, so the document now shows the outcome: the lease is
        // extended if it is in force and not told to end.
        let names: Vec<_> = asked.iter().map(|((name, _), _)| name.as_str()).collect();
        let stages = pipeline::read(doc! { "_id": { "$in": names } });
        let found = self.read(PermitKind::Holder, stages, leases.len()).await.map_err(|error| {
            let message = "leases were renewed, but the read that tells which ones failed";
            Error::new(ErrorKind::OutcomeUnknown, message).with_source(error)
        })?;
        let (mut outcomes, mut damaged) = (HashMap::new(), HashMap::new());
        for document in &found {
            match self.lease_state(document) {
                LeaseState::Read { name, lease, outcome } => {
                    outcomes.insert((name, lease), outcome);
                }
                LeaseState::Corrupt { name: Some(name), why } => _ = damaged.insert(name, why),
                LeaseState::Corrupt { name: None, .. } | LeaseState::Free => {}
            }
        }
        let answer = |l: &RenewOptions| {
            if let Some(error) = failed.get(&(&l.name, l.lease)) {
                return RenewOutcome::Unknown { why: error.to_string() };
            }
            if let Some(why) = damaged.get(&l.name) {
                return RenewOutcome::Unknown { why: why.clone() };
            }
            let outcome = outcomes.get(&(l.name.clone(), l.lease));
            outcome.cloned().unwrap_or(RenewOutcome::Lost)
        };
        Ok(leases.iter().map(answer).collect())
    }

    /// Returns the outcome of a renewal that wrote this document.
    fn extended(&self, document: &Document, ttl: i64) -> RenewOutcome {
        // This is the server's time of the renewal.
        let now = document.get_i64("expires").map_or(0, |expires| expires.saturating_sub(ttl));
        match record::record(document, self.locks(), now) {
            Ok(_) => RenewOutcome::Extended { left: duration(ttl) },
            Err(error) => {
                tracing::error!(%error, "a lease cannot be renewed");
                RenewOutcome::Unknown { why: error.to_string() }
            }
        }
    }

    /// Returns what a document means for a renewal. A damaged document affects no other lease.
    fn lease_state(&self, document: &Document) -> LeaseState {
        match self.with_time(document) {
            Ok(LockRecord { lease: None, .. }) => LeaseState::Free,
            Ok(LockRecord { name, lease: Some(LeaseRecord { id, left, ending, .. }), .. }) => {
                let outcome = match ending {
                    Some(reason) => RenewOutcome::Disabled { reason, left },
                    None => RenewOutcome::Extended { left },
                };
                LeaseState::Read { name, lease: id, outcome }
            }
            Err(error) => {
                tracing::error!(%error, "a lease cannot be renewed");
                let name = record::name(document, self.locks()).ok();
                LeaseState::Corrupt { name, why: error.to_string() }
            }
        }
    }
}

/// What is stored of one name.
enum LeaseState {
    /// No lease of the name is in force.
    Free,
    Read {
        name: LockName,
        lease: LeaseId,
        outcome: RenewOutcome,
    },
    Corrupt {
        name: Option<LockName>,
        why: String,
    },
}
