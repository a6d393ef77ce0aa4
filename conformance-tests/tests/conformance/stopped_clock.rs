//! This module defines a runtime whose clock is stopped. No timer wakes a task there, so a task
//! that wakes was woken by something else, however long that takes on a busy machine.

use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use leasehold_conformance::{CaseResult, Failure};
use tokio::runtime::Builder;
use tokio::sync::{mpsc as ticks, oneshot};
use tokio::time::advance;

/// Controls the clock of such a runtime from a task on it.
pub(crate) struct StoppedClock(ticks::UnboundedReceiver<()>);

impl StoppedClock {
    const TICK: Duration = Duration::from_millis(2);

    /// Lets the clock run normally until the future is ready.
    pub(crate) async fn go_until<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.tick_until(1, Self::TICK, future).await
    }

    /// Lets the clock jump by 600 ms every three seconds until the future is ready. In between, no
    /// time passes on it.
    pub(crate) async fn jump_until<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.tick_until(1500, Duration::from_millis(600), future).await
    }

    /// Lets the clock advance by at most 2 ms a second until the future is ready.
    pub(crate) async fn crawl_until<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.tick_until(500, Self::TICK, future).await
    }

    async fn tick_until<T>(
        &mut self,
        every: usize,
        by: Duration,
        future: impl Future<Output = T>,
    ) -> T {
        // Ticks from the time when the clock was stopped do not count.
        while self.0.try_recv().is_ok() {}
        let mut future = pin!(future);
        for tick in 1_usize.. {
            tokio::select! {
                ready = &mut future => return ready,
                Some(()) = self.0.recv() => {}
            }
            if tick.is_multiple_of(every) {
                advance(by).await;
            }
        }
        future.await
    }
}

/// Runs the task in a new thread, on a runtime whose clock is stopped unless the task lets
/// it [go](StoppedClock::go_until). Thread and runtime end when the returned future is dropped.
pub(crate) async fn on_stopped_clock<T, F>(
    run: impl FnOnce(StoppedClock) -> F + Send + 'static,
) -> CaseResult<T>
where
    T: Send + 'static,
    F: Future<Output = CaseResult<T>>,
{
    let (mut sender, result) = oneshot::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        let Ok(runtime) = runtime else { return };
        let (ended, end) = mpsc::channel::<()>();
        let outcome = runtime.block_on(async {
            let (tick, clock) = ticks::unbounded_channel();
            // While a blocking task runs, a paused clock does not advance automatically.
            tokio::task::spawn_blocking(move || {
                while let Err(mpsc::RecvTimeoutError::Timeout) =
                    end.recv_timeout(StoppedClock::TICK)
                {
                    _ = tick.send(());
                }
            });
            tokio::select! {
                outcome = run(StoppedClock(clock)) => Some(outcome),
                () = sender.closed() => None,
            }
        });
        drop(ended);
        if let Some(outcome) = outcome {
            _ = sender.send(outcome);
        }
    });
    result.await.unwrap_or_else(|_| Err(Failure::new("the runtime with a stopped clock panicked")))
}
