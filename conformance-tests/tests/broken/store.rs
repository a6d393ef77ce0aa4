//! A small store that keeps every promise, but for the one it is told to break.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use futures_util::stream::unfold;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, Disablement,
    EnableOutcome, Error, ErrorKind, FencingToken, Grant, Held, Hint, HintStream, Holder, LeaseId,
    LeaseRecord, ListOptions, LockName, LockRecord, LockStore, Reach, Reason, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result, StoreClock, Wake, check_ttl,
};
use tokio::sync::broadcast;
use tokio::task::yield_now;

use super::fault::Fault;

/// What the clients of one namespace share.
#[derive(Debug)]
pub(crate) struct Shared {
    origin: Instant,
    entries: Mutex<BTreeMap<LockName, Entry>>,
    hints: broadcast::Sender<LockName>,
    /// Round trips so far.
    pub(crate) trips: AtomicU64,
    /// Connections that dropped calls left behind.
    leaked: AtomicU64,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            entries: Mutex::default(),
            hints: broadcast::channel(1024).0,
            trips: AtomicU64::new(0),
            leaked: AtomicU64::new(0),
        }
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, BTreeMap<LockName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Entry {
    created: u64,
    token: u64,
    lease: Option<Lease>,
    disabled: Option<(Reason, Option<String>, Duration)>,
}

#[derive(Clone, Debug)]
struct Lease {
    id: LeaseId,
    holder: Holder,
    granted: Duration,
    expires: Duration,
    ending: Option<Reason>,
}

impl Entry {
    fn live(&mut self, now: Duration) -> Option<&mut Lease> {
        self.lease.as_mut().filter(|lease| now < lease.expires)
    }

    fn in_force(&self, now: Duration) -> Option<LeaseId> {
        self.lease.as_ref().filter(|lease| now < lease.expires).map(|lease| lease.id)
    }

    fn disablement(&self, now: Duration) -> Option<Disablement> {
        self.disabled.clone().map(|(reason, by, at)| Disablement {
            reason,
            by,
            since: now.saturating_sub(at),
        })
    }
}

/// One client of the store.
#[derive(Clone, Debug)]
pub(crate) struct BrokenStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) fault: Option<Fault>,
    /// How wrong this client's own clock is, which matters by one fault only.
    pub(crate) skew: Duration,
    /// 0: as it should be; 1: replies are withheld; 2: cut off.
    pub(crate) link: Arc<AtomicU8>,
}

