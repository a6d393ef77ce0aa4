//! Builds the transactions, each of which etcd runs as one atomic operation.

use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use super::keys::{Family, Keys};
use super::record::{self, StoredLease};
use crate::{AcquireOptions, DisableOptions, LeaseId, LockName, Reason};

/// Reads all keys of one name.
pub(super) fn read(keys: &Keys, name: &LockName) -> Txn {
    Txn::new().and_then(reads(keys, name, &Family::ALL))
}

pub(super) fn reads(keys: &Keys, name: &LockName, families: &[Family]) -> Vec<TxnOp> {
    let read = |family: &Family| match family {
        Family::Entry => {
            let (start, end) = keys.entries(name);
            TxnOp::get(start, Some(GetOptions::new().with_range(end)))
        }
        family => TxnOp::get(keys.key(*family, name), None),
    };
    families.iter().map(read).collect()
}

/// Puts the keys of a lock, attached to an etcd lease. If the name is held or disabled, or has a
/// queue, all keys of the name are read instead.
pub(super) fn grant(
    keys: &Keys,
    name: &LockName,
    options: &AcquireOptions,
    etcd_lease: i64,
) -> Txn {
    let key = |family| keys.key(family, name);
    let attached = || Some(PutOptions::new().with_lease(etcd_lease));
    Txn::new()
        .when([
            is_absent(key(Family::Lease)),
            is_absent(key(Family::Disabled)),
            has_no_entries(keys, name),
        ])
        .and_then([
            TxnOp::put(key(Family::Lease), options.lease.to_string(), attached()),
            TxnOp::put(key(Family::Holder), record::holder_value(&options.holder), attached()),
            TxnOp::put(key(Family::Granted), record::granted_value(), None),
        ])
        .or_else(reads(keys, name, &Family::ALL))
}

/// If a lease is in force, reads its key, and deletes the keys that are attached to its etcd lease.
pub(super) fn release(keys: &Keys, name: &LockName, lease: LeaseId) -> Txn {
    let key = |family| keys.key(family, name);
    Txn::new()
        .when([Compare::value(key(Family::Lease), CompareOp::Equal, lease.to_string())])
        .and_then([
            TxnOp::get(key(Family::Lease), None),
            TxnOp::delete(key(Family::Lease), None),
            TxnOp::delete(key(Family::Holder), None),
            TxnOp::delete(key(Family::Ending), None),
        ])
}

/// Reads the keys on which [`disable`] depends.
pub(super) fn read_before_disable(keys: &Keys, name: &LockName) -> Txn {
    Txn::new().and_then(reads(keys, name, &[Family::Disabled, Family::Lease]))
}

/// Disables a name, and tells the holder of its lease to stop and all entries of its queue to leave.
/// If the name is already disabled, or its lease is another one, both keys are read instead.
pub(super) fn disable(
    keys: &Keys,
    name: &LockName,
    options: &DisableOptions,
    lease: Option<StoredLease>,
) -> Txn {
    let key = |family| keys.key(family, name);
    let mut puts = vec![TxnOp::put(key(Family::Disabled), record::disabled_value(options), None)];
    puts.extend(lease.map(|lease| {
        let attached = PutOptions::new().with_lease(lease.etcd_lease);
        TxnOp::put(key(Family::Ending), options.reason.as_str(), Some(attached))
    }));
    puts.push(TxnOp::txn(tell_to_leave(keys, name, &options.reason)));
    let revision = lease.map_or(0, |lease| lease.revision);
    Txn::new()
        .when([
            is_absent(key(Family::Disabled)),
            Compare::mod_revision(key(Family::Lease), CompareOp::Equal, revision),
        ])
        .and_then(puts)
        .or_else(reads(keys, name, &[Family::Disabled, Family::Lease]))
}

/// Tells all entries to leave, if there are any. Later ones have greater revisions, so it does not
/// concern them.
fn tell_to_leave(keys: &Keys, name: &LockName, reason: &Reason) -> Txn {
    let (start, end) = keys.entries(name);
    let reason = TxnOp::put(keys.key(Family::LeaveReason, name), reason.as_str(), None);
    Txn::new()
        .when([Compare::create_revision(start, CompareOp::Greater, 0).with_range(end)])
        .and_then([reason])
}

