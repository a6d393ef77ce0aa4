//! Keeps a timer in a runtime while calls are made there, so that the timers of the calls cost less.
//!
//! Each call sets a timer for its limits. If it is earlier than all other timers, the runtime wakes
//! the thread that waits for input, which then waits again. That happens once per call or more, for
//! limits that are almost never reached. While an earlier timer exists, later ones wake no thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// The limits of calls are longer than this.
const INTERVAL: Duration = Duration::from_millis(100);

/// A timer that repeats for as long as calls follow each other.
#[derive(Debug, Default)]
pub(super) struct EarlyTimer(Arc<TimerState>);

#[derive(Debug, Default)]
struct TimerState {
    is_running: AtomicBool,
    /// This is true if a call was made since the timer fired.
    is_used: AtomicBool,
}

impl EarlyTimer {
    /// Notes that a call is made, and starts the timer if it does not run.
    pub(super) fn note_call(&self) {
        let state = &self.0;
        state.is_used.store(true, Ordering::Relaxed);
        if state.is_running.load(Ordering::Relaxed)
            || state.is_running.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let state = Arc::clone(state);
        tokio::spawn(async move {
            while state.is_used.swap(false, Ordering::Relaxed) {
                sleep(INTERVAL).await;
            }
            // A call that is made just now goes without the timer.
            state.is_running.store(false, Ordering::Relaxed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_timer_runs_while_calls_are_made() {
        let timer = EarlyTimer::default();
        let is_running = || timer.0.is_running.load(Ordering::Relaxed);
        for _ in 0..2 {
            for _ in 0..5 {
                timer.note_call();
                sleep(INTERVAL / 2).await;
                assert!(is_running());
            }
            sleep(INTERVAL * 3).await;
            assert!(!is_running());
        }
    }
}