/// Counts a connection as leaked unless its call came to an end.
struct Connection<'a>(&'a Shared, bool);

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.leaked.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl BrokenStore {
    const CONNECTIONS: u64 = 8;

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn now(&self) -> Duration {
        let skew = if self.has(Fault::ClientClock) { self.skew } else { Duration::ZERO };
        self.shared.origin.elapsed() + skew
    }

    fn key(&self, name: &LockName) -> LockName {
        let key = match self.fault {
            Some(Fault::FoldsCase) => LockName::new(name.as_str().to_lowercase()),
            Some(Fault::TrimsNames) => LockName::new(name.as_str().trim_end()),
            _ => return name.clone(),
        };
        key.unwrap_or_else(|_| name.clone())
    }

    /// One round trip there and back, in which other tasks get on.
    async fn trip(&self) -> Result<()> {
        self.shared.trips.fetch_add(1, Ordering::SeqCst);
        if self.link.load(Ordering::SeqCst) == 2 {
            return Err(Error::new(ErrorKind::Unavailable, "cut off"));
        }
        let mut connection = Connection(&self.shared, !self.has(Fault::DroppedCallLeaks));
        if self.shared.leaked.load(Ordering::SeqCst) >= Self::CONNECTIONS {
            connection.1 = true;
            return Err(Error::new(ErrorKind::Denied, "too many connections"));
        }
        yield_now().await;
        connection.1 = true;
        Ok(())
    }

    fn reply<T>(&self, answer: T) -> Result<T> {
        if self.link.load(Ordering::SeqCst) == 0 {
            return Ok(answer);
        }
        let kind = match self.fault {
            Some(Fault::UnknownIsCalledFailed) => ErrorKind::Unavailable,
            _ => ErrorKind::OutcomeUnknown,
        };
        Err(Error::new(kind, "no reply came"))
    }

    fn hint(&self, name: &LockName) {
        if !self.has(Fault::GivesNoHints) {
            let _ = self.shared.hints.send(name.clone());
        }
    }

    fn next_token(&self, entry: &Entry) -> u64 {
        let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64;
        match self.fault {
            Some(Fault::TokenRestartsAfterDeletion | Fault::TokenRestartsAfterRelease) => {
                entry.token + 1
            }
            Some(Fault::TokenRestartsAfterExpiry) if entry.lease.is_some() => 1,
            Some(Fault::TokenRestartsAfterExpiry) => entry.token + 1,
            _ => clock.max(entry.token + 1),
        }
    }

    fn record(&self, name: &LockName, entry: &Entry) -> Result<LockRecord> {
        let now = self.now();
        let lease = entry.lease.clone().filter(|lease| now < lease.expires);
        Ok(LockRecord {
            name: name.clone(),
            token: (entry.token > 0).then(|| FencingToken::new(entry.token)).transpose()?,
            lease: lease.map(|lease| LeaseRecord {
                id: lease.id,
                holder: lease.holder,
                held_for: now.saturating_sub(lease.granted),
                left: lease.expires - now,
                ending: lease.ending,
            }),
            disabled: entry.disablement(now),
        })
    }

    /// What to answer instead of a grant, if anything.
    fn refusal(
        &self,
        entry: &mut Entry,
        options: &AcquireOptions,
    ) -> Result<Option<AcquireOutcome>> {
        let now = self.now();
        let forgets = self.has(Fault::GrantForgetsDisable) && entry.lease.is_some();
        if let Some(disablement) = entry.disablement(now).filter(|_| !forgets) {
            return Ok(Some(AcquireOutcome::Disabled(disablement)));
        }
        let token = entry.token;
        let Some(lease) = entry.live(now) else { return Ok(None) };
        if lease.id == options.lease {
            if self.has(Fault::RetryIsANewGrant) {
                return Ok(None);
            }
            if self.has(Fault::RetryExtends) {
                lease.expires = now + options.ttl;
            }
        }
        let (token, left) = (FencingToken::new(token)?, lease.expires - now);
        Ok(Some(if lease.id == options.lease {
            AcquireOutcome::Granted(Grant { token, left })
        } else {
            AcquireOutcome::Held(Held { holder: lease.holder.clone(), token, left })
        }))
    }

    fn grant(&self, entry: &mut Entry, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let now = self.now();
        if !self.has(Fault::DroppedHalfway) {
            entry.token = self.next_token(entry);
        }
        let early = if self.has(Fault::EndsEarly) { options.ttl / 4 } else { Duration::ZERO };
        entry.disabled = None;
        entry.lease = Some(Lease {
            id: options.lease,
            holder: options.holder.clone(),
            granted: now,
            expires: now + options.ttl - early,
            ending: None,
        });
        let token = FencingToken::new(entry.token)?;
        Ok(AcquireOutcome::Granted(Grant { token, left: options.ttl }))
    }

    fn renew_one(&self, entry: &mut Entry, renewal: &RenewOptions) -> RenewOutcome {
        let now = self.now();
        if self.has(Fault::RenewForgetsDisable) {
            entry.disabled = None;
        }
        let (revives, any_id) = (self.has(Fault::RenewRevives), self.has(Fault::RenewIgnoresTheId));
        let lease = entry.lease.as_mut().filter(|lease| {
            (now < lease.expires || revives) && (lease.id == renewal.lease || any_id)
        });
        let Some(lease) = lease else { return RenewOutcome::Lost };
        if let Some(reason) = lease.ending.clone() {
            return RenewOutcome::Disabled { reason, left: lease.expires.saturating_sub(now) };
        }
        lease.expires = now + renewal.ttl;
        RenewOutcome::Extended { left: renewal.ttl }
    }
}

#[async_trait]
impl LockStore for BrokenStore {
    fn label(&self) -> &str {
        "broken:"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(10),
            ttl_step: Duration::from_nanos(1),
            clock: StoreClock::Machine,
            reach: Reach::Process,
            wake: Wake::Push,
            renew_batch: 1000,
        }
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
                self.refusal(self.shared.entries().entry(key.clone()).or_default(), options)?;
            yield_now().await;
        }
        if self.has(Fault::DroppedHalfway) {
            let free = {
                let mut entries = self.shared.entries();
                let entry = entries.entry(key.clone()).or_default();
                let free = self.refusal(entry, options)?.is_none();
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
                refusal = self.refusal(entry, options)?;
            }
            match refusal {
                Some(refusal) => refusal,
                None => self.grant(entry, options)?,
            }
        };
        self.reply(answer)
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
            let outcome = entry.map(|entry| self.renew_one(entry, renewal));
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
                _ => ReleaseOutcome::NotHeld,
            }
        };
        if outcome == ReleaseOutcome::Released {
            self.hint(name);
        }
        self.reply(outcome)
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
        // Enough of a pattern to show the difference.
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

    async fn watch(&self) -> Result<HintStream> {
        let receiver = self.shared.hints.subscribe();
        Ok(Box::pin(unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(name) => Some((Hint::Name(name), receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Hint::Anything, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })))
    }
}
