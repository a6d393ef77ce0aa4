//! Gives the fuzzer access to the readers of this module, and to its writers.

use std::time::Duration;

use etcd_client::KeyValue;

use super::keys::{Family, Keys};
use super::{entry, record};
use crate::{
    DisableOptions, Disablement, EnterOptions, FencingToken, Holder, LeaseId, LockKind, LockName,
    Namespace, Reason, Result,
};

/// The value that was read from a key of each family.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// The lease, and the etcd lease that it is attached to.
    Lease(LeaseId, i64),
    /// The holder, and for how long it has held the lock.
    Holder(Holder, Duration),
    /// The reason why the holder must stop.
    Ending(Reason),
    /// The token of the latest grant.
    Granted(FencingToken),
    /// The reason why the name is disabled, by whom and since when.
    Disabled(Disablement),
    /// The lease of an entry, the kind of the lock, its weight, its holder, and the etcd lease that
    /// it is attached to.
    Entry(LeaseId, LockKind, u32, Holder, i64),
    /// The reason why earlier entries have to leave.
    LeaveReason(Reason),
}

/// Reads a key and the name in it; `None` for a key outside the namespace.
pub fn read<'k>(namespace: &Namespace, kv: &'k KeyValue) -> Option<(&'k str, Result<Read>)> {
    let (family, name) = Keys::new("", namespace).parse(kv.key())?;
    let read = match family {
        Family::Lease => record::lease(kv).map(|lease| Read::Lease(lease.id, lease.etcd_lease)),
        Family::Holder => record::holder(kv).map(|(holder, since)| Read::Holder(holder, since)),
        Family::Ending => record::ending(kv).map(Read::Ending),
        Family::Granted => record::token(kv).map(Read::Granted),
        Family::Disabled => record::disabled(kv).map(Read::Disabled),
        Family::Entry => entry::read(kv).map(|entry| {
            let entry::StoredEntry { lease, kind, weight, holder, etcd_lease, .. } = entry;
            Read::Entry(lease, kind, weight, holder, etcd_lease)
        }),
        Family::LeaveReason => record::ending(kv).map(Read::LeaveReason),
    };
    Some((name, read))
}

/// Returns the key of a name in each family in which it has one, in the order of [`Read`].
pub fn keys(namespace: &Namespace, name: &LockName) -> [Vec<u8>; 6] {
    let families = [
        Family::Lease,
        Family::Holder,
        Family::Ending,
        Family::Granted,
        Family::Disabled,
        Family::LeaveReason,
    ];
    families.map(|family| Keys::new("", namespace).key(family, name))
}

/// Returns the key of an entry.
pub fn entry_key(namespace: &Namespace, name: &LockName, lease: LeaseId) -> Vec<u8> {
    Keys::new("", namespace).entry(name, lease)
}

/// Returns the value that is written for an entry.
pub fn entry_value(options: &EnterOptions) -> Vec<u8> {
    entry::value(options)
}

/// Returns the value that is written for a holder.
pub fn holder(holder: &Holder) -> Vec<u8> {
    record::holder_value(holder)
}

/// Returns the value that is written when a name is disabled.
pub fn disabled(options: &DisableOptions) -> Vec<u8> {
    record::disabled_value(options)
}
