//! These tests cover when the batches of many renewals are sent, on paused time.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::engine::renewed_lease::testing::{TestLease, Told};
use crate::intercept::{Interceptor, Reply, Request};
use crate::{Clock, LeaseId, LockName, LockStore, MemoryStore, Result, TokioClock};

/// The store renews this many leases in one call.
const BATCH: usize = 1_000;

/// A slow store answers each renewal after some time, and some of them never.
#[derive(Debug)]
struct SlowStore {
    store: MemoryStore,
    latency: Duration,
    /// This many calls are served at the same time.
    connections: Semaphore,
    /// The first calls have no reply; this is how many.
    hanging: usize,
    calls: AtomicUsize,
    in_progress: AtomicUsize,
    most_in_progress: AtomicUsize,
}

#[async_trait]
impl Interceptor for SlowStore {
    fn inner(&self) -> &dyn LockStore {
        &self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let in_progress = self.in_progress.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_progress.fetch_max(in_progress, Ordering::SeqCst);
        if self.calls.fetch_add(1, Ordering::SeqCst) < self.hanging {
            pending::<()>().await;
        }
        let connection = self.connections.acquire().await.unwrap();
        tokio::time::sleep(self.latency).await;
        drop(connection);
        self.in_progress.fetch_sub(1, Ordering::SeqCst);
        request.send_to(&self.store).await
    }
}

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

/// Renews the leases of that many batches, which are due after 3 s, repeated after 1.5 s more and
/// must be renewed by 9.25 s. Returns the store, and when each lease got its reply, in order.
async fn renew_all(
    batches: usize,
    latency: u64,
    connections: usize,
    hanging: usize,
) -> (Arc<SlowStore>, Vec<Moment>) {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = Arc::new(SlowStore {
        store: MemoryStore::with_clock(clock.clone()),
        latency: Duration::from_millis(latency),
        connections: Semaphore::new(connections),
        hanging,
        calls: AtomicUsize::new(0),
        in_progress: AtomicUsize::new(0),
        most_in_progress: AtomicUsize::new(0),
    });
    let background = Arc::new(BackgroundRuntime::new(false));
    let heartbeat = Heartbeat::new(BoundedStore::new(store.clone(), clock.clone()), background);
    assert_eq!(store.capabilities().renew_batch, BATCH);
    let window = RenewalWindow {
        earliest: at(1_500),
        latest: at(3_000),
        retry_at: at(4_500),
        useful_until: at(12_250),
    };
    let (name, ttl) = (LockName::new("a").unwrap(), Duration::from_secs(15));
    let renew = |_| {
        let lease = RenewOptions::new(name.clone(), LeaseId::new(), ttl);
        let (reply, clock) = (heartbeat.renew(lease, window, at(9_250)), clock.clone());
        async move {
            reply.await;
            clock.now()
        }
    };
    let mut replied = join_all((0..batches * BATCH).map(renew)).await;
    replied.sort_unstable();
    (store, replied)
}

/// All batches were once sent at the same time. Each took as long as all of them, so their leases
/// were renewed again before the replies, and the store was asked twice as much.
#[tokio::test(start_paused = true)]
async fn each_batch_is_answered_before_its_retry_though_all_of_them_take_longer() {
    let (store, replied) = renew_all(10, 400, 1, 0).await;
    assert_eq!(store.calls.load(Ordering::SeqCst), 10, "one call renews a full batch");
    let most = store.most_in_progress.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} calls were in progress, of 400 ms each");
    assert_eq!(replied.last(), Some(&at(3_000 + 10 * 400)), "the connection was never idle");
}

#[tokio::test(start_paused = true)]
async fn a_slow_batch_does_not_delay_the_others() {
    let (store, replied) = renew_all(5, 10, 100, 1).await;
    assert_eq!(store.calls.load(Ordering::SeqCst), 5);
    let answered = 4 * BATCH;
    let last = replied[answered - 1];
    assert!(last < at(3_050), "the last reply to a batch that is not slow came at {last:?}");
}

/// All batches that are in progress at once hang.
#[tokio::test(start_paused = true)]
async fn hanging_batches_leave_the_others_enough_time() {
    let (store, replied) = renew_all(5, 10, 100, 2).await;
    assert_eq!(store.calls.load(Ordering::SeqCst), 5);
    let last = replied[3 * BATCH - 1];
    assert!(last < at(4_600), "the last reply to a batch that does not hang came at {last:?}");
}

/// A batch that was sent later than others has less time for its reply.
#[tokio::test(start_paused = true)]
async fn the_limit_of_a_call_follows_from_the_time_left() {
    let (store, replied) = renew_all(5, 10, 100, 5).await;
    assert_eq!(store.calls.load(Ordering::SeqCst), 5);
    assert!(replied.iter().all(|reply| *reply == at(12_250)), "{:?}", replied.first());
}

/// This clock panics once.
#[derive(Debug)]
struct PanickingClock {
    clock: TokioClock,
    panics: AtomicBool,
}

impl Clock for PanickingClock {
    fn now(&self) -> Moment {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "the clock panics");
        self.clock.now()
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(moment)
    }
}

/// Held leases depend on the task, and no call would start another one.
#[tokio::test(start_paused = true)]
async fn the_heartbeat_continues_after_a_panic_of_the_clock() {
    let clock = TokioClock::new();
    let store = Arc::new(MemoryStore::with_clock(Arc::new(clock)));
    let clock = Arc::new(PanickingClock { clock, panics: AtomicBool::new(true) });
    let background = Arc::new(BackgroundRuntime::new(false));
    let heartbeat = Heartbeat::new(BoundedStore::new(store, clock), background);
    let window = RenewalWindow {
        earliest: at(1_500),
        latest: at(3_000),
        retry_at: at(4_500),
        useful_until: at(12_250),
    };
    let lease =
        RenewOptions::new(LockName::new("a").unwrap(), LeaseId::new(), Duration::from_secs(15));
    let reply = heartbeat.renew(lease, window, at(9_250)).await;
    assert!(matches!(reply.outcome, Ok(RenewOutcome::Lost)), "{reply:?}");
}

/// Elections run on the same thread, and a hint may concern all leases of a client.
#[tokio::test(start_paused = true)]
async fn other_tasks_run_while_very_many_leases_are_told_of_a_hint() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let background = Arc::new(BackgroundRuntime::new(false));
    let heartbeat = Heartbeat::new(BoundedStore::new(store, clock), background);
    let queue = heartbeat.queue();
    let leases: Vec<_> = (0..2_000).map(|_| TestLease::new("a")).collect();
    for lease in &leases {
        queue.add_hint(lease.clone());
    }
    let last = leases.last().unwrap();
    while leases[0].take_told().is_empty() {
        yield_now().await;
    }
    assert!(last.take_told().is_empty(), "all of them were told before another task ran");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(last.take_told(), [Told::Hinted]);
}
