//! What the floor of a heartbeat does on each server.

use anyhow::Result;
use async_trait::async_trait;

/// This many batches are in progress at once, as in Leasehold, each on a connection of its own.
pub(super) const CONNECTIONS: usize = 2;

/// All leases have this id.
pub(super) const LEASE: &str = "01930000-0000-7000-8000-000000000000";

/// Leases expire this long after they were created or extended. An hour is longer than it takes to
/// create all of them.
pub(super) const TTL_MICROS: i64 = 60 * 60 * 1_000_000;

/// This is one connection.
#[async_trait]
pub(super) trait Extender: Send {
    /// Extends the leases of those names by one statement, and returns how many it has extended.
    async fn extend(&mut self, names: &[String]) -> Result<u64>;
}

/// These are the connections of a floor.
pub(super) type Extenders = Vec<Box<dyn Extender>>;
