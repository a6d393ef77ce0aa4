//! The engine limits the damage that a misbehaving store or runtime causes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use faulty_store::{FaultyStore, WatchFault};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use leasehold_core::{
    Client, Clock, ElectionHandle, Job, Leadership, LockName, LockStore, MAX_TTL, MemoryStore,
    Moment, Settings, Status, SystemClock, TokioClock, job_fn, start_stop,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
fn client(faulty: &FaultyStore, clock: Arc<dyn Clock>, settings: Settings) -> Client {
    Client::builder(Arc::new(faulty.clone()))
        .clock(clock)
        .settings(settings)
        .seed(1)
        .build()
        .unwrap()
}
fn waiting_job() -> impl Job {
    job_fn(|leadership: Leadership| async move {
        leadership.cancelled().await;
        Ok(())
    })
}
fn finishes(limit: Duration, call: impl FnOnce() + Send + 'static) -> bool {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        let _ = done.send(());
    });
    finished.recv_timeout(limit).is_ok()
}

#[test]
fn observe_outside_a_runtime_panics_as_documented() {
    let client = Client::new(MemoryStore::new()).unwrap();
    assert!(
        finishes(secs(60), move || drop(client.observe("a"))),
        "the call hangs instead of panicking"
    );
}
#[test]
fn spawn_while_the_runtime_shuts_down_does_not_hang() {
    let rt = tokio::runtime::Runtime::new().unwrap();
    let handle = rt.handle().clone();
    drop(rt);
    let client = Client::new(MemoryStore::new()).unwrap();
    assert!(
        finishes(secs(60), move || {
            let _in = handle.enter();
            drop(client.election("a").unwrap().spawn(waiting_job()));
        }),
        "the call hangs"
    );
}
#[tokio::test]
async fn stop_is_called_with_zero_grace() {
    let stops = Arc::new(AtomicU64::new(0));
    let s = stops.clone();
    let client = Client::builder(Arc::new(MemoryStore::new()))
        .settings(Settings::new().stop_grace(Duration::ZERO))
        .build()
        .unwrap();
    let election = client.election("a").unwrap().spawn(start_stop(
        |_| async { Ok(()) },
        move |_| {
            s.fetch_add(1, SeqCst);
            async {}
        },
    ));
    election.watch().wait_for(Status::is_leading).await.unwrap();
    tokio::time::sleep(ms(50)).await;
    election.shutdown().await;
    assert_eq!(stops.load(SeqCst), 1);
}
/// Returns the number of terms whose `stop` came before their `start`, when the election is shut
/// down at the moment at which the term begins.
fn terms_out_of_order(workers: usize, rounds: usize) -> usize {
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let client = Client::new(MemoryStore::new()).unwrap();
        let mut wrong = 0;
        for round in 0..rounds {
            let log = Arc::new(Mutex::new(Vec::new()));
            let (a, b) = (log.clone(), log.clone());
            let client = client.clone();
            let done = tokio::spawn(async move {
                let election = client.election(format!("n{round}")).unwrap().spawn(start_stop(
                    move |_| {
                        a.lock().unwrap().push("start");
                        async { Ok(()) }
                    },
                    move |_| {
                        b.lock().unwrap().push("stop");
                        async {}
                    },
                ));
                // Another worker spins, and sends the shutdown as soon as the status says leading.
                tokio::task::spawn_blocking(move || {
                    while election.status().terms == 0 {
                        std::hint::spin_loop();
                    }
                    let status = election.watch();
                    drop(election);
                    status
                })
                .await
                .unwrap()
            });
            let mut status = done.await.unwrap();
            while status.changed().await.is_ok() {}
            let log = log.lock().unwrap().clone();
            if log != ["start", "stop"] {
                wrong += 1;
                println!("round {round}: {log:?}");
            }
        }
        wrong
    })
}
#[test]
fn stop_never_precedes_start() {
    assert_eq!(
        terms_out_of_order(1, 1000) + terms_out_of_order(2, 1000),
        0,
        "terms whose stop came before their start"
    );
}
#[test]
fn leases_are_kept_when_the_first_runtime_goes_idle() {
    // On a busy machine heartbeats may be too late for a short lease, but not for every longer one.
    let held = (0..6).any(|attempt| renew_in_another_runtime(ms(400) * 2_u32.pow(attempt)));
    assert!(held, "the lease was lost although the store works");
}
fn renew_in_another_runtime(ttl: Duration) -> bool {
    let a = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::builder(Arc::new(MemoryStore::new()))
        .settings(Settings::new().ttl(ttl))
        .build()
        .unwrap();
    a.block_on(async {
        let guard = client.lock("x").unwrap().acquire(secs(60)).await.unwrap();
        tokio::time::sleep(ms(10)).await;
        guard.release().await.unwrap();
    });
    // `a` still exists, but nobody drives it.
    let b =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let held = b.block_on(async {
        let guard = client.lock("y").unwrap().acquire(secs(60)).await.unwrap();
        tokio::time::sleep(ttl * 5 / 2).await;
        guard.is_held()
    });
    drop(a);
    held
}
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
            election.status().standing,
            election.status().terms,
            election.status().error
        );
    }
    // The outage lasted 100 ms.
    faulty.state.renew_fails.store(false, SeqCst);
    assert_eq!(election.status().terms, 1, "stepped down after 100 ms of a tolerance of 9.25 s");
}
#[tokio::test(start_paused = true)]
async fn an_election_survives_a_release_that_panics() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new());
    let election = c.election("a").unwrap().spawn(waiting_job());
    election.watch().wait_for(Status::is_leading).await.unwrap();
    faulty.state.release_panics.store(true, SeqCst);
    election.resign().await;
    faulty.state.release_panics.store(false, SeqCst);
    tokio::time::sleep(secs(60)).await;
    println!("{:?}", election.status());
    assert!(election.status().is_leading(), "the instance never campaigns again");
}
#[tokio::test(start_paused = true)]
async fn a_panicking_renew_fails_only_its_batch() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new().heartbeat_retries(0));
    let slow = c
        .election("slow")
        .unwrap()
        .settings(&Settings::new().ttl(secs(600)).heartbeat_retries(0))
        .unwrap()
        .spawn(waiting_job());
    let fast = c.election("fast").unwrap().spawn(waiting_job());
    tokio::time::sleep(secs(1)).await;
    assert!(slow.status().is_leading() && fast.status().is_leading());
    faulty.state.renew_panics.store(true, SeqCst);
    // Only the fast one's heartbeat is sent; the slow one's is due at 120 s.
    tokio::time::sleep(secs(3)).await;
    faulty.state.renew_panics.store(false, SeqCst);
    println!("terms {} {} {:?}", fast.status().terms, slow.status().terms, fast.status().error);
    println!("fast {:?} slow {:?}", fast.status().standing, slow.status().standing);
    assert_eq!(slow.status().terms, 1, "a lease whose heartbeat was not in the batch stepped down");
}
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_grant_is_released_after_a_disable() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new());
    faulty.state.acquire_loses_reply.store(true, SeqCst);
    let lock = c.lock("a").unwrap();
    let waiting = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire(secs(4)).await.map(drop) }
    });
    tokio::time::sleep(ms(500)).await;
    c.disable("a", "why").await.unwrap();
    faulty.state.acquire_loses_reply.store(false, SeqCst);
    println!("{:?}", waiting.await.unwrap());
    c.enable("a").await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let record = c.status("a").await.unwrap();
    assert!(
        record.lease.is_none(),
        "the lock has no holder, but stays held for another {:?}",
        record.lease.unwrap().left
    );
}
#[tokio::test(start_paused = true)]
async fn a_hanging_call_does_not_delay_shutdown() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    faulty.state.all_hang.store(true, SeqCst);
    let c = client(&faulty, clock.clone(), Settings::new().ttl(MAX_TTL));
    let election = c.election("a").unwrap().spawn(waiting_job());
    tokio::time::sleep(secs(1)).await;
    let from = tokio::time::Instant::now();
    // One call hangs; the store works again.
    faulty.state.all_hang.store(false, SeqCst);
    election.shutdown().await;
    println!("shutdown took {:?}", from.elapsed());
    assert!(from.elapsed() < secs(120));
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
async fn acquire_without_time_tries_once() {
    let c = Client::new(MemoryStore::new()).unwrap();
    let got = c.lock("a").unwrap().acquire(Duration::ZERO).await;
    let err = got.as_ref().err().map(ToString::to_string);
    drop(got);
    tokio::time::sleep(ms(50)).await;
    println!("{err:?}; token in the store: {:?}", c.status("a").await.unwrap().token);
    assert!(err.is_none(), "a free lock was not acquired: {err:?}");
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
#[tokio::test(start_paused = true)]
async fn a_lost_lease_aborts_the_job_at_once() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new());
    let active = Arc::new(AtomicU64::new(0));
    let job = |active: Arc<AtomicU64>| {
        job_fn(move |leadership: Leadership| {
            let active = active.clone();
            async move {
                struct DecrementOnDrop(Arc<AtomicU64>);
                impl Drop for DecrementOnDrop {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, SeqCst);
                    }
                }
                active.fetch_add(1, SeqCst);
                let _active = DecrementOnDrop(active);
                // The work checks `cancelled` only between rounds of 4 s.
                loop {
                    tokio::time::sleep(secs(4)).await;
                    if leadership.cancellation().is_cancelled() {
                        return Ok(());
                    }
                }
            }
        })
    };
    let election = c.election("a").unwrap().spawn(job(active.clone()));
    election.watch().wait_for(Status::is_leading).await.unwrap();
    tokio::time::sleep(ms(100)).await;
    let lease = c.status("a").await.unwrap().lease.unwrap().id;
    // The lease is released without the holder's knowledge.
    faulty.inner.release(&LockName::new("a").unwrap(), lease).await.unwrap();
    let other = client(&faulty, clock.clone(), Settings::new());
    let other_election = other.election("a").unwrap().spawn(job(active.clone()));
    tokio::time::sleep(ms(500)).await;
    println!("{:?} {:?}", election.status().standing, other_election.status().standing);
    assert!(active.load(SeqCst) <= 1, "two jobs work, one of them without its lease");
}

