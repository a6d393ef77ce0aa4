//! A term's job runs as two tasks: one for its `start` and one for its `stop`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info_span};

use super::fence::TermFence;
use super::{Job, Leadership, StopReason};
use crate::telemetry::GaugeGuard;

/// The tasks of a term have one of these outcomes.
pub(super) enum JobOutcome {
    /// `start` failed or panicked, so the term has to end.
    StartFailed(String),
    /// `start` returned, and with it the term's work is finished.
    Finished,
    /// `start` and `stop` have both ended.
    Ended,
}

/// These are the tasks of one term.
pub(super) struct JobTasks {
    /// The job runs in the application's runtime; the election runs elsewhere.
    runtime: Handle,
    job: Arc<dyn Job>,
    pub(super) leadership: Leadership,
    /// The task also formats the error of `start`, because that runs the job's code too.
    start: Option<JoinHandle<Result<(), String>>>,
    stop: Option<JoinHandle<()>>,
    start_abort: AbortHandle,
    ends_when_start_returns: bool,
    stopping: bool,
    /// This token is cancelled once `start` has been called or never will be.
    start_called: CancellationToken,
    stop_abort: CancellationToken,
    span: Span,
    _leading: GaugeGuard,
}

impl JobTasks {
    /// Spawns the task that raises the fence, if there is one, and calls `start`.
    pub(super) fn start(
        runtime: Handle,
        job: Arc<dyn Job>,
        ends_when_start_returns: bool,
        fence: Option<TermFence>,
        leadership: Leadership,
        leading: GaugeGuard,
    ) -> Self {
        let (lock, token) = (leadership.name.as_str(), leadership.token.get());
        let span = info_span!("term", lock, token);
        let start_called = CancellationToken::new();
        let start = runtime.spawn({
            let (job, leadership) = (job.clone(), leadership.clone());
            let called = start_called.clone().drop_guard();
            async move {
                if let Some(fence) = fence {
                    match fence.before_start(&leadership).await {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
                let mut work = job.start(leadership);
                // `stop` waits for this, because a task that is spawned later may run earlier.
                let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
                drop(called);
                let done = match first {
                    Poll::Ready(done) => done,
                    Poll::Pending => work.await,
                };
                done.map_err(|error| error.to_string())
            }
            .instrument(span.clone())
        });
        let start_abort = start.abort_handle();
        Self {
            runtime,
            job,
            leadership,
            start: Some(start),
            stop: None,
            start_abort,
            ends_when_start_returns,
            stopping: false,
            start_called,
            stop_abort: CancellationToken::new(),
            span,
            _leading: leading,
        }
    }

    /// Cancels the leadership and calls `stop`.
    pub(super) fn stop(&mut self, reason: StopReason) {
        self.leadership.cancellation.cancel();
        let job = self.job.clone();
        let (start_called, aborted) = (self.start_called.clone(), self.stop_abort.clone());
        let stop = async move {
            tokio::select! {
                biased;
                () = start_called.cancelled() => {}
                () = aborted.cancelled() => {}
            }
            tokio::select! {
                // The order matters: `stop` is called even if there is no time for it.
                biased;
                () = job.stop(&reason) => {}
                () = aborted.cancelled() => {}
            }
        };
        self.stop = Some(self.runtime.spawn(stop.instrument(self.span.clone())));
        self.stopping = true;
    }

    pub(super) fn abort_start(&self) {
        self.start_abort.abort();
    }

    pub(super) fn abort_all(&self) {
        self.start_abort.abort();
        self.stop_abort.cancel();
    }

    /// Waits for the next outcome of the tasks.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call returns the outcome.
    pub(super) async fn next(&mut self) -> JobOutcome {
        loop {
            tokio::select! {
                biased;
                started = finished(&mut self.start) => {
                    let outcome = match started {
                        Ok(Ok(())) if self.ends_when_start_returns => Some(JobOutcome::Finished),
                        Ok(Ok(())) => None,
                        Ok(Err(error)) => Some(JobOutcome::StartFailed(error)),
                        Err(error) if error.is_cancelled() => None,
                        Err(error) => Some(JobOutcome::StartFailed(describe(error))),
                    };
                    if let Some(outcome) = outcome && !self.stopping {
                        return outcome;
                    }
                }
                stopped = finished(&mut self.stop) => {
                    if let Err(error) = stopped && error.is_panic() {
                        let name = self.leadership.name.as_str();
                        tracing::error!(lock = name, error = describe(error), "stop panicked");
                    }
                }
                // No task is left: the term has ended, or continues without tasks until it is
                // stopped.
                () = std::future::ready(()), if self.start.is_none() && self.stop.is_none() => {
                    if self.stopping {
                        return JobOutcome::Ended;
                    }
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// Waits for the end of a task and clears it; it stays pending when there is no task.
fn finished<T: Send + 'static>(
    task: &mut Option<JoinHandle<T>>,
) -> BoxFuture<'_, Result<T, JoinError>> {
    async move {
        let Some(running) = task else { return std::future::pending().await };
        let ended = running.await;
        *task = None;
        ended
    }
    .boxed()
}

/// Describes a panic.
fn describe(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned());
            format!("panicked: {}", message.as_deref().unwrap_or("no message"))
        }
        Err(error) => error.to_string(),
    }
}
