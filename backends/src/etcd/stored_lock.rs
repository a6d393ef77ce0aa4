//! The stored state of one name, collected from the keys of all families.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{KeyValue, TxnOpResponse, TxnResponse};

use super::entry::{self, StoredEntry};
use super::keys::{Family, Keys};
use super::record::{self, StoredLease};
use super::times_left::TimesLeft;
use crate::{
    Disablement, EntryRecord, Error, FencingToken, Holder, LeaseId, LeaseRecord, LockKind,
    LockName, LockRecord, Reason, Result, count_holding,
};

/// The stored state of one name, without the remaining times of its lease and entries.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredLock {
    pub(super) lease: Option<StoredLease>,
    holder: Option<(Holder, Duration)>,
    ending: Option<Reason>,
    token: Option<FencingToken>,
    pub(super) disabled: Option<Disablement>,
    /// The entries of the queue by the revisions in which they were created.
    entries: BTreeMap<i64, StoredEntry>,
    /// Why the entries that were created before this revision have to leave.
    leave_reason: Option<(Reason, i64)>,
    /// The error of the first key that cannot be read.
    corrupt: Option<Error>,
}

impl StoredLock {
    /// Reads one of the keys. A key that cannot be read is an error for its own name only.
    fn add(&mut self, family: Family, name: &LockName, kv: &KeyValue) {
        let read = match family {
            Family::Lease => record::lease(kv).map(|lease| self.lease = Some(lease)),
            Family::Holder => record::holder(kv).map(|holder| self.holder = Some(holder)),
            Family::Ending => record::ending(kv).map(|reason| self.ending = Some(reason)),
            Family::Granted => record::token(kv).map(|token| self.token = Some(token)),
            Family::Disabled => record::disabled(kv).map(|why| self.disabled = Some(why)),
            Family::Entry => entry::read(kv).and_then(|entry| self.add_entry(kv, entry)),
            Family::LeaveReason => record::ending(kv)
                .map(|reason| self.leave_reason = Some((reason, kv.mod_revision()))),
        };
        if let Err(error) = read {
            self.corrupt.get_or_insert(error.for_lock(name));
        }
    }

    /// Returns the state if every key of it could be read.
    pub(super) fn checked(self) -> Result<Self> {
        match self.corrupt {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }

    fn add_entry(&mut self, kv: &KeyValue, entry: StoredEntry) -> Result<()> {
        if self.kind().is_some_and(|kind| kind != entry.kind) {
            return Err(record::corrupt(kv, "another entry of the queue has another kind of lock"));
        }
        if self.entries.insert(entry.created, entry).is_some() {
            return Err(record::corrupt(kv, "another entry was created in the same revision"));
        }
        Ok(())
    }

    /// Returns the kind of the lock, if it has a queue.
    fn kind(&self) -> Option<LockKind> {
        self.entries.values().next().map(|entry| entry.kind)
    }

    pub(super) fn has_no_entries(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entries of the queue, in order.
    pub(super) fn entries(
        &self,
    ) -> impl DoubleEndedIterator<Item = &StoredEntry> + ExactSizeIterator {
        self.entries.values()
    }

    /// Returns the entry of that lease.
    pub(super) fn entry(&self, lease: LeaseId) -> Option<&StoredEntry> {
        self.entries().find(|entry| entry.lease == lease)
    }

    /// Returns how many of the first entries hold the lock.
    pub(super) fn holding(&self) -> usize {
        let capacity = self.kind().map_or(0, LockKind::capacity);
        count_holding(self.entries().map(|entry| entry.weight), capacity)
    }

    /// Returns why an entry has to leave, if it was told to.
    pub(super) fn reason_to_leave(&self, entry: &StoredEntry) -> Option<&Reason> {
        let (reason, revision) = self.leave_reason.as_ref()?;
        (entry.created < *revision).then_some(reason)
    }

    /// Returns the etcd leases of the lease and of all entries.
    pub(super) fn etcd_leases(&self) -> impl Iterator<Item = i64> {
        let lease = self.lease.iter().map(|lease| lease.etcd_lease);
        lease.chain(self.entries().map(|entry| entry.etcd_lease))
    }

    /// Returns the record of the name with these remaining times. For the lease or the entry of
    /// `asker` it has the minimum that is left, and for all others the maximum.
    ///
    /// A lease whose remaining time is not among them has ended. An entry has not: its key exists.
    pub(super) fn into_record(
        self,
        keys: &Keys,
        name: LockName,
        asker: Option<LeaseId>,
        times: &TimesLeft,
    ) -> Result<LockRecord> {
        if let Some(error) = &self.corrupt {
            return Err(error.clone());
        }
        let entries = self.entries.values().map(|entry| {
            let left = times.of_entry(entry.etcd_lease, asker == Some(entry.lease));
            let token = record::token_of(entry.created)?;
            let record = EntryRecord::new(entry.lease, entry.holder.clone(), token, left);
            let record = record.with_weight(entry.weight).with_entered(entry.entered);
            Ok(record.with_ending(self.reason_to_leave(entry).cloned()))
        });
        let entries: Vec<_> = entries.collect::<Result<_>>()?;
        let kind = self.kind().unwrap_or(LockKind::Exclusive);
        let token = self.token.max(entries.last().map(|entry| entry.token));
        let left = self.lease.and_then(|lease| times.of_lease(lease.etcd_lease));
        let lease = match (self.lease, left, self.holder) {
            (Some(StoredLease { id, .. }), Some(left), Some((holder, held_for))) => {
                let left = if asker == Some(id) { left.for_holder } else { left.for_waiters };
                let lease = LeaseRecord::new(id, holder, left).with_held_for(held_for);
                Some(lease.with_ending(self.ending))
            }
            (Some(_), Some(_), None) => {
                let error = record::contradiction(&keys.key(Family::Lease, &name));
                return Err(error.for_lock(&name));
            }
            // The lease ended since its key was read.
            _ => None,
        };
        let record = LockRecord::unused(name).with_token(token).with_lease(lease);
        Ok(record.with_queue(kind, entries).with_disabled(self.disabled))
    }
}

/// Collects the keys in a response by name. Keys that contain no valid name are skipped.
pub(super) fn stored_locks(keys: &Keys, response: &TxnResponse) -> BTreeMap<LockName, StoredLock> {
    let mut stored_locks = BTreeMap::<LockName, StoredLock>::new();
    for answer in response.op_responses() {
        let TxnOpResponse::Get(got) = answer else { continue };
        for kv in got.kvs() {
            let Some((family, name)) = keys.parse(kv.key()) else { continue };
            let Ok(name) = LockName::new(name) else { continue };
            stored_locks.entry(name.clone()).or_default().add(family, &name, kv);
        }
    }
    stored_locks
}

/// Returns the stored state of the name. Every key of it must be readable.
pub(super) fn readable(keys: &Keys, response: &TxnResponse, name: &LockName) -> Result<StoredLock> {
    stored_locks(keys, response).remove(name).unwrap_or_default().checked()
}
