//! This module has the decisions of a small store that keeps every promise except the one that its
//! fault breaks.

mod calls;
mod entries;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use leasehold_core::{
    AcquireOptions, AcquireOutcome, Disablement, Error, ErrorKind, FencingToken, Grant, Held, Hint,
    Holder, LeaseId, LeaseRecord, LockKind, LockName, LockRecord, Reason, RenewOptions,
    RenewOutcome, Result,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast;
use tokio::task::yield_now;

use super::fault::Fault;
use queue::Queue;

/// This is the state that the clients of one namespace share.
#[derive(Debug)]
pub(crate) struct Shared {
    origin: Instant,
    entries: Mutex<BTreeMap<LockName, Entry>>,
    hints: broadcast::Sender<Hint>,
    /// This is the number of round trips so far.
    pub(crate) trips: AtomicU64,
    /// This is the number of connections that dropped calls kept.
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
        self.entries.lock()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Entry {
    created: u64,
    token: u64,
    lease: Option<Lease>,
    queue: Option<Queue>,
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

    fn is_in_use(&self, now: Duration) -> bool {
        let has_entries = self.queue.as_ref().is_some_and(|queue| queue.is_in_use(now));
        has_entries || self.in_force(now).is_some()
    }

    fn disablement(&self, now: Duration) -> Option<Disablement> {
        self.disabled.clone().map(|(reason, by, at)| {
            Disablement::new(reason).with_by(by).with_since(now.saturating_sub(at))
        })
    }
}

/// This is one client of the store.
#[derive(Clone, Debug)]
pub(crate) struct BrokenStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) fault: Option<Fault>,
    /// This is the error of this client's own clock, which only one fault uses.
    pub(crate) skew: Duration,
    /// The value is 0 if the link works, 1 if replies are withheld, and 2 if it is cut.
    pub(crate) link: Arc<AtomicU8>,
}

/// Counts a connection as leaked unless its call has ended.
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

    /// Makes one round trip, during which other tasks run.
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
        self.send_hint(Hint::Name(name.clone()));
    }

    fn send_hint(&self, hint: Hint) {
        if !self.has(Fault::GivesNoHints) {
            let _ = self.shared.hints.send(hint);
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
        let record = LockRecord::unused(name.clone())
            .with_token((entry.token > 0).then(|| FencingToken::new(entry.token)).transpose()?)
            .with_lease(lease.map(|lease| {
                LeaseRecord::new(lease.id, lease.holder, lease.expires - now)
                    .with_held_for(now.saturating_sub(lease.granted))
                    .with_ending(lease.ending)
            }))
            .with_disabled(entry.disablement(now));
        Ok(match &entry.queue {
            Some(queue) => record.with_queue(queue.kind, queue.records(now)?),
            None => record,
        })
    }

    /// Returns the answer if the name cannot be granted.
    fn refusal(
        &self,
        name: &LockName,
        entry: &mut Entry,
        options: &AcquireOptions,
    ) -> Result<Option<AcquireOutcome>> {
        let now = self.now();
        let forgets = self.has(Fault::GrantForgetsDisable) && entry.lease.is_some();
        if let Some(disablement) = entry.disablement(now).filter(|_| !forgets) {
            return Ok(Some(AcquireOutcome::Disabled(disablement)));
        }
        if let Some(queue) = entry.queue.as_ref().filter(|queue| queue.is_in_use(now))
            && !self.has(Fault::AcquireIgnoresEntries)
        {
            return Err(LockKind::Exclusive.conflict(queue.kind, name));
        }
        let token = entry.token;
        let Some(lease) = entry.live(now) else { return Ok(None) };
        if lease.id == options.lease {
            if self.has(Fault::RetryGrantsAgain) {
                return Ok(None);
            }
            if self.has(Fault::RetryExtends) {
                lease.expires = now + options.ttl;
            }
        }
        let (token, left) = (FencingToken::new(token)?, lease.expires - now);
        Ok(Some(if lease.id == options.lease {
            AcquireOutcome::Granted(Grant::new(token, left))
        } else {
            AcquireOutcome::Held(Held::new(lease.holder.clone(), token, left))
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
        Ok(AcquireOutcome::Granted(Grant::new(token, options.ttl)))
    }

    /// Returns whether a prune removes the name.
    fn is_prunable(&self, entry: &Entry, unused_for: Duration, now: Duration) -> bool {
        let granted = entry.token.max(1) - 1;
        let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64;
        let old = u128::from(clock.saturating_sub(granted)) >= unused_for.as_micros();
        (entry.disabled.is_none() || self.has(Fault::PruneForgetsDisable))
            && (!entry.is_in_use(now) || self.has(Fault::PruneRemovesHeldNames))
            && (old || self.has(Fault::PruneIgnoresTheAge))
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
            return RenewOutcome::disabled(reason, lease.expires.saturating_sub(now));
        }
        lease.expires = now + renewal.ttl;
        RenewOutcome::extended(renewal.ttl)
    }
}
