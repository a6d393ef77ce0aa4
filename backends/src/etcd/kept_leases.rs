//! What becomes of an etcd lease after its last key was removed.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::client::EtcdClient;
use super::lease_pool::EtcdLease;
use crate::{Clock, SystemClock};

const DISCARDED_AFTER: Duration = Duration::from_secs(2);

impl EtcdClient {
    /// Keeps an etcd lease to which no key is attached for the next attempt.
    pub(super) fn keep(&self, lease: EtcdLease) {
        if let Some(surplus) = self.leases().keep(lease, SystemClock.now()) {
            self.discard(surplus.id);
        }
    }

    /// Ends an etcd lease to which no key is attached anymore. This happens after a delay, so
    /// that clients that wait for its name are served first. If this process ends before, the lease
    /// expires.
    pub(super) fn discard(&self, lease: i64) {
        let etcd = self.clone();
        tokio::spawn(async move {
            sleep(DISCARDED_AFTER).await;
            _ = etcd.revoke(lease).await;
        });
    }

    /// Ends the etcd leases that are kept, in the background. Outside of a runtime, or if etcd does
    /// not answer, they are left to expire.
    pub(super) fn revoke_kept(&self) {
        let (mut kept, now) = (self.leases().take_all(), SystemClock.now());
        // A revocation costs every member a write, even that of an etcd lease that has expired.
        kept.retain(|lease| !lease.left(now).is_zero());
        let Ok(runtime) = Handle::try_current() else { return };
        if kept.is_empty() {
            return;
        }
        let etcd = self.clone();
        runtime.spawn(async move {
            for lease in kept {
                // The store is dropped, so its connections must not be kept open for long.
                if !etcd.revoke(lease.id).await {
                    return;
                }
            }
        });
    }

    /// Revokes an etcd lease, and returns whether that succeeded.
    async fn revoke(&self, lease: i64) -> bool {
        let revoked = self.call().revoke(lease).await;
        if let Err(error) = &revoked {
            tracing::debug!(%error, "could not revoke an etcd lease; it will expire");
        }
        revoked.is_ok()
    }
}
