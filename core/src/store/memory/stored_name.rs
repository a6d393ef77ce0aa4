//! A stored name is what the memory store keeps of one name.

use crate::{
    Disablement, FencingToken, Holder, LeaseId, LeaseRecord, LockName, LockRecord, Moment, Reason,
    Result,
};

#[derive(Debug, Default)]
pub(super) struct StoredName {
    pub(super) token: u64,
    /// The latest grant took place at this time; `None` means that there was no grant.
    pub(super) granted: Option<Moment>,
    pub(super) lease: Option<StoredLease>,
    pub(super) disabled: Option<StoredDisable>,
}

#[derive(Debug)]
pub(super) struct StoredLease {
    pub(super) id: LeaseId,
    pub(super) holder: Holder,
    pub(super) granted: Moment,
    pub(super) expires: Moment,
    pub(super) ending: Option<Reason>,
}

#[derive(Debug)]
pub(super) struct StoredDisable {
    pub(super) reason: Reason,
    pub(super) by: Option<String>,
    pub(super) at: Moment,
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
    /// Returns the lease in force, if any.
    pub(super) fn lease_in_force(&mut self, now: Moment) -> Option<&mut StoredLease> {
        self.lease.as_mut().filter(|lease| now < lease.expires)
    }

    /// Returns the lease in force if it has that id.
    pub(super) fn own_lease_in_force(
        &mut self,
        id: LeaseId,
        now: Moment,
    ) -> Option<&mut StoredLease> {
        self.lease_in_force(now).filter(|lease| lease.id == id)
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
        Ok(LockRecord {
            name: name.clone(),
            token: (self.token > 0).then(|| FencingToken::new(self.token)).transpose()?,
            lease,
            disabled: self.disabled.as_ref().map(|disabled| disabled.describe(now)),
            corrupt: None,
        })
    }
}
