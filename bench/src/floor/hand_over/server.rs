//! What the floor of a hand-over does on each server that notifies.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use tokio::sync::Notify;

/// The notifications of a server wake all waiters of the process.
pub(super) type Notified = Arc<Notify>;

/// What a hand-over needs of a server.
#[async_trait]
pub(super) trait NotifyingServer: Send + Sync + 'static {
    /// Writes the lock unless it exists, and returns whether it did.
    async fn set(&self, lock: &str) -> Result<bool>;

    /// Removes the lock and notifies.
    async fn unset(&self, lock: &str) -> Result<()>;
}
