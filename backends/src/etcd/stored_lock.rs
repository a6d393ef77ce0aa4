//! The stored state of one name, collected from the keys of all families.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{KeyValue, TxnOpResponse, TxnResponse};

use super::client::BoundedCall;
use super::keys::{Family, Keys};
use super::record::{self, StoredLease};
use crate::{
    Disablement, Error, FencingToken, Holder, LeaseId, LeaseRecord, LockName, LockRecord, Reason,
    Result,
};

/// The stored state of one name, without the remaining time of its lease.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredLock {
    pub(super) lease: Option<StoredLease>,
    holder: Option<(Holder, Duration)>,
    ending: Option<Reason>,
    token: Option<FencingToken>,
    pub(super) disabled: Option<Disablement>,
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
        };
        if let Err(error) = read {
            self.corrupt.get_or_insert(error.for_lock(name));
        }
    }

    /// Returns the record of the name, with the remaining time of its lease, which is requested
    /// from etcd. It is the minimum for the lease `asker` itself, and the maximum for any other.
    ///
    /// The inner error means that the record cannot be read.
    pub(super) async fn into_record(
        self,
        call: &BoundedCall,
        keys: &Keys,
        name: LockName,
        asker: Option<LeaseId>,
    ) -> Result<Result<LockRecord>> {
        let Self { lease, holder, ending, token, disabled, corrupt } = self;
        if let Some(error) = corrupt {
            return Ok(Err(error));
        }
        let left = match lease {
            Some(lease) => call.time_to_live(lease.etcd_lease).await?,
            None => None,
        };
        let lease = match (lease, left, holder) {
            (Some(StoredLease { id, .. }), Some(left), Some((holder, held_for))) => {
                let left = if asker == Some(id) { left.for_holder } else { left.for_waiters };
                Some(LeaseRecord::new(id, holder, left).with_held_for(held_for).with_ending(ending))
            }
            (Some(_), Some(_), None) => {
                let error = record::contradiction(&keys.key(Family::Lease, &name));
                return Ok(Err(error.for_lock(&name)));
            }
            // The lease ended since its key was read.
            _ => None,
        };
        Ok(Ok(LockRecord::unused(name).with_token(token).with_lease(lease).with_disabled(disabled)))
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
    let stored_lock = stored_locks(keys, response).remove(name).unwrap_or_default();
    stored_lock.corrupt.clone().map_or(Ok(stored_lock), Err)
}