/// The model checker found this: an instance must not block itself.
#[tokio::test(start_paused = true)]
async fn a_lock_refused_after_an_unknown_attempt_keeps_its_lease_id() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let lock = client(&faulty, clock.clone(), Settings::new()).lock("a").unwrap();
    faulty.state.acquire_loses_reply.store(true, SeqCst);
    let waiting = tokio::spawn(async move { lock.acquire(secs(60)).await.map(drop) });
    tokio::time::sleep(ms(10)).await;
    // The first request gets no reply, and another lease blocks the second.
    let name = LockName::new("a").unwrap();
    let first = faulty.state.acquire_ids.lock().unwrap()[0];
    faulty.inner.release(&name, first).await.unwrap();
    let other = client(&faulty, clock, Settings::new()).lock("a").unwrap();
    faulty.state.acquire_loses_reply.store(false, SeqCst);
    let guard = other.acquire(Duration::ZERO).await.unwrap();
    tokio::time::sleep(secs(20)).await;
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap();
    // The first request might have arrived in the meantime, and its lease would block a new id.
    let attempted = faulty.state.acquire_ids.lock().unwrap();
    let own: Vec<_> = attempted.iter().filter(|id| **id == first).collect();
    assert_eq!(own.len() + 1, attempted.len(), "{attempted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_dropped_release_is_retried_in_the_background() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock, Settings::new());
    let lock = c.lock("a").unwrap();
    let is_free = async || c.status("a").await.unwrap().lease.is_none();

    let guard = lock.acquire(secs(1)).await.unwrap();
    faulty.state.release_panics.store(true, SeqCst);
    assert!(guard.release().await.is_err());
    faulty.state.release_panics.store(false, SeqCst);
    tokio::time::sleep(secs(1)).await;
    assert!(is_free().await, "the release is not retried");

    let guard = lock.acquire(secs(1)).await.unwrap();
    faulty.state.all_hang.store(true, SeqCst);
    assert!(guard.release().now_or_never().is_none());
    faulty.state.all_hang.store(false, SeqCst);
    tokio::time::sleep(secs(1)).await;
    assert!(is_free().await, "the release was dropped and not retried");
}

