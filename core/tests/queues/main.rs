//! Locks with a queue in the store are held in the order of arrival, whatever happens to those that
//! hold them and to those that wait.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cancellation;
mod conflicts;
mod control;
mod election_kinds;
mod entries;
mod instance_store;
mod kinds;
mod leaders;
mod order;
mod positions;

use std::time::Duration;

use instance_store::{InstanceStore, LATENCY};
use leasehold_core::{Client, Guard, QueueRecord, Result};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Starts a task that waits for a lock, and lets it enter the queue.
async fn wait<F>(acquire: F) -> JoinHandle<Result<Guard>>
where
    F: Future<Output = Result<Guard>> + Send + 'static,
{
    let waiting = tokio::spawn(acquire);
    sleep(LATENCY * 10).await;
    waiting
}

/// Starts a task that waits for the fair lock `a` as another instance.
async fn wait_as(store: &InstanceStore) -> JoinHandle<Result<Guard>> {
    let lock = store.client().fair_lock("a").unwrap();
    wait(async move { lock.acquire(HOUR).await }).await
}

/// Returns the guard of a task that gets the lock soon.
async fn granted(waiting: JoinHandle<Result<Guard>>) -> Guard {
    timeout(SECOND, waiting).await.unwrap().unwrap().unwrap()
}

/// Returns the queue of `a`, or an empty one.
async fn queue(client: &Client) -> QueueRecord {
    let record = client.status("a").await.unwrap();
    record.queue.unwrap_or_else(|| QueueRecord::new(record.kind, Vec::new()))
}

/// Returns how many entries of `a` hold the lock and how many wait.
async fn entries(client: &Client) -> (usize, usize) {
    let queue = queue(client).await;
    (queue.holders().len(), queue.waiters().len())
}
