//! Limits that several modules use.

use std::time::Duration;

/// If a member does not answer for this long, the next requests go to another one. A request that
/// changes nothing is sent there at once as well.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// This is the limit for a request whose caller gives up.
pub(super) const DROPPED_CALL_STALL: Duration = Duration::from_millis(300);

/// The connections and streams of a runtime that did not call the store for this long are closed by
/// a call from another runtime.
pub(super) const UNUSED_LIMIT: Duration = Duration::from_secs(60);

/// For a list, the time to live of at most this many etcd leases is requested at once.
pub(super) const TTL_QUERIES_AT_ONCE: usize = 64;

/// For an entry that waits, the time to live of at most this many entries ahead of it is requested,
/// from the first one on. It learns of the end of the others by the watch, or by its next renewal.
pub(super) const ENTRIES_AHEAD: usize = 32;
