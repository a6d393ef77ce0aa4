//! The tasks of one client that wait for the same lock are served in order, with few calls.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/counting_store.rs"]
mod counting_store;
mod failures;
#[path = "../support/faulty_store.rs"]
mod faulty_store;
mod order;
mod other_clients;

use std::time::Duration;

use counting_store::LATENCY;
use leasehold_core::{Guard, Lock, Result};
use tokio::task::JoinHandle;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Starts a task that waits for the lock, and lets it begin.
async fn wait(lock: &Lock, limit: Duration) -> JoinHandle<Result<Guard>> {
    let lock = lock.clone();
    let waiting = tokio::spawn(async move { lock.acquire(limit).await });
    sleep(LATENCY * 10).await;
    waiting
}
