//! The one store of a run: the memory store, which writes down what it grants, and may be broken.

use std::sync::{Arc, Mutex, PoisonError};

use leasehold_core::{
    AcquireOptions, AcquireOutcome, Clock, FencingToken, Grant, LeaseId, LockName, LockStore,
    MemoryStore, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

use super::Defect;
use super::process::Names;
use crate::history::{Fact, Process, Recorder};

/// What every instance's link leads to.
#[derive(Clone, Debug)]
pub(super) struct Referee {
    pub(super) store: MemoryStore,
    pub(super) recorder: Recorder,
    pub(super) defect: Option<Defect>,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Referee {
    pub(super) fn new(
        clock: impl Clock,
        recorder: Recorder,
        defect: Option<Defect>,
        seed: u64,
    ) -> Self {
        let store = MemoryStore::with_clock(Arc::new(clock));
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { store, recorder, defect, random }
    }

    pub(super) async fn acquire(
        &self,
        process: Process,
        name: &LockName,
        options: &AcquireOptions,
    ) -> Result<AcquireOutcome> {
        let mut outcome = self.store.acquire(name, options).await?;
        match (&outcome, self.defect) {
            (AcquireOutcome::Held(held), Some(Defect::GrantsTwice)) if self.now_and_then() => {
                let token = FencingToken::new(held.token.get() + 1)?;
                outcome = AcquireOutcome::Granted(Grant { token, left: options.ttl });
            }
            (AcquireOutcome::Granted(grant), Some(Defect::ForgetsTokens))
                if self.now_and_then() =>
            {
                let token = FencingToken::new(1)?;
                outcome = AcquireOutcome::Granted(Grant { token, left: grant.left });
            }
            _ => {}
        }
        if let AcquireOutcome::Granted(grant) = &outcome {
            let granted = Fact::Granted(process, Names::number(name), grant.token.get());
            self.recorder.note(granted);
        }
        Ok(outcome)
    }

    pub(super) async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let mut outcomes = self.store.renew(leases).await?;
        if self.defect == Some(Defect::RenewsDisabled) {
            for (outcome, asked) in outcomes.iter_mut().zip(leases) {
                if matches!(outcome, RenewOutcome::Disabled { .. }) {
                    *outcome = RenewOutcome::Extended { left: asked.ttl };
                }
            }
        }
        Ok(outcomes)
    }

    pub(super) async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let outcome = self.store.release(name, lease).await?;
        if outcome == ReleaseOutcome::Released {
            self.recorder.note(Fact::Freed(Names::number(name)));
        }
        Ok(outcome)
    }

    fn now_and_then(&self) -> bool {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u32(0..20) == 0
    }
}
