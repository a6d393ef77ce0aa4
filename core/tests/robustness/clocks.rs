//! These tests cover a machine that is suspended, and a clock that panics or drops a guard.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use leasehold_core::{Clock, Guard, LossReason, Moment, Settings, Status, TokioClock};
use tokio::runtime::Builder;

use super::faulty_store::FaultyStore;
use super::{client, ms, secs, waiting_job};

/// This clock counts the time for which a test suspends the machine. Timers do not, so they are
/// late after that.
#[derive(Debug)]
struct SuspendedClock {
    clock: TokioClock,
    suspended_ms: AtomicU64,
    /// The machine is suspended at this read from now, or not by a read if this is zero.
    reads_left: AtomicU64,
    /// A read suspends the machine for this time.
    next_ms: AtomicU64,
}

impl SuspendedClock {
    fn new(clock: TokioClock) -> Arc<Self> {
        let [suspended_ms, reads_left, next_ms] = [0; 3].map(AtomicU64::new);
        Arc::new(Self { clock, suspended_ms, reads_left, next_ms })
    }

    fn suspended(&self) -> Duration {
        ms(self.suspended_ms.load(SeqCst))
    }
}

impl Clock for SuspendedClock {
    fn now(&self) -> Moment {
        let count = |left: u64| left.checked_sub(1);
        if self.reads_left.fetch_update(SeqCst, SeqCst, count) == Ok(1) {
            self.suspended_ms.store(self.next_ms.load(SeqCst), SeqCst);
        }
        self.clock.now() + self.suspended()
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(moment.saturating_sub(self.suspended()))
    }
}

/// Its renewal would have no time for a reply, or keep the name from others for another ttl.
#[tokio::test(start_paused = true)]
async fn a_lock_that_expired_while_the_machine_was_suspended_is_not_renewed() {
    let clock = SuspendedClock::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new());
    let guard = c.lock("a").unwrap().acquire(secs(1)).await.unwrap();
    // Heartbeats are sent after 3 s and after 6 s.
    tokio::time::sleep(secs(4)).await;
    assert_eq!(faulty.state.renews.load(SeqCst), 1);
    clock.suspended_ms.store(60_000, SeqCst);
    tokio::time::sleep(secs(4)).await;
    assert_eq!(faulty.state.renews.load(SeqCst), 1, "the lease has ended");
    assert_eq!(guard.lost().await, LossReason::Expired);
}

/// Holds two locks that share a batch, suspends the machine past their trust deadline at that read
/// of the clock after the batch was sent, and returns which of the locks are still held.
async fn held_after_suspension_at(read: u64) -> (bool, bool) {
    let tokio_clock = TokioClock::new();
    let clock = SuspendedClock::new(tokio_clock);
    let faulty = FaultyStore::new(Arc::new(tokio_clock));
    let c = client(&faulty, clock.clone(), Settings::new());
    let first = c.lock("a").unwrap().acquire(secs(1)).await.unwrap();
    let second = c.lock("b").unwrap().acquire(secs(1)).await.unwrap();
    // The first heartbeat is sent after 3 s, and has its reply after 4 s.
    faulty.state.latency_ms.store(1_000, SeqCst);
    tokio::time::sleep(ms(3_500)).await;
    assert_eq!(faulty.state.renews.load(SeqCst), 1, "the locks do not share a batch");
    // When the reply comes, half a second later, the deadline of before the heartbeat has passed by
    // half a second. The new one is three seconds later.
    let until_deadline = u64::try_from(first.remaining().as_millis()).unwrap();
    clock.next_ms.store(until_deadline, SeqCst);
    clock.reads_left.store(read, SeqCst);
    tokio::time::sleep(ms(700)).await;
    (first.is_held(), second.is_held())
}

/// A batch reads the clock once for all its replies, but no lease that has ended is trusted again.
#[tokio::test(start_paused = true)]
async fn a_lock_whose_trust_ends_between_two_replies_of_its_batch_is_lost() {
    let mut held = Vec::new();
    for read in 1..=8 {
        held.push(held_after_suspension_at(read).await);
    }
    // The first lock is extended, then the machine is suspended, and then the second has its reply.
    assert!(held.contains(&(true, false)), "{held:?}");
    assert!(!held.contains(&(false, true)), "{held:?}");
}

/// This clock panics once, a few calls after a test says so.
#[derive(Debug)]
struct PanickingClock {
    clock: TokioClock,
    /// The clock panics at this call from now, or never if this is zero.
    panics_at: AtomicU64,
}

impl Clock for PanickingClock {
    fn now(&self) -> Moment {
        let count = |calls: u64| calls.checked_sub(1);
        let before = self.panics_at.fetch_update(SeqCst, SeqCst, count);
        assert!(before != Ok(1), "the clock panics");
        self.clock.now()
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(moment)
    }
}

