//! These tests cover watches that end, hang or panic, and storms of hints.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_core::{Clock, Settings, Status, SystemClock, TokioClock};

use super::faulty_store::{FaultyStore, WatchFault};
use super::{client, ms, secs, waiting_job};

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_reopened_with_backoff() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone()).watching(WatchFault::Empty);
    let one = client(&faulty, clock.clone(), Settings::new());
    let two = client(&faulty, clock.clone(), Settings::new());
    let _a = one.election("a").unwrap().spawn(waiting_job());
    let _b = two.election("a").unwrap().spawn(waiting_job());
    tokio::time::sleep(secs(60)).await;
    let (renews, acquires) = (faulty.state.renews.load(SeqCst), faulty.state.acquires.load(SeqCst));
    println!(
        "in 60 s: {renews} renews (20 expected), {acquires} acquires (13 expected), {} watches",
        faulty.state.watches.load(SeqCst)
    );
    assert!(renews < 60 && acquires < 60, "{renews} renews, {acquires} acquires");
}
#[tokio::test(start_paused = true)]
async fn hints_do_not_consume_retries() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone()).watching(WatchFault::Manual);
    let c = client(&faulty, clock.clone(), Settings::new());
    let election = c.election("a").unwrap().spawn(waiting_job());
    election.watch().wait_for(Status::is_leading).await.unwrap();
    tokio::time::sleep(ms(500)).await;
    faulty.state.renew_fails.store(true, SeqCst);
    for _ in 0..5 {
        faulty.hint();
        tokio::time::sleep(ms(20)).await;
        println!(
            "{} renews, {:?} terms {} err {:?}",
            faulty.state.renews.load(SeqCst),
            election.status().role,
            election.status().terms,
            election.status().error
        );
    }
    // The outage lasted 100 ms.
    faulty.state.renew_fails.store(false, SeqCst);
    assert_eq!(election.status().terms, 1, "stepped down after 100 ms of a tolerance of 9.25 s");
}
/// Renewals were once put into batches that were never sent.
#[tokio::test(start_paused = true)]
async fn a_lock_is_renewed_while_hints_never_end() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone()).watching(WatchFault::Endless);
    let c = client(&faulty, clock.clone(), Settings::new());
    let guard = c.lock("a").unwrap().acquire(secs(1)).await.unwrap();
    // Some task is always ready, so paused time does not pass by itself.
    for _ in 0..600 {
        tokio::time::advance(ms(100)).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(faulty.state.watches.load(SeqCst), 1);
    assert!(guard.is_held());
}
#[tokio::test(start_paused = true)]
async fn an_observer_does_not_spin_on_an_expired_lease() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new());
    let _g = c.lock("a").unwrap().acquire(secs(1)).await.unwrap();
    faulty.state.zero_remaining.store(true, SeqCst);
    let mut observations = c.observe("a").unwrap();
    tokio::spawn(async move { while observations.next().await.is_some() {} });
    tokio::time::sleep(ms(100)).await;
    let gets = faulty.state.gets.load(SeqCst);
    assert!(gets < 100, "{gets} reads in 100 ms");
}
#[tokio::test]
async fn a_hanging_watch_is_dropped_without_waiters() {
    let faulty = FaultyStore::new(Arc::new(SystemClock)).watching(WatchFault::Hang);
    let weak = Arc::downgrade(&faulty.state);
    let c = client(&faulty, Arc::new(SystemClock), Settings::new());
    drop(faulty);
    let observations = c.observe("a").unwrap();
    tokio::time::sleep(ms(50)).await;
    drop(observations);
    drop(c);
    let dropped = async {
        while weak.strong_count() > 0 {
            tokio::time::sleep(ms(10)).await;
        }
    };
    let dropped = tokio::time::timeout(secs(60), dropped).await;
    assert!(dropped.is_ok(), "a task still keeps the store");
}
#[tokio::test(start_paused = true)]
async fn a_panicking_watch_is_reopened() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone()).watching(WatchFault::PanicOnce);
    let one = client(&faulty, clock.clone(), Settings::new());
    let _e = one.election("a").unwrap().spawn(waiting_job());
    tokio::time::sleep(secs(120)).await;
    let watches = faulty.state.watches.load(SeqCst);
    assert!(watches >= 2, "{watches} watches in 2 minutes");
}
/// The simulation found this with seed 414: the client waited forever for a watch that never
/// opened.
#[tokio::test(start_paused = true)]
async fn a_hanging_watch_is_reopened() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone()).watching(WatchFault::Hang);
    let lock = client(&faulty, clock.clone(), Settings::new()).lock("a").unwrap();
    let other = client(&faulty, clock.clone(), Settings::new()).lock("a").unwrap();
    let guard = other.acquire(Duration::ZERO).await.unwrap();
    let waiting = tokio::spawn(async move { lock.acquire(secs(600)).await.map(drop) });
    tokio::time::sleep(secs(1)).await;
    faulty.set_watch(WatchFault::Inner);
    tokio::time::sleep(secs(20)).await;
    // On paused time, a hint takes no time.
    let released = clock.now();
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(clock.now(), released);
}
