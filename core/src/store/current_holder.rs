//! A current holder is what displays show of a lease or of an entry that holds a lock.

use std::time::Duration;

use crate::{
    EntryRecord, FencingToken, Holder, LeaseId, LeaseRecord, LockRecord, QueueRecord, Reason,
};

/// A current holder holds a lock, by the lease of an exclusive lock or by an entry of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurrentHolder<'a> {
    /// The lease or the entry has this id.
    pub id: LeaseId,
    /// This instance holds the lock.
    pub holder: &'a Holder,
    /// The holder has this fencing token; `None` if the record does not have that of its lease.
    pub token: Option<FencingToken>,
    /// The holder has this much of the [capacity](crate::LockKind::capacity), which is 1 for an
    /// exclusive lock.
    pub weight: u32,
    /// The grant took place, or the entry was made, this long ago by the machine's or server's
    /// calendar clock.
    pub held_for: Duration,
    /// The lease or the entry lasts this much longer.
    pub left: Duration,
    /// The holder has to stop if this is set.
    pub ending: Option<&'a Reason>,
}

impl LockRecord {
    /// Returns the current holders of the lock, in the order of their tokens.
    pub fn holders(&self) -> impl Iterator<Item = CurrentHolder<'_>> {
        let of_lease = |lease| CurrentHolder { token: self.token, ..CurrentHolder::from(lease) };
        let leases = self.lease.iter().map(of_lease);
        let entries = self.queue.iter().flat_map(QueueRecord::holders).map(CurrentHolder::from);
        leases.chain(entries)
    }
}

impl<'a> From<&'a LeaseRecord> for CurrentHolder<'a> {
    fn from(lease: &'a LeaseRecord) -> Self {
        let LeaseRecord { id, holder, held_for, left, ending } = lease;
        Self {
            id: *id,
            holder,
            token: None,
            weight: 1,
            held_for: *held_for,
            left: *left,
            ending: ending.as_ref(),
        }
    }
}

impl<'a> From<&'a EntryRecord> for CurrentHolder<'a> {
    fn from(entry: &'a EntryRecord) -> Self {
        let EntryRecord { id, holder, token, weight, entered, left, ending } = entry;
        Self {
            id: *id,
            holder,
            token: Some(*token),
            weight: *weight,
            held_for: *entered,
            left: *left,
            ending: ending.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FencingToken, LockKind, LockName};

    #[test]
    fn a_lock_is_held_by_its_lease_or_by_the_first_entries() {
        let unused = LockRecord::unused(LockName::new("job").unwrap());
        assert_eq!(unused.holders().count(), 0);
        let second = Duration::from_secs(1);
        let (holder, reason) = (Holder::current(), Reason::new("upkeep").unwrap());
        let lease = LeaseRecord::new(LeaseId::new(), holder.clone(), second * 3)
            .with_held_for(second)
            .with_ending(reason.clone());
        let shown = |id, token, weight| CurrentHolder {
            id,
            holder: &holder,
            token: Some(FencingToken::new(token).unwrap()),
            weight,
            held_for: second,
            left: second * 3,
            ending: Some(&reason),
        };
        let token = FencingToken::new(9).unwrap();
        let held = unused.clone().with_lease(lease.clone()).with_token(token);
        assert_eq!(held.holders().collect::<Vec<_>>(), [shown(lease.id, 9, 1)]);
        let ids = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
        let entries = (1..).zip(ids).map(|(token, id)| {
            let token = FencingToken::new(token).unwrap();
            EntryRecord::new(id, holder.clone(), token, second * 3)
                .with_weight(2)
                .with_entered(second)
                .with_ending(reason.clone())
        });
        let queued = unused.with_queue(LockKind::semaphore(4).unwrap(), entries.collect());
        let expected = [shown(ids[0], 1, 2), shown(ids[1], 2, 2)];
        assert_eq!(queued.holders().collect::<Vec<_>>(), expected);
    }
}