/// A lock whose tick was lost sent no retry.
#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_costs_no_lock() {
    for call in 1..=12 {
        let (tokio_clock, panics_at) = (TokioClock::new(), AtomicU64::new(0));
        let clock = Arc::new(PanickingClock { clock: tokio_clock, panics_at });
        let faulty = FaultyStore::new(Arc::new(tokio_clock));
        let c = client(&faulty, clock.clone(), Settings::new());
        let guard = c.lock("a").unwrap().acquire(secs(1)).await.unwrap();
        // The first heartbeat, after 3 s, has no reply. It is repeated after 4.5 s.
        faulty.state.all_hang.store(true, SeqCst);
        tokio::time::sleep(secs(4)).await;
        faulty.state.all_hang.store(false, SeqCst);
        clock.panics_at.store(call, SeqCst);
        tokio::time::sleep(secs(20)).await;
        assert_eq!(clock.panics_at.load(SeqCst), 0, "the clock has not panicked");
        assert!(guard.is_held(), "the lock was lost after a panic at call {call}");
    }
}

/// The clock is read once for all replies of a batch, and a panic there used to cost all of them.
/// The reply to the task of an election needs no time.
#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_when_a_batch_is_answered_costs_no_election_its_heartbeat() {
    let mut errors = Vec::new();
    for call in 1..=6 {
        let (tokio_clock, panics_at) = (TokioClock::new(), AtomicU64::new(0));
        let clock = Arc::new(PanickingClock { clock: tokio_clock, panics_at });
        let faulty = FaultyStore::new(Arc::new(tokio_clock));
        let c = client(&faulty, clock.clone(), Settings::new());
        let election = c.election("a").unwrap().spawn(waiting_job());
        election.watch().wait_for(Status::is_leading).await.unwrap();
        let guard = c.lock("b").unwrap().acquire(secs(1)).await.unwrap();
        // The first heartbeat is sent after 3 s, and has its reply after 4 s.
        faulty.state.latency_ms.store(1_000, SeqCst);
        tokio::time::sleep(ms(3_500)).await;
        assert_eq!(faulty.state.renews.load(SeqCst), 1, "they do not share a batch");
        clock.panics_at.store(call, SeqCst);
        tokio::time::sleep(ms(700)).await;
        assert_eq!(clock.panics_at.swap(0, SeqCst), 0, "the clock has not panicked");
        let error = election.status().error;
        errors.push(error.map(|error| error.to_string()).unwrap_or_default());
        assert!(guard.is_held(), "the lock was lost after a panic at call {call}");
    }
    // Where the clock panics before the store's reply is recorded, the heartbeat itself has failed.
    let recorded = errors.iter().position(String::is_empty).unwrap_or(errors.len());
    let (failed, answered) = errors.split_at(recorded);
    let has_failed = |error: &String| error.ends_with("the heartbeat panicked");
    assert!(failed.iter().all(has_failed), "{errors:?}");
    assert!(!answered.is_empty() && answered.iter().all(String::is_empty), "{errors:?}");
}

/// This clock drops a guard when it is read for the n-th time.
#[derive(Debug)]
struct DroppingClock {
    clock: TokioClock,
    reads_left: AtomicU64,
    guard: Mutex<Option<Guard>>,
}

impl Clock for DroppingClock {
    fn now(&self) -> Moment {
        let count = |left: u64| left.checked_sub(1);
        if self.reads_left.fetch_update(SeqCst, SeqCst, count) == Ok(1) {
            let guard = self.guard.lock().unwrap().take();
            drop(guard);
        }
        self.clock.now()
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(moment)
    }
}

/// Holds a lock whose guard is dropped at that read of the clock, and returns whether the lock is
/// free then.
async fn is_freed_at(read: u64) -> bool {
    let (tokio_clock, reads_left) = (TokioClock::new(), AtomicU64::new(0));
    let clock = Arc::new(DroppingClock { clock: tokio_clock, reads_left, guard: Mutex::default() });
    let faulty = FaultyStore::new(Arc::new(tokio_clock));
    let c = client(&faulty, clock.clone(), Settings::new());
    let guard = c.lock("a").unwrap().acquire(secs(1)).await.unwrap();
    *clock.guard.lock().unwrap() = Some(guard);
    clock.reads_left.store(read, SeqCst);
    tokio::time::sleep(secs(60)).await;
    let dropped = clock.guard.lock().unwrap().is_none();
    dropped && c.status("a").await.unwrap().lease.is_none()
}

/// The lease was once locked while the clock was read, so dropping the guard waited forever.
#[test]
fn a_guard_is_dropped_at_any_read_of_the_clock() {
    let (send, freed) = mpsc::channel();
    // A test that waits forever must fail.
    thread::spawn(move || {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        for read in 1..=30 {
            send.send(runtime.block_on(is_freed_at(read))).unwrap();
        }
    });
    for read in 1..=30 {
        assert_eq!(freed.recv_timeout(secs(60)), Ok(true), "at read {read}");
    }
}
