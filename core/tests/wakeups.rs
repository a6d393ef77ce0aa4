//! On paused time, missed hints and late commands do no harm.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faulty_store::{FaultyStore, WatchFault};
use leasehold_core::{
    Client, Leadership, LossReason, MemoryStore, Settings, Status, StopReason, TokioClock,
    job_from_fns,
};
use tokio::time::{sleep, timeout};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn client(store: &FaultyStore, clock: &Arc<TokioClock>) -> Client {
    let settings = Settings::new().ttl(DAY).poll_interval(DAY);
    let store = Arc::new(store.clone());
    Client::builder(store).clock(clock.clone()).settings(settings).seed(1).build().unwrap()
}

/// The watch opens only after the release, so no hint ever reports it.
#[tokio::test(start_paused = true)]
async fn a_release_before_the_watch_opens_is_not_missed() {
    let clock = Arc::new(TokioClock::new());
    let store = FaultyStore::new(clock.clone());
    let guard = client(&store, &clock).lock("a").unwrap().try_acquire().await.unwrap().unwrap();

    let unwatched = FaultyStore { state: Arc::default(), ..store }.watching(WatchFault::Refused);
    let lock = client(&unwatched, &clock).lock("a").unwrap();
    let waiting = tokio::spawn(async move { lock.acquire(DAY * 2).await });
    sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    guard.release().await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished(), "the lock was acquired before the watch opened");
    unwatched.set_watch(WatchFault::Inner);
    let guard = timeout(DAY / 2, waiting)
        .await
        .expect("the hint comes long before the next poll")
        .unwrap()
        .unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_late_resign_does_not_end_the_next_term() {
    let clock = Arc::new(TokioClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let client = Client::builder(Arc::new(store)).clock(clock).seed(1).build().unwrap();
    let terms: Arc<Mutex<Vec<Leadership>>> = Arc::default();
    let reasons: Arc<Mutex<Vec<StopReason>>> = Arc::default();
    let (started, stopped) = (terms.clone(), reasons.clone());
    let election = client.election("a").unwrap().spawn(job_from_fns(
        move |leadership| {
            started.lock().unwrap().push(leadership);
            std::future::ready(Ok(()))
        },
        move |reason| {
            stopped.lock().unwrap().push(reason);
            std::future::ready(())
        },
    ));
    let leads = |status: &Status| status.is_leading();
    election.watch().wait_for(leads).await.unwrap();
    election.resign().await;
    election.watch().wait_for(leads).await.unwrap();
    let first = terms.lock().unwrap()[0].clone();
    first.resign();
    sleep(Duration::from_secs(60)).await;
    assert!(election.status().is_leading());
    assert_eq!(*reasons.lock().unwrap(), [StopReason::Resigned]);
    election.shutdown().await;
}

/// A watch that opens tells a leader nothing; after a gap, a disable may have been missed.
#[tokio::test(start_paused = true)]
async fn an_opened_watch_causes_a_renewal_only_after_a_gap() {
    let clock = Arc::new(TokioClock::new());
    let store = FaultyStore::new(clock.clone()).watching(WatchFault::Refused);
    // Heartbeats are 3 s apart.
    let client = Client::builder(Arc::new(store.clone())).clock(clock).seed(1).build().unwrap();
    let job = job_from_fns(|_| async { Ok(()) }, |_| async {});
    let election = client.election("a").unwrap().spawn(job);
    election.watch().wait_for(Status::is_leading).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    store.set_watch(WatchFault::Manual);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.state.hints.lock().unwrap().len(), 1, "the watch is open");
    assert_eq!(store.state.renews.load(SeqCst), 0);
    // This ends the watch, which is opened again.
    store.state.hints.lock().unwrap().clear();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(store.state.hints.lock().unwrap().len(), 1, "the watch is open again");
    assert_eq!(store.state.renews.load(SeqCst), 1);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_notices_a_disable_by_its_first_heartbeat_and_later_ones_at_once() {
    let clock = Arc::new(TokioClock::new());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let client = Client::builder(store).clock(clock).seed(1).build().unwrap();
    for (disabled_after, noticed_after) in [(1_000, 2_000), (3_500, 0)] {
        let guard = client.lock("a").unwrap().try_acquire().await.unwrap().unwrap();
        sleep(Duration::from_millis(disabled_after)).await;
        client.disable("a", "upgrade").await.unwrap();
        let disabled = tokio::time::Instant::now();
        assert!(matches!(guard.lost().await, LossReason::Disabled { .. }));
        assert_eq!(disabled.elapsed(), Duration::from_millis(noticed_after));
        guard.release().await.unwrap();
        client.enable("a").await.unwrap();
    }
}

/// A waiter that relies on hints polls again when no watch can be opened.
#[tokio::test(start_paused = true)]
async fn a_waiter_asks_once_per_lease_while_it_receives_hints() {
    let clock = Arc::new(TokioClock::new());
    let store = FaultyStore::new(clock.clone()).watching(WatchFault::Manual);
    let holder = Arc::new(store.inner.clone());
    let holder = Client::builder(holder).clock(clock.clone()).seed(1).build().unwrap();
    let guard = holder.lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    let client = Client::builder(Arc::new(store.clone())).clock(clock).seed(1).build().unwrap();
    let lock = client.lock("a").unwrap();
    let minute = Duration::from_secs(60);
    let asks = async || {
        let before = store.state.acquires.load(SeqCst);
        sleep(minute).await;
        store.state.acquires.load(SeqCst) - before
    };
    let waiter = tokio::spawn(async move { lock.acquire(10 * minute).await });
    // A lease of 15 s that is renewed every 3 s lasts for 12 s more at least.
    let with_hints = asks().await;
    assert!((1..=6).contains(&with_hints), "asked {with_hints} times a minute");
    // The lease should not have ended by then.
    sleep(Duration::from_secs(6)).await;
    store.set_watch(WatchFault::Refused);
    store.state.hints.lock().unwrap().clear();
    let before = store.state.acquires.load(SeqCst);
    sleep(Duration::from_secs(1)).await;
    let asked = store.state.acquires.load(SeqCst) - before;
    assert_eq!(asked, 1, "no hint would tell of a release");
    let without_hints = asks().await;
    assert!((10..=13).contains(&without_hints), "polled {without_hints} times a minute");
    drop(guard);
    drop(waiter.await.unwrap().unwrap());
}
