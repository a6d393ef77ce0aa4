//! The floor of each server implements this trait.

use anyhow::{Result, ensure};
use async_trait::async_trait;

/// A store of Leasehold opens at most this many connections for its calls.
pub(super) const MAX_CONNECTIONS: usize = 4;

/// A floor sets and unsets the leases of the names with which it was opened.
#[async_trait]
pub(super) trait Floor: Send + Sync + 'static {
    /// Sends the smallest request that the server replies to.
    async fn ping(&self) -> Result<()>;

    /// Sets and unsets the lease of a lock.
    async fn set_and_unset(&self, lock: &str) -> Result<()>;
}

/// Fails unless the condition of a write was true, which shows that nothing else wrote.
pub(super) fn changed_one(rows: u64) -> Result<()> {
    ensure!(rows == 1, "the condition of a write of the floor is false ({rows} rows)");
    Ok(())
}
