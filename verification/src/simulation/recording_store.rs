//! A run has one store: the memory store, which records its grants and may have a defect.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::intercept::{Reply, Request};
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Clock, Error, ErrorKind, FencingToken, Grant, LeaseId,
    LockName, LockStore, MemoryStore, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};
use parking_lot::Mutex;

use super::Defect;
use super::grant_log::GrantLog;
use super::names::NameTable;
use crate::history::{Event, HistoryRecorder, InstanceId, NameId};

/// This is the store to which every instance's link leads.
#[derive(Clone, Debug)]
pub(super) struct RecordingStore {
    pub(super) store: MemoryStore,
    pub(super) recorder: HistoryRecorder,
    pub(super) defect: Option<Defect>,
    random: Arc<Mutex<fastrand::Rng>>,
    pub(super) grants: Arc<GrantLog>,
}

impl RecordingStore {
    pub(super) fn new(
        clock: impl Clock,
        recorder: HistoryRecorder,
        defect: Option<Defect>,
        seed: u64,
    ) -> Self {
        let store = MemoryStore::with_clock(Arc::new(clock));
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { store, recorder, defect, random, grants: Arc::default() }
    }

    /// Answers a request of that instance.
    pub(super) async fn reply_to(&self, process: InstanceId, request: Request) -> Result<Reply> {
        Ok(match request {
            Request::Acquire(name, options) => {
                Reply::Acquire(self.acquire(process, &name, &options).await?)
            }
            Request::Enter(name, options) => {
                Reply::Enter(self.enter(process, &name, &options).await?)
            }
            Request::Leave(name, lease) => Reply::Leave(self.leave(&name, lease).await?),
            Request::Renew(leases) => Reply::Renew(self.renew(process, &leases).await?),
            Request::Release(name, lease) => Reply::Release(self.release(&name, lease).await?),
            request => request.send_to(&self.store).await?,
        })
    }

    async fn acquire(
        &self,
        process: InstanceId,
        name: &LockName,
        options: &AcquireOptions,
    ) -> Result<AcquireOutcome> {
        if self.defect == Some(Defect::StopsGranting) {
            self.fails_after_a_while()?;
        }
        let mut outcome = self.store.acquire(name, options).await?;
        let number = NameTable::number(name);
        if let AcquireOutcome::Held(held) = &outcome
            && let Some(other) = self.grants.granted(number, held.token.get())
        {
            let attempt = self.grants.attempt(options.lease);
            self.recorder.record(Event::RefusedBy(process, number, attempt, other));
        }
        match (&mut outcome, self.defect) {
            (AcquireOutcome::Held(held), Some(Defect::OverstatesLeases)) => {
                held.left += options.ttl;
            }
            (AcquireOutcome::Held(held), Some(Defect::GrantsTwice)) if self.sometimes() => {
                let token = FencingToken::new(held.token.get() + 1)?;
                outcome = AcquireOutcome::Granted(Grant::new(token, options.ttl));
            }
            (AcquireOutcome::Granted(grant), Some(Defect::ForgetsTokens)) if self.sometimes() => {
                let token = FencingToken::new(1)?;
                outcome = AcquireOutcome::Granted(Grant::new(token, grant.left));
            }
            _ => {}
        }
        if let AcquireOutcome::Granted(grant) = &outcome {
            let token = grant.token.get();
            self.grants.grant(number, options.lease, token);
            self.recorder.record(Event::Granted(process, number, token));
        }
        Ok(outcome)
    }

    async fn renew(
        &self,
        process: InstanceId,
        leases: &[RenewOptions],
    ) -> Result<Vec<RenewOutcome>> {
        if self.defect == Some(Defect::StopsRenewing) {
            self.fails_after_a_while()?;
        }
        let mut outcomes = self.store.renew(leases).await?;
        if self.defect == Some(Defect::RenewsDisabled) {
            for (outcome, renewal) in outcomes.iter_mut().zip(leases) {
                if matches!(outcome, RenewOutcome::Disabled { .. }) {
                    *outcome = RenewOutcome::extended(renewal.ttl);
                }
            }
        }
        for (outcome, renewal) in outcomes.iter_mut().zip(leases) {
            self.record_renewal(process, outcome, renewal);
        }
        Ok(outcomes)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        if self.defect == Some(Defect::IgnoresReleases) {
            return Ok(ReleaseOutcome::Released);
        }
        let outcome = self.store.release(name, lease).await?;
        self.record_release(name, lease, outcome);
        Ok(outcome)
    }

    pub(super) fn record_release(&self, name: &LockName, lease: LeaseId, outcome: ReleaseOutcome) {
        if outcome == ReleaseOutcome::Released {
            let token = self.grants.token(lease);
            self.recorder.record(Event::Released(NameTable::number(name), token));
        }
    }

    pub(super) fn fails_after_a_while(&self) -> Result<()> {
        const AFTER: Duration = Duration::from_secs(40);
        if self.recorder.now() < AFTER {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "simulated store failure"))
    }

    /// Returns the name and the token of a lease that must be renewed.
    pub(super) fn name_and_token(&self, renewal: &RenewOptions) -> (NameId, u64) {
        (NameTable::number(&renewal.name), self.grants.token(renewal.lease))
    }

    pub(super) fn sometimes(&self) -> bool {
        self.random.lock().u32(0..20) == 0
    }
}
