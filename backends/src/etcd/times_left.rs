//! Requests the remaining times of several etcd leases, which etcd reports one by one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use super::client::{BoundedCall, TimeToLive};
use super::lease_id::{seconds_of, whole_seconds};
use super::limits::{STALL_TIMEOUT, TTL_QUERIES_AT_ONCE};
use crate::{Error, Result};

/// These are the remaining times of etcd leases by their ids; `None` for one that has expired.
#[derive(Debug, Default)]
pub(super) struct TimesLeft(HashMap<i64, Option<TimeToLive>>);

impl TimesLeft {
    /// Asks etcd for all of them.
    pub(super) async fn request(call: &BoundedCall, leases: Vec<i64>) -> Result<Self> {
        let leases: HashSet<i64> = leases.into_iter().collect();
        stream::iter(leases)
            .map(|lease| async move { Ok::<_, Error>((lease, call.time_to_live(lease).await?)) })
            .buffer_unordered(TTL_QUERIES_AT_ONCE)
            .try_collect()
            .await
            .map(Self)
    }

    /// Asks etcd for the times of entries of others. They only say when to look again, so the
    /// answers are not waited for if they are late.
    pub(super) async fn of_others(call: &BoundedCall, leases: Vec<i64>) -> Self {
        match timeout(STALL_TIMEOUT, Self::request(call, leases)).await {
            Ok(Ok(times)) => times,
            _ => Self::default(),
        }
    }

    /// Notes the minimum that is left of an etcd lease of this store.
    pub(super) fn set(&mut self, lease: i64, left: Duration) {
        self.0.insert(lease, Some(TimeToLive { for_holder: left, for_waiters: left }));
    }

    /// Returns the remaining time of an etcd lease; `None` if it has expired or was not requested.
    pub(super) fn of_lease(&self, lease: i64) -> Option<TimeToLive> {
        self.0.get(&lease).copied().flatten()
    }

    /// Returns the time that is left of an entry: the minimum for its own client, and the maximum
    /// for others.
    pub(super) fn of_entry(&self, etcd_lease: i64, is_own: bool) -> Duration {
        match self.0.get(&etcd_lease) {
            Some(Some(left)) if is_own => left.for_holder,
            Some(Some(left)) => left.for_waiters,
            // The key is about to disappear.
            Some(None) => Duration::ZERO,
            // Without an answer, not more is known than the ttl.
            None if is_own => Duration::ZERO,
            None => whole_seconds(seconds_of(etcd_lease)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::lease_id;

    #[test]
    fn an_own_entry_is_never_told_more_than_is_certainly_left() {
        let [known, ended, unknown] = [(); 3].map(|()| lease_id::new(20));
        let left =
            TimeToLive { for_holder: Duration::from_secs(4), for_waiters: Duration::from_secs(5) };
        let mut times = TimesLeft::default();
        times.0.extend([(known, Some(left)), (ended, None)]);
        let of = |is_own| [known, ended, unknown].map(|lease| times.of_entry(lease, is_own));
        assert_eq!(of(true).map(|left| left.as_secs()), [4, 0, 0]);
        assert_eq!(of(false).map(|left| left.as_secs()), [5, 0, 20]);
        assert!(times.of_lease(ended).is_none() && times.of_lease(unknown).is_none());
        times.set(unknown, Duration::from_secs(7));
        assert_eq!(times.of_entry(unknown, true), Duration::from_secs(7));
    }
}