/// A lease from before the disable is ending; if it counted as a grant, it would be lost at once.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_lock_grant_before_a_disable_is_not_used() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock, Settings::new());
    let lock = c.lock("a").unwrap();
    faulty.state.acquire_loses_reply.store(true, SeqCst);
    let waiting = tokio::spawn(async move { lock.acquire(secs(60)).await });
    tokio::time::sleep(ms(10)).await;
    c.disable("a", "why").await.unwrap();
    faulty.state.acquire_loses_reply.store(false, SeqCst);
    let attempts = || faulty.state.acquire_ids.lock().unwrap().len();
    let before = attempts();
    while attempts() == before {
        tokio::time::sleep(ms(1)).await;
    }
    c.enable("a").await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    let lost = tokio::time::timeout(secs(60), guard.lost()).await;
    assert!(lost.is_err(), "an ending lease counted as a grant: {lost:?}");
}

/// The simulation found this with seed 0: the lease was released, and a leadership that the job had
/// kept was trusted for the rest of it.
#[tokio::test(start_paused = true)]
async fn a_leadership_outliving_its_term_is_not_held() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let client = client(&faulty, clock, Settings::new());
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = kept.clone();
    let start = move |leadership: Leadership| {
        *keep.lock().unwrap() = Some(leadership);
        std::future::ready(Ok(()))
    };
    let job = start_stop(start, |_| std::future::ready(()));
    let election = client.election("a").unwrap().spawn(job);
    election.watch().wait_for(Status::is_leading).await.unwrap();
    tokio::time::sleep(ms(10)).await;
    let leadership = kept.lock().unwrap().take().unwrap();
    assert!(leadership.is_held());
    election.resign().await;
    assert!(!leadership.is_held(), "{leadership:?}");
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

