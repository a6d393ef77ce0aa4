//! This module has the calls of a broken store.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::unfold;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    EnterOptions, Hint, HintStream, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    PruneOptions, Reach, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
    StoreClock, Wake, check_ttl,
};
use tokio::sync::broadcast;
use tokio::task::yield_now;

use super::super::fault::Fault;
use super::{BrokenStore, Entry};

#[async_trait]
impl LockStore for BrokenStore {
    fn label(&self) -> &str {
        "broken:"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(StoreClock::Machine, Reach::Process, Wake::Push)
            .with_min_ttl(Duration::from_millis(10))
            .with_ttl_step(Duration::from_nanos(1))
            .with_renew_batch(1000)
            .with_queues()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        if !self.has(Fault::GrantsAnyTtl) {
            check_ttl(options.ttl, &self.capabilities())?;
        }
        let key = self.key(name);
        if self.has(Fault::AcquireTakesThreeTrips) {
            self.trip().await?;
            self.trip().await?;
        }
        self.trip().await?;
        let mut refusal = None;
        if self.has(Fault::ChecksThenGrants) {
            refusal =
                self.refusal(name, self.shared.entries().entry(key.clone()).or_default(), options)?;
            yield_now().await;
        }
        if self.has(Fault::DroppedHalfway) {
            let free = {
                let mut entries = self.shared.entries();
                let entry = entries.entry(key.clone()).or_default();
                let free = self.refusal(name, entry, options)?.is_none();
                if free {
                    entry.token = self.next_token(entry);
                }
                free
            };
            if free {
                yield_now().await;
            }
        }
        let answer = {
            let mut entries = self.shared.entries();
            let created = entries.len() as u64;
            let entry = entries
                .entry(key)
                .or_insert_with(|| Entry { created: u64::MAX - created, ..Entry::default() });
            if !self.has(Fault::ChecksThenGrants) {
                refusal = self.refusal(name, entry, options)?;
            }
            match refusal {
                Some(refusal) => refusal,
                None => self.grant(entry, options)?,
            }
        };
        self.reply(answer)
    }

