//! Limits that several modules keep.

use std::time::Duration;

/// If a member does not answer for this long, the next requests go to another one. A request that
/// changes nothing is sent there at once as well.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// This is the limit for a request whose caller gives up.
pub(super) const DROPPED_CALL_STALL: Duration = Duration::from_millis(300);

/// The connections and streams of a runtime that did not call the store for this long are closed by
/// a call from another runtime.
pub(super) const UNUSED_LIMIT: Duration = Duration::from_secs(60);

/// At most this many etcd leases of a list are asked for their time to live at once.
pub(super) const TTL_QUERIES_AT_ONCE: usize = 64;
