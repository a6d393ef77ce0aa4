//! This module defines the jobs of the leaders of a run: they work, fail, panic, or ignore their
//! cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{Job, JobError, Leadership, Moment, StopReason};

use super::Defect;
use super::instance::Instance;
use crate::history::{Event, NameId};

/// This is a job that behaves in one of many ways, drawn for each term.
pub(super) struct WorkJob {
    instance: Arc<Instance>,
    name: NameId,
    grace: Duration,
    token: AtomicU64,
}

impl WorkJob {
    pub(super) fn new(instance: Arc<Instance>, name: NameId, grace: Duration) -> Self {
        Self { instance, name, grace, token: AtomicU64::new(0) }
    }

    /// Writes until it is asked to stop, and perhaps for longer.
    async fn work(&self, leadership: &Leadership, obeys: bool) {
        let (clock, token) = (&self.instance.clock, leadership.token().get());
        loop {
            if leadership.is_held() {
                self.instance.write(self.name, token, leadership.floor().get()).await;
            }
            let pause = clock.sleep(self.instance.up_to(Duration::from_millis(1_500)));
            tokio::select! {
                biased;
                () = leadership.cancelled(), if obeys => return,
                () = pause => {}
            }
        }
    }
}

/// Records the end of a task when this is dropped, and that the task was aborted unless it ended on
/// its own or panicked.
struct RecordEnd<'a> {
    instance: &'a Instance,
    event: Event,
    aborted: Option<Event>,
}

impl RecordEnd<'_> {
    /// Notes that the task ended on its own.
    fn by_itself(mut self) {
        self.aborted = None;
    }
}

impl Drop for RecordEnd<'_> {
    fn drop(&mut self) {
        if let Some(aborted) = self.aborted.take().filter(|_| !std::thread::panicking()) {
            self.instance.note(aborted);
        }
        self.instance.note(self.event.clone());
    }
}

#[async_trait]
impl Job for WorkJob {
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        let (it, name, token) = (&*self.instance, self.name, leadership.token().get());
        self.token.store(token, Ordering::SeqCst);
        it.note(Event::Started(it.id, name, token));
        let aborted = Some(Event::Aborted(it.id, name, token));
        let end = RecordEnd { instance: it, event: Event::StartEnded(it.id, name, token), aborted };
        tokio::spawn(record_trust(self.instance.clone(), name, leadership.clone()));
        let outcome = match it.draw(12) {
            0 => Err("simulated failure".into()),
            // Unlike a panic, this prints nothing on the terminal.
            1 => std::panic::resume_unwind(Box::new("simulated failure")),
            2 => Ok(()),
            3 => {
                self.work(&leadership, false).await;
                Ok(())
            }
            4 => {
                it.clock.sleep(it.up_to(self.grace * 3)).await;
                it.note(Event::Resigns(it.id, name, token));
                leadership.resign();
                self.work(&leadership, true).await;
                Ok(())
            }
            _ => {
                self.work(&leadership, true).await;
                Ok(())
            }
        };
        end.by_itself();
        outcome
    }

    async fn stop(&self, reason: &StopReason) {
        let (it, name, token) = (&*self.instance, self.name, self.token.load(Ordering::SeqCst));
        if it.defect == Some(Defect::ForgetsStops) && it.draw(10) == 0 {
            return;
        }
        it.note(Event::Stopping(it.id, name, token, word(reason)));
        let aborted = Some(Event::Aborted(it.id, name, token));
        let end = RecordEnd { instance: it, event: Event::Stopped(it.id, name, token), aborted };
        match it.draw(10) {
            0 => std::future::pending().await,
            1 => std::panic::resume_unwind(Box::new("simulated failure")),
            // Timers are rounded up to a millisecond. A stop that ended with the grace, in the same
            // millisecond, would count as aborted.
            2..6 => {
                let rounding = Duration::from_millis(2);
                let longest = self.grace.mul_f64(0.9).min(self.grace.saturating_sub(rounding));
                it.clock.sleep(it.up_to(longest)).await;
            }
            _ => {}
        }
        end.by_itself();
    }
}

fn word(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::Resigned => "resigned",
        StopReason::ShutDown => "shut down",
        StopReason::Disabled { .. } => "disabled",
        StopReason::Lost => "lost",
        StopReason::HeartbeatsFailed => "heartbeats failed",
        StopReason::Stale => "stale",
        StopReason::Finished => "finished",
        StopReason::Failed { .. } => "failed",
        _ => "something else",
    }
}

/// Records until when a term's lease is trusted, whenever that changes, and when the job is told
/// that the term must end. This task observes the instance and is not a part of it.
async fn record_trust(instance: Arc<Instance>, name: NameId, leadership: Leadership) {
    let token = leadership.token().get();
    let mut deadline = leadership.deadline();
    let mut cancelled = false;
    while deadline != Moment::ORIGIN {
        let until = instance.clock.outside(deadline);
        instance.note(Event::TrustExtended(instance.id, name, token, until));
        loop {
            tokio::select! {
                biased;
                () = leadership.cancelled(), if !cancelled => {
                    cancelled = true;
                    instance.note(Event::Cancelled(instance.id, name, token));
                }
                next = leadership.deadline_changed(deadline) => {
                    deadline = next;
                    break;
                }
            }
        }
    }
    instance.note(Event::TrustEnded(instance.id, name, token));
}
