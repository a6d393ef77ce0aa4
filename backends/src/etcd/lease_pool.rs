//! The etcd leases of a store: those to which the keys of a lock are attached, and those that are
//! kept without keys for the next attempts.
//!
//! A new etcd lease costs every member a write, as does its end. So an attempt that is refused, and
//! a lock that is released, leave their etcd lease for the next attempt with the same ttl. These
//! rules make that safe:
//!
//! * Each etcd lease is used by one attempt or lock at a time, and only if this store created it.
//! * It is kept only if etcd answered that no key is attached to it. If the outcome of a transaction
//!   is unknown, its keys may still appear, and the etcd lease is left to expire.
//! * It is used again only while at least half of its ttl is left: etcd may report a keep-alive as
//!   successful for a lease that it is about to end.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::lease_id::seconds_of;
use crate::Moment;

/// A store keeps at most this many etcd leases without keys.
const MAX_KEPT: usize = 64;

/// Below this number, the etcd leases of lost locks are not removed from the attached ones.
const MIN_PRUNE: usize = 1024;

/// An etcd lease that this store created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EtcdLease {
    pub(super) id: i64,
    /// The ttl that etcd granted.
    pub(super) ttl: Duration,
    /// A time before the latest request that created or extended it.
    extended_at: Moment,
}

impl EtcdLease {
    /// Describes an etcd lease that was requested after that time.
    pub(super) fn new(id: i64, ttl: Duration, extended_at: Moment) -> Self {
        Self { id, ttl, extended_at }
    }

    /// Returns the same etcd lease after an extension that was requested after that time.
    pub(super) fn extended(self, at: Moment) -> Self {
        Self { extended_at: self.extended_at.max(at), ..self }
    }

    /// Returns the minimum time that is left.
    pub(super) fn left(&self, now: Moment) -> Duration {
        self.ttl.saturating_sub(now.saturating_since(self.extended_at))
    }

    fn is_usable(&self, now: Moment) -> bool {
        self.left(now) >= self.ttl / 2
    }
}

/// The etcd leases of one store.
#[derive(Debug, Default)]
pub(super) struct LeasePool(Mutex<PoolState>);

#[derive(Debug, Default)]
struct PoolState {
    /// The etcd leases of locks, by their ids.
    attached: HashMap<i64, EtcdLease>,
    /// The etcd leases without keys; the one that was kept last comes last.
    kept: Vec<EtcdLease>,
    /// When there are this many attached etcd leases, those that have expired are removed.
    prune_at: usize,
}

impl LeasePool {
    /// Takes an etcd lease with that ttl for an attempt. Those that are not usable expire.
    pub(super) fn take(&self, seconds: i64, now: Moment) -> Option<EtcdLease> {
        let mut state = self.0.lock();
        state.kept.retain(|lease| lease.is_usable(now));
        let found = state.kept.iter().rposition(|lease| seconds_of(lease.id) == seconds)?;
        Some(state.kept.remove(found))
    }

    /// Keeps an etcd lease to which no key is attached. Returns one that is not needed, if any.
    pub(super) fn keep(&self, lease: EtcdLease, now: Moment) -> Option<EtcdLease> {
        if !lease.is_usable(now) {
            return Some(lease);
        }
        let mut state = self.0.lock();
        state.kept.push(lease);
        (state.kept.len() > MAX_KEPT).then(|| state.kept.remove(0))
    }

    /// Notes that the keys of a lock are attached to an etcd lease.
    pub(super) fn attach(&self, lease: EtcdLease, now: Moment) {
        let mut state = self.0.lock();
        if state.attached.len() >= state.prune_at {
            state.attached.retain(|_, lease| !lease.left(now).is_zero());
            state.prune_at = (state.attached.len() * 2).max(MIN_PRUNE);
        }
        state.attached.insert(lease.id, lease);
    }

    /// Notes that the etcd lease of a lock was extended by a request that was sent after that time.
    pub(super) fn extended(&self, id: i64, at: Moment) {
        if let Some(lease) = self.0.lock().attached.get_mut(&id) {
            *lease = lease.extended(at);
        }
    }

    /// Returns the etcd lease of a lock that was released; `None` if this store did not create it.
    pub(super) fn detach(&self, id: i64) -> Option<EtcdLease> {
        self.0.lock().attached.remove(&id)
    }

    /// Takes all etcd leases without keys.
    pub(super) fn take_all(&self) -> Vec<EtcdLease> {
        std::mem::take(&mut self.0.lock().kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::lease_id;

    const SECONDS: i64 = 10;

    fn lease(extended_at: u64) -> EtcdLease {
        let ttl = Duration::from_secs(10);
        EtcdLease::new(lease_id::new(SECONDS), ttl, Moment::from_secs(extended_at))
    }

    #[test]
    fn a_kept_lease_is_used_once_and_with_its_own_ttl() {
        let (pool, now) = (LeasePool::default(), Moment::from_secs(100));
        let kept = lease(100);
        assert_eq!(pool.keep(kept, now), None);
        assert_eq!(pool.take(SECONDS + 1, now), None);
        assert_eq!(pool.take(SECONDS, now), Some(kept));
        assert_eq!(pool.take(SECONDS, now), None);
    }

    #[test]
    fn a_lease_with_less_than_half_its_ttl_is_not_used() {
        let pool = LeasePool::default();
        let kept = lease(100);
        assert_eq!(pool.keep(kept, Moment::from_secs(105)), None);
        assert_eq!(pool.take(SECONDS, Moment::from_secs(106)), None);
        assert_eq!(pool.keep(kept, Moment::from_secs(106)), Some(kept));
        let extended = kept.extended(Moment::from_secs(103));
        assert_eq!(extended.left(Moment::from_secs(106)), Duration::from_secs(7));
        assert_eq!(pool.keep(extended, Moment::from_secs(106)), None);
        assert_eq!(pool.take_all(), [extended]);
    }

    #[test]
    fn only_a_lease_of_a_lock_of_this_store_is_detached() {
        let (pool, now) = (LeasePool::default(), Moment::from_secs(100));
        let own = lease(100);
        pool.attach(own, now);
        pool.extended(own.id, Moment::from_secs(104));
        assert_eq!(pool.detach(lease(100).id), None);
        let detached = pool.detach(own.id).unwrap();
        assert_eq!(detached.left(Moment::from_secs(105)), Duration::from_secs(9));
        assert_eq!(pool.detach(own.id), None);
    }

    #[test]
    fn the_numbers_of_leases_are_limited() {
        let (pool, now) = (LeasePool::default(), Moment::from_secs(100));
        let surplus = (0..=MAX_KEPT).filter_map(|_| pool.keep(lease(100), now)).count();
        assert_eq!((surplus, pool.take_all().len()), (1, MAX_KEPT));
        for number in 0..10 * MIN_PRUNE {
            // All but the latest few have expired.
            let now = Moment::from_secs(u64::try_from(number).unwrap());
            pool.attach(EtcdLease::new(lease_id::new(SECONDS), Duration::from_secs(10), now), now);
        }
        assert!(pool.0.lock().attached.len() <= MIN_PRUNE);
    }
}
