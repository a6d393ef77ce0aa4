//! What the floor with a ttl and a token does on each server.

use anyhow::Result;
use async_trait::async_trait;

/// Leases are granted for this long. No operation takes longer.
pub(super) const TTL_MICROS: i64 = 15_000_000;

/// Each of these is one conditional write.
#[async_trait]
pub(super) trait LeasingServer: Send + Sync + 'static {
    /// Grants the lock to that lease if no other lease is in force, and returns the fencing token.
    async fn grant(&self, lock: &str, lease: &str) -> Result<i64>;

    /// Ends that lease.
    async fn release(&self, lock: &str, lease: &str) -> Result<()>;
}
