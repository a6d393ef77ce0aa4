//! A hint is followed at once while few clients wait, and at different moments when many do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/counting_store.rs"]
mod counting_store;
#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use counting_store::{CountingStore, LATENCY};
use faulty_store::{FaultyStore, WatchFault};
use leasehold_core::{Client, Guard, Lock, Settings, TokioClock, job_from_fns};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A hint is held back for less than this.
const LONGEST: Duration = Duration::from_millis(10);

/// A lock that one client holds and another wants, on a store whose hints the test sends and whose
/// requests it counts.
struct Contended {
    store: FaultyStore,
    held: Lock,
    guard: Guard,
    other: Client,
}

impl Contended {
    /// Lets a client hold the lock. Polls and heartbeats are a part of a day apart.
    async fn new() -> Self {
        let clock = Arc::new(TokioClock::new());
        let store = FaultyStore::new(clock.clone()).watching(WatchFault::Manual);
        let [holder, other] = [1, 2].map(|seed| {
            let settings = Settings::new().ttl(DAY).poll_interval(DAY);
            let builder = Client::builder(Arc::new(store.clone())).clock(clock.clone());
            builder.settings(settings).seed(seed).build().unwrap()
        });
        let held = holder.lock("a").unwrap();
        let guard = held.acquire(DAY).await.unwrap();
        Self { store, held, guard, other }
    }

    fn requests(&self) -> u64 {
        self.store.state.acquires.load(SeqCst)
    }

    /// Sends a hint, and returns whether it was followed at once. It is always followed soon, by
    /// one request.
    async fn hint(&self) -> bool {
        let before = self.requests();
        self.store.hint();
        // No time passes while a task can run.
        for _ in 0..100 {
            yield_now().await;
        }
        let at_once = self.requests() > before;
        sleep(LONGEST).await;
        assert_eq!(self.requests(), before + 1);
        at_once
    }

    /// Lets the waiter lose so many races that the spread of its hints grows no further: before
    /// each hint the holder has released the lock and has acquired it again.
    async fn lose_races(mut self) -> Self {
        for _ in 0..30 {
            self.guard.release().await.unwrap();
            self.guard = self.held.try_acquire().await.unwrap().unwrap();
            self.hint().await;
        }
        self
    }
}

async fn acquire(lock: Lock) -> (Guard, Instant) {
    (lock.acquire(DAY * 2).await.unwrap(), Instant::now())
}

#[tokio::test(start_paused = true)]
async fn one_waiter_follows_each_hint_at_once() {
    let store = CountingStore::new();
    let clients = [store.client(), store.another().client()];
    let mut held = clients[0].lock("a").unwrap().acquire(DAY).await.unwrap();
    for client in clients.iter().rev().cycle().take(50) {
        let waiting = tokio::spawn(acquire(client.lock("a").unwrap()));
        sleep(SECOND).await;
        let released = Instant::now();
        held.release().await.unwrap();
        let (guard, granted) = waiting.await.unwrap();
        assert_eq!(granted - released, 2 * LATENCY, "a release and an acquire");
        held = guard;
    }
    held.release().await.unwrap();
}

/// The client that releases may ask twice: once after the release, and once after its own hint.
#[tokio::test(start_paused = true)]
async fn a_hand_over_costs_at_most_one_call_per_client_and_two_more() {
    const CLIENTS: usize = 10;
    let first = CountingStore::new();
    let stores = [(); CLIENTS].map(|()| first.another());
    for store in &stores {
        let lock = store.client().lock("a").unwrap();
        for _ in 0..20 {
            let lock = lock.clone();
            tokio::spawn(async move {
                loop {
                    let guard = lock.acquire(DAY).await.unwrap();
                    sleep(LATENCY * 10).await;
                    guard.release().await.unwrap();
                }
            });
        }
    }
    let count = |operation| stores.iter().map(|store| store.count(operation)).sum::<usize>();
    sleep(5 * SECOND).await;
    let before = [count("acquire"), count("release")];
    sleep(60 * SECOND).await;
    let (acquires, releases) = (count("acquire") - before[0], count("release") - before[1]);
    assert!(releases > 300, "{releases} hand-overs");
    // Some calls belong to the hand-overs before and after.
    let most = releases * (CLIENTS + 2) + CLIENTS;
    assert!(acquires + releases <= most, "{acquires} acquires for {releases} hand-overs");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_lost_many_races_follows_hints_at_random_moments() {
    let contended = Contended::new().await;
    let lock = contended.other.lock("a").unwrap();
    let waiting = tokio::spawn(acquire(lock));
    sleep(SECOND).await;
    assert!(contended.hint().await, "it has lost no race yet");
    let contended = contended.lose_races().await;
    let mut at_once = 0;
    for _ in 0..100 {
        at_once += u32::from(contended.hint().await);
    }
    assert!((5..50).contains(&at_once), "{at_once} of 100 hints were followed at once");
    waiting.abort();
}

/// Hints also tell of other changes, and may repeat.
#[tokio::test(start_paused = true)]
async fn hints_without_a_new_grant_are_followed_at_once() {
    let contended = Contended::new().await;
    let waiting = tokio::spawn(acquire(contended.other.lock("a").unwrap()));
    sleep(SECOND).await;
    for _ in 0..50 {
        assert!(contended.hint().await);
    }
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn several_hints_within_the_spread_cause_fewer_requests() {
    let contended = Contended::new().await;
    let waiting = tokio::spawn(acquire(contended.other.lock("a").unwrap()));
    sleep(SECOND).await;
    let contended = contended.lose_races().await;
    let before = contended.requests();
    for _ in 0..100 {
        contended.store.hint();
        sleep(Duration::from_millis(1)).await;
    }
    sleep(LONGEST).await;
    let requests = contended.requests() - before;
    assert!((20..90).contains(&requests), "{requests} requests after 100 hints");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_real_release_is_followed_soon_however_many_races_were_lost() {
    let contended = Contended::new().await;
    let waiting = tokio::spawn(acquire(contended.other.lock("a").unwrap()));
    sleep(SECOND).await;
    let contended = contended.lose_races().await;
    contended.guard.release().await.unwrap();
    contended.store.hint();
    let (guard, _) = timeout(LONGEST, waiting).await.expect("the hint is followed").unwrap();
    guard.release().await.unwrap();
}

/// The guard's release wakes the next task of its client, which needs no hint.
#[tokio::test(start_paused = true)]
async fn a_lock_is_handed_over_within_a_client_at_once_however_many_races_were_lost() {
    let contended = Contended::new().await;
    let lock = contended.other.lock("a").unwrap();
    let first = tokio::spawn(acquire(lock.clone()));
    let second = tokio::spawn(acquire(lock));
    sleep(SECOND).await;
    let contended = contended.lose_races().await;
    contended.guard.release().await.unwrap();
    contended.store.hint();
    let (guard, _) = first.await.unwrap();
    sleep(SECOND).await;
    let released = Instant::now();
    guard.release().await.unwrap();
    let (_guard, granted) = second.await.unwrap();
    assert_eq!(granted, released);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_lost_many_races_follows_hints_at_random_moments() {
    let contended = Contended::new().await;
    let job = job_from_fns(|_| async { Ok(()) }, |_| async {});
    let election = contended.other.election("a").unwrap().spawn(job);
    sleep(SECOND).await;
    assert!(contended.hint().await, "it has lost no race yet");
    let contended = contended.lose_races().await;
    let mut at_once = 0;
    for _ in 0..100 {
        at_once += u32::from(contended.hint().await);
    }
    assert!((5..50).contains(&at_once), "{at_once} of 100 hints were followed at once");
    election.shutdown().await;
}