/// This clock drops an election's handle when it is read for the n-th time.
#[derive(Debug, Default)]
struct DropAtStep {
    reads_left: AtomicU64,
    handle: Mutex<Option<ElectionHandle>>,
}

impl Clock for DropAtStep {
    fn now(&self) -> Moment {
        let count = |left: u64| left.checked_sub(1);
        if self.reads_left.fetch_update(SeqCst, SeqCst, count) == Ok(1) {
            self.handle.lock().unwrap().take();
        }
        SystemClock.now()
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        SystemClock.sleep_until(moment)
    }
}

/// The instance once led forever without a job, if that moment was between the grant's reply and
/// `start`.
#[tokio::test]
async fn dropping_the_handle_at_any_step_ends_the_election() {
    for read in 1..1000 {
        let clock = Arc::new(DropAtStep::default());
        let store = Arc::new(MemoryStore::new());
        let client = Client::builder(store).clock(clock.clone()).build().unwrap();
        let handle = client.election("a").unwrap().spawn(waiting_job());
        let mut status = handle.watch();
        *clock.handle.lock().unwrap() = Some(handle);
        clock.reads_left.store(read, SeqCst);
        let ended = async {
            // This fails if the election has ended.
            let _ = status.wait_for(Status::is_leading).await;
            let never_dropped = clock.handle.lock().unwrap().take().is_some();
            while status.changed().await.is_ok() {}
            never_dropped
        };
        let ended = tokio::time::timeout(secs(30), ended).await;
        assert!(ended.is_ok(), "the election continues when the handle is dropped at read {read}");
        assert_eq!(client.status("a").await.unwrap().lease, None, "after read {read}");
        if ended == Ok(true) {
            assert!(read > 5, "every step to the lead was tried");
            return;
        }
    }
    panic!("the instance never led");
}
