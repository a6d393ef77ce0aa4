//! Builds the transactions on the queues of names.
//!
//! A queue has a key for each entry, which is attached to an etcd lease of its own: an entry is live
//! as long as its key exists, and nothing else decides that. The revision in which a key was created
//! is the token of its entry, and stays when the key moves to another etcd lease.

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::entry::{self, StoredEntry};
use super::keys::{Family, Keys};
use super::record;
use super::stored_lock::StoredLock;
use super::transaction::{is_absent, reads};
use crate::{EnterOptions, LockName, MAX_ENTRIES};

/// Adds an entry, attached to an etcd lease, and reads all keys of the name, if nothing prevents
/// the entry now.
///
/// `seen` was read at that revision, and nothing prevented the entry then. So the comparisons only
/// refuse what may have changed since:
///
/// * The name is neither disabled nor held as an exclusive lock, and the attempt has no entry.
/// * Entries may have left, which only makes room. As long as one that was seen has not, the kind is
///   the same, because an entry of another kind would have been refused.
/// * There may be as many new entries as the queue has room for, if the attempt waits. Each was
///   created in a revision of its own, so those of the next few revisions are not too many.
pub(super) fn enter(
    keys: &Keys,
    name: &LockName,
    options: &EnterOptions,
    (seen, revision): (&StoredLock, i64),
    etcd_lease: i64,
) -> Txn {
    let key = |family| keys.key(family, name);
    let (own, (start, end)) = (keys.entry(name, options.lease), keys.entries(name));
    let last = seen.entries().next_back().filter(|_| options.wait);
    let more = last.map_or(0, |_| MAX_ENTRIES.saturating_sub(seen.entries().len() + 1));
    let next = revision.saturating_add(1).saturating_add(i64::try_from(more).unwrap_or(0));
    let mut compares = vec![
        is_absent(key(Family::Lease)),
        is_absent(key(Family::Disabled)),
        is_absent(own.clone()),
        Compare::create_revision(start, CompareOp::Less, next).with_range(end),
    ];
    compares.extend(last.map(|last| {
        let key = keys.entry(name, last.lease);
        Compare::create_revision(key, CompareOp::Equal, last.created)
    }));
    let attached = PutOptions::new().with_lease(etcd_lease);
    let mut operations = vec![
        TxnOp::put(own, entry::value(options), Some(attached)),
        TxnOp::put(key(Family::Granted), record::granted_value(), None),
    ];
    if seen.has_no_entries() {
        // No entry is left that it concerns.
        operations.push(TxnOp::delete(key(Family::LeaveReason), None));
    }
    operations.extend(reads(keys, name, &Family::ALL));
    Txn::new().when(compares).and_then(operations)
}

/// Reads what the renewals of entries need of each of these names.
pub(super) fn read_queues(keys: &Keys, names: &[&LockName]) -> Txn {
    let families = [Family::Entry, Family::Disabled, Family::LeaveReason];
    let operations: Vec<_> = names.iter().flat_map(|name| reads(keys, name, &families)).collect();
    Txn::new().and_then(operations)
}

/// Attaches the key of an entry to another etcd lease, unless it changed or the entry has to leave.
pub(super) fn move_entry(keys: &Keys, name: &LockName, entry: &StoredEntry, to: i64) -> Txn {
    let key = |family| keys.key(family, name);
    let own = keys.entry(name, entry.lease);
    let attached = PutOptions::new().with_lease(to).with_ignore_value();
    Txn::new()
        .when([
            Compare::mod_revision(own.clone(), CompareOp::Equal, entry.revision),
            Compare::mod_revision(key(Family::LeaveReason), CompareOp::Less, entry.created),
            is_absent(key(Family::Disabled)),
        ])
        .and_then([TxnOp::put(own, "", Some(attached))])
}

#[cfg(test)]
mod tests;
