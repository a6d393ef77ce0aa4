//! One thread notices that the machine was suspended, for all sleeps of the process.
//!
//! Timers stop while the machine is suspended. A sleep that read the clock now and then would wake
//! its thread each time, so a hundred thousand sleeps would keep a processor busy.

use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::Notify;

use crate::Moment;

/// The thread looks at the clock this often, so a sleep is late by at most this much after a
/// resume.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The thread may get the processor a little late, so a smaller excess has no meaning.
const SHORTEST: Duration = Duration::from_millis(50);

/// A sleep reads the clock at least this often, because tokio's timers have a maximum.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// This is notified when the machine has resumed.
static RESUMED: Notify = Notify::const_new();

/// This counts the sleeps in progress. The thread is parked while there are none.
static SLEEPERS: AtomicUsize = AtomicUsize::new(0);

/// A sleeper is one sleep in progress.
struct Sleeper;

impl Sleeper {
    fn new(watcher: &Thread) -> Self {
        if SLEEPERS.fetch_add(1, Ordering::SeqCst) == 0 {
            watcher.unpark();
        }
        Self
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        SLEEPERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until that moment by the clock that `read` reads, which counts suspended time, or until
/// the machine has resumed. Without the thread it waits at most for an [interval](INTERVAL).
pub(super) async fn sleep(moment: Moment, read: fn() -> Moment) {
    let Some(watcher) = watcher(read) else {
        return tokio::time::sleep(moment.saturating_since(read()).min(INTERVAL)).await;
    };
    // The registration comes before the look at the clock, so that no resume is missed in between.
    let mut resumed = pin!(RESUMED.notified());
    resumed.as_mut().enable();
    let _sleeper = Sleeper::new(watcher);
    tokio::select! {
        biased;
        () = tokio::time::sleep(moment.saturating_since(read()).min(LONGEST)) => {}
        () = resumed => {}
    }
}

/// Returns the thread, which starts with the first sleep, or `None` if it cannot be started.
fn watcher(read: fn() -> Moment) -> Option<&'static Thread> {
    static WATCHER: OnceLock<Option<Thread>> = OnceLock::new();
    let start = || {
        let thread = thread::Builder::new().name("leasehold-clock".to_owned());
        let started = thread.spawn(move || watch(read));
        started.ok().map(|handle| handle.thread().clone())
    };
    WATCHER.get_or_init(start).as_ref()
}

fn watch(read: fn() -> Moment) {
    let mut before = read();
    loop {
        // The time in which the thread is parked counts too: a sleep that began before the thread
        // runs again misses no resume, and one notification too many does no harm.
        while SLEEPERS.load(Ordering::SeqCst) == 0 {
            thread::park();
        }
        thread::sleep(INTERVAL);
        let now = read();
        if may_have_been_suspended(before, now) {
            RESUMED.notify_waiters();
        }
        before = now;
    }
}

/// Returns whether more time has passed than the thread slept: its timer stops while the machine is
/// suspended, on every system. This also happens if the machine is busy.
fn may_have_been_suspended(before: Moment, now: Moment) -> bool {
    now.saturating_since(before) >= INTERVAL + SHORTEST
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_clock_that_has_advanced_further_than_the_timer_is_a_suspend() {
        assert!(!may_have_been_suspended(at(5_000), at(6_001)));
        assert!(!may_have_been_suspended(at(5_001), at(5_000)));
        assert!(may_have_been_suspended(at(5_000), at(7_000)));
    }

    #[tokio::test]
    async fn a_sleep_ends_when_the_machine_has_resumed() {
        let mut slept = pin!(sleep(at(3_600_000), || Moment::ORIGIN));
        assert!(slept.as_mut().now_or_never().is_none());
        RESUMED.notify_waiters();
        assert!(slept.as_mut().now_or_never().is_some());
    }
}
