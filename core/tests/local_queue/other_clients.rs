//! A client whose tasks hand the lock over among themselves lets other clients have it too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::Lock;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::counting_store::{CountingStore, LATENCY};
use crate::{HOUR, SECOND};

/// The tasks of one client acquire and release the lock in a loop, until this value is dropped.
struct Busy {
    grants: Arc<Mutex<Vec<Instant>>>,
    _tasks: JoinSet<()>,
}

impl Busy {
    fn new(lock: &Lock) -> Self {
        let (grants, mut tasks) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        for _ in 0..3 {
            let (lock, grants) = (lock.clone(), grants.clone());
            tasks.spawn(async move {
                loop {
                    let guard = lock.acquire(HOUR).await.unwrap();
                    grants.lock().unwrap().push(Instant::now());
                    sleep(LATENCY * 5).await;
                    guard.release().await.unwrap();
                }
            });
        }
        Self { grants, _tasks: tasks }
    }

    fn grants(&self) -> Vec<Instant> {
        self.grants.lock().unwrap().clone()
    }
}

/// A request of the second client arrives too late after a hint, unless the first one pauses.
fn near_and_far() -> [Lock; 2] {
    let near = CountingStore::new();
    let far = near.another().with_latency(LATENCY * 5 / 2);
    [near, far].map(|store| store.client().lock("a").unwrap())
}

/// The tasks of one client hand the lock over before the hint reaches the other client.
#[tokio::test(start_paused = true)]
async fn a_client_whose_tasks_always_wait_does_not_starve_another_client() {
    let [near, far] = near_and_far().map(|lock| Busy::new(&lock));
    sleep(100 * SECOND).await;
    let [near, far] = [near, far].map(|busy| busy.grants().len());
    assert!(far * 20 > near, "{near} and {far} grants");
}

/// The first client was not refused for long, so it does not know of the second.
#[tokio::test(start_paused = true)]
async fn a_client_that_begins_to_wait_gets_the_lock_from_one_that_was_alone() {
    let [near, far] = near_and_far();
    let _busy = Busy::new(&near);
    for _ in 0..20 {
        sleep(11 * SECOND).await;
        // No poll falls within this limit.
        let guard = far.acquire(Duration::from_millis(4500)).await.unwrap();
        guard.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_alone_seldom_pauses_between_its_tasks() {
    let [near, _] = near_and_far();
    let busy = Busy::new(&near);
    sleep(100 * SECOND).await;
    let grants = busy.grants();
    // The lock is held for five latencies, and the release and the acquire take one each.
    let paused = grants.windows(2).filter(|pair| pair[1] - pair[0] > LATENCY * 8).count();
    assert!((15..30).contains(&paused), "{paused} pauses in {} hand-overs", grants.len());
}
