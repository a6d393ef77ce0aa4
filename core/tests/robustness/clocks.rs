//! These tests cover a machine that is suspended, and a clock that panics or drops a guard.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use leasehold_core::{Clock, Guard, LossReason, Moment, Settings, TokioClock};
use tokio::runtime::Builder;

use super::faulty_store::FaultyStore;
use super::{client, ms, secs};

/// This clock counts the time for which a test suspends the machine. Timers do not, so they are
/// late after that.
#[derive(Debug)]
struct SuspendedClock {
    clock: TokioClock,
    suspended_ms: AtomicU64,
}

impl SuspendedClock {
    fn suspended(&self) -> Duration {
        ms(self.suspended_ms.load(SeqCst))
    }
}

impl Clock for SuspendedClock {
    fn now(&self) -> Moment {
        self.clock.now() + self.suspended()
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(moment.saturating_sub(self.suspended()))
    }
}

/// Its renewal would have no time for a reply, or keep the name from others for another ttl.
#[tokio::test(start_paused = true)]
async fn a_lock_that_expired_while_the_machine_was_suspended_is_not_renewed() {
    let (clock, suspended_ms) = (TokioClock::new(), AtomicU64::new(0));
    let clock = Arc::new(SuspendedClock { clock, suspended_ms });
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