    async fn acquire_many(
        &self,
        attempts: &[(LockName, AcquireOptions)],
    ) -> Vec<Result<AcquireOutcome>> {
        let mut attempts: Vec<_> = attempts.iter().collect();
        if self.has(Fault::BatchAnswersInAnotherOrder) {
            attempts.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let mut outcomes = Vec::new();
        for (name, options) in attempts {
            outcomes.push(self.acquire(name, options).await);
        }
        outcomes
    }

    async fn enter(&self, name: &LockName, options: &EnterOptions) -> Result<AcquireOutcome> {
        self.enter_queue(name, options).await
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.leave_queue(name, lease).await
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        for renewal in leases {
            if !self.has(Fault::GrantsAnyTtl) {
                check_ttl(renewal.ttl, &self.capabilities())?;
            }
            if self.has(Fault::BatchTakesATripEach) {
                self.trip().await?;
            }
        }
        self.trip().await?;
        let mut entries = self.shared.entries();
        let mut outcomes = Vec::new();
        for renewal in leases {
            let key = self.key(&renewal.name);
            if self.has(Fault::RenewInserts) {
                entries.entry(key.clone()).or_default();
            }
            let entry = entries.get_mut(&key);
            let outcome = match entry {
                Some(entry) if renewal.entry => Some(self.renew_entry(entry, renewal)?),
                entry => entry.map(|entry| self.renew_one(entry, renewal)),
            };
            outcomes.push((key, outcome.unwrap_or(RenewOutcome::Lost)));
        }
        let one_in_force = outcomes.iter().any(|(_, o)| matches!(o, RenewOutcome::Extended { .. }));
        if self.has(Fault::RenewExtendsAll) && one_in_force {
            for renewal in leases {
                let entry = entries.get_mut(&self.key(&renewal.name));
                if let Some(lease) = entry.and_then(|entry| entry.lease.as_mut()) {
                    lease.expires = self.now() + renewal.ttl;
                }
            }
        }
        if self.has(Fault::BatchAnswersInAnotherOrder) {
            outcomes.sort_by(|a, b| a.0.cmp(&b.0));
        }
        if self.has(Fault::BatchAnswersEntriesLast) {
            let mut answers: Vec<_> = outcomes.into_iter().zip(leases).collect();
            answers.sort_by_key(|(_, renewal)| renewal.entry);
            outcomes = answers.into_iter().map(|(outcome, _)| outcome).collect();
        }
        if self.has(Fault::HintsAtHeartbeats) {
            leases.iter().for_each(|renewal| self.hint(&renewal.name));
        }
        self.reply(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.trip().await?;
        let outcome = {
            let mut entries = self.shared.entries();
            let any_id = self.has(Fault::ReleaseIgnoresTheId);
            match entries.get_mut(&self.key(name)) {
                Some(entry) if entry.in_force(self.now()).is_some_and(|l| l == lease || any_id) => {
                    entry.lease = None;
                    if self.has(Fault::TokenRestartsAfterRelease) {
                        entry.token = 0;
                    }
                    if self.has(Fault::ReleaseForgetsDisable) {
                        entry.disabled = None;
                    }
                    ReleaseOutcome::Released
                }
                Some(entry) => self.release_entry(entry, lease),
                None => ReleaseOutcome::NotHeld,
            }
        };
        if outcome == ReleaseOutcome::Released {
            self.hint(name);
        }
        self.reply(outcome)
    }

    async fn release_many(&self, leases: &[ReleaseOptions]) -> Vec<Result<ReleaseOutcome>> {
        let mut leases: Vec<_> = leases.iter().collect();
        if self.has(Fault::BatchAnswersInAnotherOrder) {
            leases.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let mut outcomes = Vec::new();
        for released in leases {
            outcomes.push(self.release(&released.name, released.lease).await);
        }
        outcomes
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.trip().await?;
        let key = self.key(name);
        let find = || self.shared.entries().get(&key).and_then(|e| e.disablement(self.now()));
        let mut disabled = find();
        if self.has(Fault::ChecksThenDisables) {
            yield_now().await;
        }
        {
            let mut entries = self.shared.entries();
            let entry = entries.entry(key.clone()).or_default();
            let now = self.now();
            if !self.has(Fault::ChecksThenDisables) {
                disabled = entry.disablement(now);
            }
            if disabled.is_none() || self.has(Fault::DisableReplacesTheReason) {
                entry.disabled = Some((options.reason.clone(), options.by.clone(), now));
                let holder_goes_on = self.has(Fault::HolderOutlivesDisable);
                if let Some(lease) = entry.live(now).filter(|_| !holder_goes_on) {
                    lease.ending = Some(options.reason.clone());
                }
                self.end_entries(entry, &options.reason);
            }
        }
        self.hint(name);
        self.reply(disabled.map_or(DisableOutcome::Disabled, DisableOutcome::AlreadyDisabled))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.trip().await?;
        let disabled = {
            let mut entries = self.shared.entries();
            let key = self.key(name);
            if self.has(Fault::EnableInserts) {
                entries.entry(key.clone()).or_default();
            }
            entries.get_mut(&key).and_then(|entry| {
                if self.has(Fault::EnableForgetsTheEnd)
                    && let Some(lease) = &mut entry.lease
                {
                    lease.ending = None;
                }
                self.entries_enabled(entry);
                entry.disabled.take()
            })
        };
        self.hint(name);
        self.reply(match disabled {
            Some(_) => EnableOutcome::Enabled,
            None => EnableOutcome::AlreadyEnabled,
        })
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.trip().await?;
        let key = self.key(name);
        self.shared.entries().get(&key).map(|entry| self.record(name, entry)).transpose()
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.trip().await?;
        let entries = self.shared.entries();
        // This is enough of a pattern to show the difference.
        let before_percent = options.prefix.split('%').next().unwrap_or_default();
        let prefix = match self.fault {
            Some(Fault::PrefixIsAPattern) => before_percent,
            _ => &options.prefix,
        };
        let mut found: Vec<_> = entries
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(prefix))
            .filter(|(name, _)| options.after.as_ref().is_none_or(|after| *name > after))
            .collect();
        if self.has(Fault::ListsInAnotherOrder) {
            found.sort_by_key(|(name, entry)| (entry.created, name.as_str().to_lowercase()));
        }
        found.iter().take(options.limit).map(|(name, entry)| self.record(name, entry)).collect()
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.trip().await?;
        let mut entries = self.shared.entries();
        let now = self.now();
        let unused = |entry: &Entry| self.is_prunable(entry, options.unused_for, now);
        let names: Vec<_> = entries
            .iter()
            .filter(|(name, _)| options.after.as_ref().is_none_or(|after| *name > after))
            .filter(|(_, entry)| unused(entry))
            .take(options.limit)
            .map(|(name, _)| name.clone())
            .collect();
        if !options.dry_run || self.has(Fault::DryRunPrunes) {
            names.iter().for_each(|name| drop(entries.remove(name)));
        }
        Ok(names)
    }

    async fn watch(&self) -> Result<HintStream> {
        let receiver = self.shared.hints.subscribe();
        Ok(Box::pin(unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(hint) => Some((hint, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Hint::Anything, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })))
    }
}
