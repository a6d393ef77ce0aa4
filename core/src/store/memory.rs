//! The memory store works within one process, for tests, examples and single-process use.

mod stored_name;

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

use self::stored_name::{StoredDisable, StoredLease, StoredName};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, Clock, DisableOptions, DisableOutcome,
    EnableOutcome, FencingToken, Grant, Held, Hint, HintStream, InstanceRecord, LeaseId,
    ListOptions, LockName, LockRecord, LockStore, Moment, Presence, PruneOptions, Reach,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock, SystemClock, Wake, check_ttl,
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
    entries: Mutex<BTreeMap<LockName, StoredName>>,
    /// Each presence has the moment at which it expires.
    instances: Mutex<BTreeMap<Uuid, (Presence, Moment)>>,
    /// This is the largest token of the removed entries; later grants get larger ones.
    pruned: AtomicU64,
    hints: broadcast::Sender<LockName>,
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
        let (hints, _) = broadcast::channel(Self::HINT_BUFFER);
        let (entries, instances) = (Mutex::default(), Mutex::default());
        Self {
            shared: Arc::new(MemoryState {
                clock,
                entries,
                instances,
                pruned: AtomicU64::new(0),
                hints,
            }),
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<LockName, StoredName>> {
        self.shared.entries.lock()
    }

    /// Locks the instances, after removing the expired ones.
    fn instances(&self) -> MutexGuard<'_, BTreeMap<Uuid, (Presence, Moment)>> {
        let now = self.now();
        let mut known = self.shared.instances.lock();
        known.retain(|_, (_, until)| now < *until);
        known
    }

    fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    fn hint(&self, name: &LockName) {
        // This fails only if nobody watches.
        let _ = self.shared.hints.send(name.clone());
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
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        check_ttl(options.ttl, &self.capabilities()).map_err(|e| e.for_lock(name))?;
        let mut entries = self.entries();
        let now = self.now();
        let entry = entries.entry(name.clone()).or_default();
        if let Some(disabled) = &entry.disabled {
            return Ok(AcquireOutcome::Disabled(disabled.describe(now)));
        }
        let token = entry.token;
        if let Some(lease) = entry.lease_in_force(now) {
            let token = FencingToken::new(token)?;
            let left = lease.expires.saturating_since(now);
            return Ok(if lease.id == options.lease {
                AcquireOutcome::Granted(Grant { token, left })
            } else {
                AcquireOutcome::Held(Held { holder: lease.holder.clone(), token, left })
            });
        }
        entry.token = entry.token.max(self.shared.pruned.load(Ordering::SeqCst)) + 1;
        entry.granted = Some(now);
        entry.lease = Some(StoredLease {
            id: options.lease,
            holder: options.holder.clone(),
            granted: now,
            expires: now + options.ttl,
            ending: None,
        });
        let token = FencingToken::new(entry.token)?;
        Ok(AcquireOutcome::Granted(Grant { token, left: options.ttl }))
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        for lease in leases {
            check_ttl(lease.ttl, &self.capabilities()).map_err(|e| e.for_lock(&lease.name))?;
        }
        let mut entries = self.entries();
        let now = self.now();
        let outcomes = leases.iter().map(|renewal| {
            let entry = entries.get_mut(&renewal.name);
            let Some(lease) = entry.and_then(|entry| entry.own_lease_in_force(renewal.lease, now))
            else {
                return RenewOutcome::Lost;
            };
            if let Some(reason) = &lease.ending {
                let left = lease.expires.saturating_since(now);
                return RenewOutcome::Disabled { reason: reason.clone(), left };
            }
            lease.expires = now + renewal.ttl;
            RenewOutcome::Extended { left: renewal.ttl }
        });
        Ok(outcomes.collect())
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        {
            let mut entries = self.entries();
            let now = self.now();
            let Some(entry) = entries.get_mut(name) else { return Ok(ReleaseOutcome::NotHeld) };
            if entry.own_lease_in_force(lease, now).is_none() {
                return Ok(ReleaseOutcome::NotHeld);
            }
            entry.lease = None;
        }
        self.hint(name);
        Ok(ReleaseOutcome::Released)
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        {
            let mut entries = self.entries();
            let now = self.now();
            let entry = entries.entry(name.clone()).or_default();
            if let Some(disabled) = &entry.disabled {
                return Ok(DisableOutcome::AlreadyDisabled(disabled.describe(now)));
            }
            entry.disabled = Some(StoredDisable {
                reason: options.reason.clone(),
                by: options.by.clone(),
                at: now,
            });
            if let Some(lease) = entry.lease_in_force(now) {
                lease.ending = Some(options.reason.clone());
            }
        }
        self.hint(name);
        Ok(DisableOutcome::Disabled)
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let was_disabled = {
            let mut entries = self.entries();
            entries.get_mut(name).and_then(|entry| entry.disabled.take()).is_some()
        };
        if !was_disabled {
            return Ok(EnableOutcome::AlreadyEnabled);
        }
        self.hint(name);
        Ok(EnableOutcome::Enabled)
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let entries = self.entries();
        entries.get(name).map(|entry| entry.record(name, self.now())).transpose()
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let entries = self.entries();
        let now = self.now();
        let from = match &options.after {
            Some(after) if after.as_str() >= options.prefix.as_str() => {
                Bound::Excluded(after.as_str())
            }
            _ => Bound::Included(options.prefix.as_str()),
        };
        entries
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(&options.prefix))
            .take(options.limit)
            .map(|(name, entry)| entry.record(name, now))
            .collect()
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        let mut entries = self.entries();
        let now = self.now();
        let after = options.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let unused = |entry: &StoredName| {
            entry.disabled.is_none()
                && entry.lease.as_ref().is_none_or(|lease| now >= lease.expires)
                && entry.granted.is_none_or(|at| now.saturating_since(at) >= options.unused_for)
        };
        let names: Vec<_> = entries
            .range::<LockName, _>((after, Bound::Unbounded))
            .filter(|(_, entry)| unused(entry))
            .take(options.limit)
            .map(|(name, _)| name.clone())
            .collect();
        if !options.dry_run {
            for entry in names.iter().filter_map(|name| entries.remove(name)) {
                self.shared.pruned.fetch_max(entry.token, Ordering::SeqCst);
            }
        }
        Ok(names)
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        check_ttl(ttl, &self.capabilities())?;
        let until = self.now() + ttl;
        self.instances().insert(presence.holder.instance, (presence.clone(), until));
        Ok(())
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.instances().remove(&instance);
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let now = self.now();
        let record = |(presence, until): &(Presence, Moment)| InstanceRecord {
            presence: presence.clone(),
            left: until.saturating_since(now),
        };
        Ok(Self::instances(self).values().map(record).collect())
    }

    async fn watch(&self) -> Result<HintStream> {
        let hints = BroadcastStream::new(self.shared.hints.subscribe());
        // The only error is that the watcher has fallen behind.
        Ok(Box::pin(hints.map(|hint| hint.map_or(Hint::Anything, Hint::Name))))
    }
}
