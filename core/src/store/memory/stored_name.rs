//! A stored name is what the memory store keeps of one name.

use std::time::Duration;

use super::stored_queue::StoredQueue;
use crate::{
    AcquireOptions, AcquireOutcome, DisableOptions, Disablement, EnterOptions, Error, ErrorKind,
    FencingToken, Grant, Held, Holder, LeaseId, LeaseRecord, LockKind, LockName, LockRecord,
    Moment, Reason, RenewOptions, RenewOutcome, Result,
};

#[derive(Debug, Default)]
pub(super) struct StoredName {
    /// This is the largest token of a grant or an entry.
    pub(super) token: u64,
    /// The latest grant or entry was made at this time; `None` means that there was none.
    granted: Option<Moment>,
    lease: Option<StoredLease>,
    pub(super) queue: Option<StoredQueue>,
    pub(super) disabled: Option<StoredDisable>,
}

#[derive(Debug)]
struct StoredLease {
    id: LeaseId,
    holder: Holder,
    granted: Moment,
    expires: Moment,
    ending: Option<Reason>,
}

#[derive(Debug)]
pub(super) struct StoredDisable {
    reason: Reason,
    by: Option<String>,
    at: Moment,
}

impl StoredDisable {
    pub(super) fn describe(&self, now: Moment) -> Disablement {
        Disablement {
            reason: self.reason.clone(),
            by: self.by.clone(),
            since: now.saturating_since(self.at),
        }
    }
}

impl StoredName {
    /// Decides about an attempt to acquire the name. A new token is larger than `pruned`.
    pub(super) fn acquire(
        &mut self,
        name: &LockName,
        options: &AcquireOptions,
        pruned: u64,
        now: Moment,
    ) -> Result<AcquireOutcome> {
        if let Some(disabled) = &self.disabled {
            return Ok(AcquireOutcome::Disabled(disabled.describe(now)));
        }
        if let Some(queue) = self.queue.as_ref().filter(|queue| queue.has_live_entries(now)) {
            return Err(LockKind::Exclusive.conflict(queue.kind, name));
        }
        let token = self.token;
        if let Some(lease) = self.lease_in_force(now) {
            let token = FencingToken::new(token)?;
            let left = lease.expires.saturating_since(now);
            return Ok(if lease.id == options.lease {
                AcquireOutcome::Granted(Grant::new(token, left))
            } else {
                AcquireOutcome::Held(Held::new(lease.holder.clone(), token, left))
            });
        }
        let token = self.next_token(pruned, now)?;
        self.queue = None;
        self.lease = Some(StoredLease {
            id: options.lease,
            holder: options.holder.clone(),
            granted: now,
            expires: now + options.ttl,
            ending: None,
        });
        Ok(AcquireOutcome::Granted(Grant::new(token, options.ttl)))
    }

    /// Decides about an attempt to enter the queue. A new token is larger than `pruned`.
    pub(super) fn enter(
        &mut self,
        name: &LockName,
        options: &EnterOptions,
        pruned: u64,
        now: Moment,
    ) -> Result<AcquireOutcome> {
        if let Some(outcome) = self.record(name, now)?.enter_outcome(options)? {
            return Ok(outcome);
        }
        let token = self.next_token(pruned, now)?;
        self.lease = None;
        // A queue without live entries may be one of another kind.
        let live = self.queue.take().filter(|queue| queue.has_live_entries(now));
        let mut queue = live.unwrap_or_else(|| StoredQueue::new(options.kind));
        queue.push(options, token, now);
        self.queue = Some(queue);
        self.record(name, now)?.enter_outcome(options)?.ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the queue lacks its new entry").for_lock(name)
        })
    }

    /// Returns the token of a grant or an entry that is made now.
    fn next_token(&mut self, pruned: u64, now: Moment) -> Result<FencingToken> {
        self.token = self.token.max(pruned) + 1;
        self.granted = Some(now);
        FencingToken::new(self.token)
    }

    pub(super) fn renew(&mut self, renewal: &RenewOptions, now: Moment) -> RenewOutcome {
        let Some(lease) = self.lease_in_force(now).filter(|lease| lease.id == renewal.lease) else {
            return RenewOutcome::Lost;
        };
        if let Some(reason) = &lease.ending {
            let left = lease.expires.saturating_since(now);
            return RenewOutcome::disabled(reason.clone(), left);
        }
        lease.expires = now + renewal.ttl;
        RenewOutcome::extended(renewal.ttl)
    }

    pub(super) fn renew_entry(&mut self, renewal: &RenewOptions, now: Moment) -> RenewOutcome {
        if let Some(queue) = &mut self.queue {
            queue.extend(renewal.lease, renewal.ttl, now);
        }
        match self.record(&renewal.name, now) {
            Ok(record) => record.renew_entry_outcome(renewal.lease),
            Err(error) => RenewOutcome::unknown(error.to_string()),
        }
    }

    /// Ends the lease of that id, and returns whether it was in force.
    pub(super) fn release(&mut self, id: LeaseId, now: Moment) -> bool {
        let is_own = self.lease_in_force(now).is_some_and(|lease| lease.id == id);
        if is_own {
            self.lease = None;
        }
        is_own
    }

    /// Disables the name, which is enabled.
    pub(super) fn disable(&mut self, options: &DisableOptions, now: Moment) {
        let DisableOptions { reason, by } = options;
        self.disabled = Some(StoredDisable { reason: reason.clone(), by: by.clone(), at: now });
        if let Some(lease) = self.lease_in_force(now) {
            lease.ending = Some(reason.clone());
        }
        if let Some(queue) = &mut self.queue {
            queue.end(reason);
        }
    }

    /// Returns the lease in force, if any.
    fn lease_in_force(&mut self, now: Moment) -> Option<&mut StoredLease> {
        self.lease.as_mut().filter(|lease| now < lease.expires)
    }

    /// Returns whether the name is free and enabled, and its latest grant is at least that long ago.
    pub(super) fn is_unused(&self, unused_for: Duration, now: Moment) -> bool {
        self.disabled.is_none()
            && self.lease.as_ref().is_none_or(|lease| now >= lease.expires)
            && !self.queue.as_ref().is_some_and(|queue| queue.has_live_entries(now))
            && self.granted.is_none_or(|at| now.saturating_since(at) >= unused_for)
    }

    /// Returns the record of the name as clients see it.
    pub(super) fn record(&self, name: &LockName, now: Moment) -> Result<LockRecord> {
        let lease = self.lease.as_ref().filter(|lease| now < lease.expires);
        let lease = lease.map(|lease| LeaseRecord {
            id: lease.id,
            holder: lease.holder.clone(),
            held_for: now.saturating_since(lease.granted),
            left: lease.expires.saturating_since(now),
            ending: lease.ending.clone(),
        });
        let token = (self.token > 0).then(|| FencingToken::new(self.token)).transpose()?;
        let disabled = self.disabled.as_ref().map(|disabled| disabled.describe(now));
        let record = LockRecord::unused(name.clone())
            .with_token(token)
            .with_lease(lease)
            .with_disabled(disabled);
        Ok(match &self.queue {
            Some(queue) => record.with_queue(queue.kind, queue.records(now)),
            None => record,
        })
    }
}
