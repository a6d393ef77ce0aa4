//! A name is used as one kind of lock at a time, and only on a store that has queues.

use async_trait::async_trait;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, Client, DisableOptions, DisableOutcome,
    EnableOutcome, Error, ErrorKind, HintStream, LeaseId, ListOptions, LockName, LockRecord,
    LockStore, MAX_ENTRIES, MemoryStore, PruneOptions, ReleaseOutcome, RenewOptions, RenewOutcome,
    Result,
};
use tokio::time::sleep;

use crate::instance_store::InstanceStore;
use crate::{HOUR, SECOND};

fn assert_conflict<T>(result: Result<T>, parts: [&str; 2]) {
    let error = result.map(|_| "it was acquired").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part:?} is not in {error}");
    }
}

/// Waiting could take as long as the other kind is in use.
#[tokio::test(start_paused = true)]
async fn a_name_in_use_as_another_kind_is_refused_at_once() {
    let client = InstanceStore::new().client();
    let (exclusive, fair) = (client.lock("a").unwrap(), client.fair_lock("a").unwrap());
    let (three, two) = (client.semaphore("a", 3).unwrap(), client.semaphore("a", 2).unwrap());
    let rw = client.rw_lock("a").unwrap();

    let held = fair.acquire(HOUR).await.unwrap();
    assert_conflict(exclusive.acquire(HOUR).await, ["an exclusive lock", "a fair lock"]);
    assert_conflict(exclusive.try_acquire().await, ["an exclusive lock", "a fair lock"]);
    assert_conflict(three.acquire(HOUR).await, ["3 permits", "a fair lock"]);
    assert_conflict(rw.write(HOUR).await, ["a reader/writer lock", "a fair lock"]);
    held.release().await.unwrap();

    let held = three.acquire(HOUR).await.unwrap();
    assert_conflict(two.acquire(HOUR).await, ["2 permits", "3 permits"]);
    assert_conflict(two.try_acquire().await, ["2 permits", "3 permits"]);
    held.release().await.unwrap();

    let held = exclusive.acquire(HOUR).await.unwrap();
    assert_conflict(fair.acquire(HOUR).await, ["a fair lock", "an exclusive lock"]);
    assert_conflict(rw.try_read().await, ["a reader/writer lock", "an exclusive lock"]);
    held.release().await.unwrap();
    rw.read(HOUR).await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_refused_at_once() {
    let client = InstanceStore::new().client();
    let rw = client.rw_lock("a").unwrap();
    let mut guards = Vec::new();
    for _ in 0..MAX_ENTRIES {
        guards.push(rw.read(HOUR).await.unwrap());
    }
    let error = rw.read(HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    drop(guards.pop());
    sleep(SECOND).await;
    rw.read(HOUR).await.unwrap().release().await.unwrap();
}

/// This store is an older one, which implements no method of queues.
#[derive(Debug, Default)]
struct WithoutQueues(MemoryStore);

#[async_trait]
impl LockStore for WithoutQueues {
    fn label(&self) -> &str {
        "old:"
    }

    fn capabilities(&self) -> Capabilities {
        let known = self.0.capabilities();
        Capabilities::new(known.clock, known.reach, known.wake)
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        self.0.acquire(name, options).await
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        self.0.renew(leases).await
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.0.release(name, lease).await
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.0.disable(name, options).await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.0.enable(name).await
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.0.get(name).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.0.list(options).await
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.0.prune(options).await
    }

    async fn watch(&self) -> Result<HintStream> {
        self.0.watch().await
    }
}

#[tokio::test]
async fn a_store_without_queues_has_exclusive_locks_only() {
    let client = Client::new(WithoutQueues::default()).unwrap();
    client.lock("a").unwrap().acquire(HOUR).await.unwrap().release().await.unwrap();
    let is_unsupported = |error: Error| error.is_unsupported();
    assert!(client.fair_lock("a").is_err_and(is_unsupported));
    assert!(client.semaphore("a", 3).is_err_and(is_unsupported));
    assert!(client.rw_lock("a").is_err_and(is_unsupported));
    assert!(client.election("a").unwrap().leaders(2).is_err_and(is_unsupported));
}
