//! What the example `own_store` stores of a name, and how each operation changes that.
//!
//! These functions know no datastore. They get the time in microseconds of the store's clock. A
//! backend whose client decides loads the lock, calls one of them and saves the lock, all in one
//! write transaction of the datastore.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold::{
    AcquireOptions, DisableOptions, Disablement, FencingToken, Grant, Holder, LeaseId, LeaseRecord,
    LockName, LockRecord, Reason, Result,
};

/// A datastore has a column or a field for each of these values.
#[derive(Debug, Default)]
pub(crate) struct StoredLock {
    /// The token of the latest grant stays when the lease ends, so that the next one is larger.
    token: Option<FencingToken>,
    granted_at: u64,
    lease: Option<StoredLease>,
    disabled: Option<StoredDisablement>,
}

#[derive(Debug)]
struct StoredLease {
    id: LeaseId,
    holder: Holder,
    expires_at: u64,
    /// The holder has to stop if this is set, even after the name was enabled again.
    ending: Option<Reason>,
}

#[derive(Debug)]
struct StoredDisablement {
    reason: Reason,
    by: Option<String>,
    at: u64,
}

impl StoredLock {
    /// Grants the name, unless it is held or disabled.
    pub(crate) fn grant(&mut self, options: &AcquireOptions, now: u64) -> Result<Option<Grant>> {
        if self.lease_in_force(now).is_some() || self.disabled.is_some() {
            return Ok(None);
        }
        // The clock makes tokens grow even if the record of the earlier ones was removed.
        let next = self.token.map_or(0, FencingToken::get) + 1;
        let token = FencingToken::new(next.max(now))?;
        let ttl = micros(options.ttl);
        self.token = Some(token);
        self.granted_at = now;
        self.lease = Some(StoredLease {
            id: options.lease,
            holder: options.holder.clone(),
            expires_at: now + ttl,
            ending: None,
        });
        Ok(Some(Grant::new(token, Duration::from_micros(ttl))))
    }

    /// Extends the lease of that id, if it is in force and its holder need not stop.
    pub(crate) fn extend(&mut self, id: LeaseId, ttl: Duration, now: u64) {
        let lease = self.own_lease_in_force(id, now);
        if let Some(lease) = lease.filter(|lease| lease.ending.is_none()) {
            lease.expires_at = now + micros(ttl);
        }
    }

    /// Ends the lease of that id, and returns whether it was in force.
    pub(crate) fn end(&mut self, id: LeaseId, now: u64) -> bool {
        let in_force = self.own_lease_in_force(id, now).is_some();
        if in_force {
            self.lease = None;
        }
        in_force
    }

    /// Disables the name, and returns whether it was enabled. The first reason stays.
    pub(crate) fn disable(&mut self, options: &DisableOptions, now: u64) -> bool {
        if self.disabled.is_some() {
            return false;
        }
        let (reason, by) = (options.reason.clone(), options.by.clone());
        if let Some(lease) = &mut self.lease {
            lease.ending = Some(reason.clone());
        }
        self.disabled = Some(StoredDisablement { reason, by, at: now });
        true
    }

    /// Enables the name, and returns whether it was disabled. The holder of a lease in force still
    /// has to stop.
    pub(crate) fn enable(&mut self) -> bool {
        self.disabled.take().is_some()
    }

    /// Returns whether the record may be removed.
    pub(crate) fn is_unused(&self, unused_for: Duration, now: u64) -> bool {
        // The next token is taken from the clock, so it is larger only if this one is below it.
        let token_is_past = self.token.is_none_or(|token| token.get() < now);
        let unused_since = self.granted_at.saturating_add(micros(unused_for));
        let is_free = self.lease_in_force(now).is_none() && self.disabled.is_none();
        is_free && token_is_past && unused_since <= now
    }

    /// Returns what the store shows of the name.
    pub(crate) fn record(&self, name: &LockName, now: u64) -> LockRecord {
        let since = |then: u64| Duration::from_micros(now.saturating_sub(then));
        let lease = self.lease_in_force(now).map(|lease| {
            let left = Duration::from_micros(lease.expires_at.saturating_sub(now));
            LeaseRecord::new(lease.id, lease.holder.clone(), left)
                .with_held_for(since(self.granted_at))
                .with_ending(lease.ending.clone())
        });
        let disabled = self.disabled.as_ref().map(|disabled| {
            Disablement::new(disabled.reason.clone())
                .with_by(disabled.by.clone())
                .with_since(since(disabled.at))
        });
        LockRecord::unused(name.clone())
            .with_token(self.token)
            .with_lease(lease)
            .with_disabled(disabled)
    }

    fn lease_in_force(&self, now: u64) -> Option<&StoredLease> {
        self.lease.as_ref().filter(|lease| now < lease.expires_at)
    }

    fn own_lease_in_force(&mut self, id: LeaseId, now: u64) -> Option<&mut StoredLease> {
        self.lease.as_mut().filter(|lease| lease.id == id && now < lease.expires_at)
    }
}

/// Reads the store's clock. Where a server decides, this is the server's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

/// Returns the microseconds, rounded up to the step that `MapBackend::capabilities` declares.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}