/// Enables a name, if it is disabled.
pub(super) fn enable(keys: &Keys, name: &LockName) -> Txn {
    let key = keys.key(Family::Disabled, name);
    Txn::new()
        .when([Compare::create_revision(key.clone(), CompareOp::Greater, 0)])
        .and_then([TxnOp::delete(key, None)])
}

/// Reads two keys for each name: its lease, and whether the holder must stop.
pub(super) fn read_leases(keys: &Keys, names: &[&LockName]) -> Txn {
    // Exactly the keys of each name are read, so that keys of other names do not make the answer
    // longer.
    let families = [Family::Lease, Family::Ending];
    let operations: Vec<_> = names.iter().flat_map(|name| reads(keys, name, &families)).collect();
    Txn::new().and_then(operations)
}

/// Attaches the keys of a lease to another etcd lease, unless they changed or the holder must stop.
pub(super) fn move_lease(keys: &Keys, name: &LockName, lease: StoredLease, to: i64) -> Txn {
    let key = |family| keys.key(family, name);
    let attached = || Some(PutOptions::new().with_lease(to).with_ignore_value());
    Txn::new()
        .when([
            Compare::mod_revision(key(Family::Lease), CompareOp::Equal, lease.revision),
            is_absent(key(Family::Ending)),
        ])
        .and_then([
            TxnOp::put(key(Family::Lease), "", attached()),
            TxnOp::put(key(Family::Holder), "", attached()),
        ])
}

/// Counts the keys of the lease, of the disablement and of the entries of each name.
pub(super) fn count_uses<'n>(keys: &Keys, names: impl Iterator<Item = &'n LockName>) -> Txn {
    let count = |family, name| {
        let range = GetOptions::new().with_count_only();
        TxnOp::get(keys.key(family, name), Some(range))
    };
    let count_entries = |name| {
        let (start, end) = keys.entries(name);
        TxnOp::get(start, Some(GetOptions::new().with_range(end).with_count_only()))
    };
    let mut counts = Vec::new();
    for name in names {
        counts.push(count(Family::Lease, name));
        counts.push(count(Family::Disabled, name));
        counts.push(count_entries(name));
    }
    Txn::new().and_then(counts)
}

/// Removes the keys of an unused name, unless the name was granted or disabled since that revision.
pub(super) fn prune(keys: &Keys, name: &LockName, revision: i64) -> Txn {
    let key = |family| keys.key(family, name);
    Txn::new()
        .when([
            Compare::mod_revision(key(Family::Granted), CompareOp::Equal, revision),
            is_absent(key(Family::Lease)),
            is_absent(key(Family::Disabled)),
            has_no_entries(keys, name),
        ])
        .and_then([
            TxnOp::delete(key(Family::Granted), None),
            TxnOp::delete(key(Family::LeaveReason), None),
        ])
}

/// Reads one key.
pub(super) fn read_key(key: &[u8]) -> Txn {
    Txn::new().and_then([TxnOp::get(key, None)])
}

/// Reads all keys of a range.
pub(super) fn read_range(start: Vec<u8>, range: GetOptions) -> Txn {
    Txn::new().and_then([TxnOp::get(start, Some(range))])
}

/// Reads one key, and then puts a value there, attached to an etcd lease.
pub(super) fn replace(key: &[u8], value: &str, etcd_lease: i64) -> Txn {
    let attached = PutOptions::new().with_lease(etcd_lease);
    Txn::new().and_then([TxnOp::get(key, None), TxnOp::put(key, value, Some(attached))])
}

/// Reads one key, and then deletes it.
pub(super) fn remove(key: &[u8]) -> Txn {
    Txn::new().and_then([TxnOp::get(key, None), TxnOp::delete(key, None)])
}

/// Returns the first key that the first operation of a transaction read.
pub(super) fn first_key(response: &TxnResponse) -> Option<KeyValue> {
    match response.op_responses().into_iter().next() {
        Some(TxnOpResponse::Get(mut got)) => got.take_kvs().into_iter().next(),
        _ => None,
    }
}

pub(super) fn is_absent(key: Vec<u8>) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, 0)
}

/// Requires that the queue of the name is empty.
///
/// A comparison of a range holds if it holds for each key in it. If there is none, the revision is
/// 0, as for a single key that is absent.
fn has_no_entries(keys: &Keys, name: &LockName) -> Compare {
    let (start, end) = keys.entries(name);
    is_absent(start).with_range(end)
}
