//! The memory store works within one process, for tests, examples and single-process use.

mod instances;
mod stored_name;
mod stored_queue;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use uuid::Uuid;

use self::instances::Instances;
use self::stored_name::StoredName;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, Clock, DisableOptions, DisableOutcome,
    EnableOutcome, EnterOptions, Hint, HintStream, InstanceRecord, LeaseId, ListOptions, LockName,
    LockRecord, LockStore, Moment, Presence, PruneOptions, Reach, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result, StoreClock, SystemClock, Wake, check_ttl,
};

// The page's example is that of an application, which depends on `leasehold`. So it is tested by
// `examples/documentation.rs`, and not as an example of this crate.
/// A memory store keeps locks in this process's memory, by this process's clock.
///
#[cfg_attr(not(doctest), doc = include_str!("../../docs/memory.md"))]
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<MemoryState>,
}

#[derive(Debug)]
struct MemoryState {
    clock: Arc<dyn Clock>,
    names: Mutex<BTreeMap<LockName, StoredName>>,
    instances: Instances,
    /// This is the largest token of the removed names; later grants get larger ones.
    pruned: AtomicU64,
    hints: broadcast::Sender<Hint>,
}

impl MemoryStore {
    /// A watcher that falls behind by more hints than this gets [`Hint::Anything`] instead.
    const HINT_BUFFER: usize = 1024;

    /// Creates an empty store on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Creates an empty store on that clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(MemoryState {
                clock,
                names: Mutex::default(),
                instances: Instances::default(),
                pruned: AtomicU64::new(0),
                hints: broadcast::Sender::new(Self::HINT_BUFFER),
            }),
        }
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<LockName, StoredName>> {
        self.shared.names.lock()
    }

    fn pruned(&self) -> u64 {
        self.shared.pruned.load(Ordering::SeqCst)
    }

    fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    fn hint(&self, hint: Hint) {
        // This fails only if nobody watches.
        let _ = self.shared.hints.send(hint);
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl LockStore for MemoryStore {
    fn label(&self) -> &str {
        "memory:"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(10),
            ttl_step: Duration::from_nanos(1),
            clock: StoreClock::Process,
            reach: Reach::Process,
            wake: Wake::Push,
            renew_batch: 1000,
            queues: true,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        check_ttl(options.ttl, &self.capabilities()).map_err(|e| e.for_lock(name))?;
        let mut names = self.names();
        let now = self.now();
        // An attempt at an unknown name is granted, so a refused one creates no record.
        names.entry(name.clone()).or_default().acquire(name, options, self.pruned(), now)
    }

    async fn enter(&self, name: &LockName, options: &EnterOptions) -> Result<AcquireOutcome> {
        let checked = check_ttl(options.ttl, &self.capabilities()).and_then(|()| options.check());
        checked.map_err(|e| e.for_lock(name))?;
        let mut names = self.names();
        let now = self.now();
        names.entry(name.clone()).or_default().enter(name, options, self.pruned(), now)
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let hint = {
            let mut names = self.names();
            let now = self.now();
            let Some(stored) = names.get_mut(name) else { return Ok(ReleaseOutcome::NotHeld) };
            let removed = stored.queue.as_mut().and_then(|queue| queue.remove(lease, now));
            let Some(removed) = removed else { return Ok(ReleaseOutcome::NotHeld) };
            stored.record(name, now).ok().and_then(|record| record.hint_of_leaving(&removed))
        };
        if let Some(hint) = hint {
            self.hint(hint);
        }
        Ok(ReleaseOutcome::Released)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        for lease in leases {
            check_ttl(lease.ttl, &self.capabilities()).map_err(|e| e.for_lock(&lease.name))?;
        }
        let mut names = self.names();
        let now = self.now();
        let outcomes = leases.iter().map(|renewal| match names.get_mut(&renewal.name) {
            None => RenewOutcome::Lost,
            Some(stored) if renewal.entry => stored.renew_entry(renewal, now),
            Some(stored) => stored.renew(renewal, now),
        });
        Ok(outcomes.collect())
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let is_released = {
            let mut names = self.names();
            let now = self.now();
            names.get_mut(name).is_some_and(|stored| stored.release(lease, now))
        };
        if !is_released {
            return Ok(ReleaseOutcome::NotHeld);
        }
        self.hint(Hint::Name(name.clone()));
        Ok(ReleaseOutcome::Released)
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        {
            let mut names = self.names();
            let now = self.now();
            let stored = names.entry(name.clone()).or_default();
            if let Some(disabled) = &stored.disabled {
                return Ok(DisableOutcome::AlreadyDisabled(disabled.describe(now)));
            }
            stored.disable(options, now);
        }
        self.hint(Hint::Name(name.clone()));
        Ok(DisableOutcome::Disabled)
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let was_disabled = {
            let mut names = self.names();
            names.get_mut(name).and_then(|stored| stored.disabled.take()).is_some()
        };
        if !was_disabled {
            return Ok(EnableOutcome::AlreadyEnabled);
        }
        self.hint(Hint::Name(name.clone()));
        Ok(EnableOutcome::Enabled)
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let names = self.names();
        names.get(name).map(|stored| stored.record(name, self.now())).transpose()
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let names = self.names();
        let now = self.now();
        let from = match &options.after {
            Some(after) if after.as_str() >= options.prefix.as_str() => {
                Bound::Excluded(after.as_str())
            }
            _ => Bound::Included(options.prefix.as_str()),
        };
        names
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(&options.prefix))
            .take(options.limit)
            .map(|(name, stored)| stored.record(name, now))
            .collect()
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        let mut names = self.names();
        let now = self.now();
        let after = options.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let unused: Vec<_> = names
            .range::<LockName, _>((after, Bound::Unbounded))
            .filter(|(_, stored)| stored.is_unused(options.unused_for, now))
            .take(options.limit)
            .map(|(name, _)| name.clone())
            .collect();
        if !options.dry_run {
            for removed in unused.iter().filter_map(|name| names.remove(name)) {
                self.shared.pruned.fetch_max(removed.token, Ordering::SeqCst);
            }
        }
        Ok(unused)
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        check_ttl(ttl, &self.capabilities())?;
        let now = self.now();
        self.shared.instances.announce(presence, now + ttl, now);
        Ok(())
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.shared.instances.withdraw(instance, self.now());
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        Ok(self.shared.instances.records(self.now()))
    }

    async fn watch(&self) -> Result<HintStream> {
        let hints = BroadcastStream::new(self.shared.hints.subscribe());
        // The only error is that the watcher has fallen behind.
        Ok(Box::pin(hints.map(|hint| hint.unwrap_or(Hint::Anything))))
    }
}

#[cfg(test)]
mod tests;
