//! The store of a run records what happens to the entries of queues.

use leasehold_core::{
    AcquireOutcome, EnterOptions, Grant, LeaseId, LockName, LockStore, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result,
};

use super::Defect;
use super::names::NameTable;
use super::recording_store::RecordingStore;
use crate::history::{Event, InstanceId};

impl RecordingStore {
    pub(super) async fn enter(
        &self,
        process: InstanceId,
        name: &LockName,
        options: &EnterOptions,
    ) -> Result<AcquireOutcome> {
        if self.defect == Some(Defect::StopsGranting) {
            self.fails_after_a_while()?;
        }
        if !options.wait {
            self.grants.record_single_try(options.lease);
        }
        let mut outcome = self.store.enter(name, options).await?;
        let token = match &outcome {
            AcquireOutcome::Granted(grant) => grant.token,
            AcquireOutcome::Queued(queued) => queued.token,
            AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_) => return Ok(outcome),
        };
        let number = NameTable::number(name);
        if self.grants.token(options.lease) != token.get() {
            // A retry finds the same entry.
            self.grants.grant(number, options.lease, token.get());
            let entered = Event::Entered(process, number, token.get(), options.weight);
            self.recorder.record(entered);
        }
        match (&mut outcome, self.defect) {
            (AcquireOutcome::Queued(queued), Some(Defect::SkipsQueue)) if self.sometimes() => {
                outcome = AcquireOutcome::Granted(Grant::new(token, queued.left));
            }
            (AcquireOutcome::Granted(grant), Some(Defect::RaisesFloors)) => grant.floor = token,
            _ => {}
        }
        if let AcquireOutcome::Granted(_) = &outcome {
            self.grants.hold(number, token.get());
            self.recorder.record(Event::Granted(process, number, token.get()));
        } else {
            self.record_entries_ahead(process, name, options.lease, token.get()).await?;
        }
        Ok(outcome)
    }

    /// Records the other attempts because of which an entry waits.
    async fn record_entries_ahead(
        &self,
        process: InstanceId,
        name: &LockName,
        lease: LeaseId,
        token: u64,
    ) -> Result<()> {
        let (number, attempt) = (NameTable::number(name), self.grants.attempt(lease));
        let queue = self.store.get(name).await?.and_then(|record| record.queue);
        let entries = queue.into_iter().flat_map(|queue| queue.entries);
        let ahead = entries.map(|entry| entry.token.get()).filter(|ahead| *ahead < token);
        // An attempt that does not wait is made beside the others of its client.
        let ahead = ahead.filter(|ahead| !self.grants.is_single_try(number, *ahead));
        for other in ahead.filter_map(|ahead| self.grants.granted(number, ahead)) {
            self.recorder.record(Event::RefusedBy(process, number, attempt, other));
        }
        Ok(())
    }

    pub(super) async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        if self.defect == Some(Defect::IgnoresReleases) {
            return Ok(ReleaseOutcome::Released);
        }
        let outcome = self.store.leave(name, lease).await?;
        self.record_release(name, lease, outcome);
        Ok(outcome)
    }

    /// Records that a lease or an entry was extended, and for an entry that it holds the lock.
    pub(super) fn record_renewal(
        &self,
        process: InstanceId,
        outcome: &mut RenewOutcome,
        renewal: &RenewOptions,
    ) {
        let (name, token) = self.name_and_token(renewal);
        let is_held = match outcome {
            RenewOutcome::Extended { .. } => true,
            RenewOutcome::Queued { .. } => false,
            _ => return,
        };
        let forgets = self.defect == Some(Defect::ForgetsWaiters);
        if renewal.entry && forgets && is_held && !self.grants.is_held(name, token) {
            *outcome = RenewOutcome::queued(renewal.ttl, 1, renewal.ttl);
        } else if renewal.entry && is_held && self.grants.hold(name, token) {
            self.recorder.record(Event::Granted(process, name, token));
        }
        self.recorder.record(Event::Extended(process, name, token));
    }
}
