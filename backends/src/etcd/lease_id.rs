//! The ids of etcd leases, which contain their ttl.

use std::time::Duration;

/// etcd leases last whole seconds.
pub(super) const TTL_STEP: Duration = Duration::from_secs(1);

/// The lowest bits of an etcd lease's id contain its ttl in seconds: a day has fewer than 2¹⁷.
pub(super) const TTL_BITS: u32 = 17;

/// Returns a random id for a new etcd lease that contains its ttl in seconds.
pub(super) fn new(seconds: i64) -> i64 {
    let random = fastrand::i64(1..1 << (62 - TTL_BITS));
    (random << TTL_BITS) | (seconds & ((1 << TTL_BITS) - 1))
}

/// Returns the ttl in seconds with which this library created an etcd lease.
pub(super) fn seconds_of(lease: i64) -> i64 {
    lease & ((1 << TTL_BITS) - 1)
}

/// Returns that many seconds, or zero for a negative number.
pub(super) fn whole_seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Returns the ttl in whole seconds, rounded up. A ttl that was checked is never too large.
pub(super) fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_nanos().div_ceil(TTL_STEP.as_nanos())).unwrap_or(i64::MAX)
}
