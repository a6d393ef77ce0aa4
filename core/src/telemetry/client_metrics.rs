//! The engine records the metrics of a client through these types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::Mutex;

use super::handles::{GaugeGuard, PerLabel};
use super::names;
use super::queue_metrics::{QueueMetrics, WAIT_OUTCOMES};
use crate::{
    Clock, Error, ErrorKind, LockKind, LossReason, Moment, RenewOutcome, Result, telemetry,
};

/// These are the metrics of one client.
#[derive(Debug)]
pub(crate) struct ClientMetrics {
    /// This map has the metrics of each operation that was called so far.
    calls: Mutex<BTreeMap<&'static str, Arc<CallMetrics>>>,
    renewals: PerLabel<Counter>,
    time_to_deadline: Histogram,
    held: Gauge,
    lost: PerLabel<Counter>,
    waiting: Gauge,
    waits: PerLabel<Histogram>,
    queues: QueueMetrics,
}

#[derive(Debug)]
struct CallMetrics {
    outcomes: PerLabel<Counter>,
    seconds: Histogram,
}

impl ClientMetrics {
    /// Creates the metrics with the recorder that is installed now.
    pub(crate) fn new() -> Self {
        telemetry::describe();
        Self {
            calls: Mutex::default(),
            renewals: PerLabel::new(
                ["extended", "queued", "lost", "disabled", "failed"],
                |outcome| counter!(names::RENEWALS, "outcome" => outcome),
            ),
            time_to_deadline: histogram!(names::RENEWAL_TIME_TO_DEADLINE),
            held: gauge!(names::LOCKS_HELD),
            lost: PerLabel::new(
                ["expired", "gone", "disabled"],
                |reason| counter!(names::LOCKS_LOST, "reason" => reason),
            ),
            waiting: gauge!(names::WAITING),
            waits: PerLabel::new(
                WAIT_OUTCOMES,
                |outcome| histogram!(names::WAIT, "outcome" => outcome),
            ),
            queues: QueueMetrics::default(),
        }
    }

    /// Records a completed call to the store.
    pub(crate) fn record_call(
        &self,
        operation: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let call = {
            let mut calls = self.calls.lock();
            calls.entry(operation).or_insert_with(|| Arc::new(CallMetrics::new(operation))).clone()
        };
        call.outcomes.with(outcome, |counter| counter.increment(1));
        call.seconds.record(took);
    }

    /// Records the outcomes of a batch of renewals, or its failure.
    pub(crate) fn record_renewals(&self, leases: usize, outcomes: &Result<Vec<RenewOutcome>>) {
        let (mut extended, mut queued, mut lost, mut disabled, mut failed) = (0, 0, 0, 0, 0);
        match outcomes {
            Ok(outcomes) => outcomes.iter().for_each(|outcome| match outcome {
                RenewOutcome::Extended { .. } => extended += 1,
                RenewOutcome::Queued { .. } => queued += 1,
                RenewOutcome::Lost => lost += 1,
                RenewOutcome::Disabled { .. } => disabled += 1,
                RenewOutcome::Unknown { .. } => failed += 1,
            }),
            Err(_) => failed = leases as u64,
        }
        let counts = [
            ("extended", extended),
            ("queued", queued),
            ("lost", lost),
            ("disabled", disabled),
            ("failed", failed),
        ];
        for (outcome, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.renewals.with(outcome, |counter| counter.increment(count));
        }
    }

    /// Records the time to the trust deadline when a renewal was confirmed. After the deadline, the
    /// reply came too late to count as a renewal.
    pub(crate) fn record_trust_left(&self, left: Duration) {
        if !left.is_zero() {
            self.time_to_deadline.record(left);
        }
    }

    /// Records that a guard holds a lock.
    pub(crate) fn lock_acquired(&self) {
        self.held.increment(1.0);
    }

    /// Records that a guard's lock was released or lost.
    pub(crate) fn lock_ended(&self) {
        self.held.decrement(1.0);
    }

    /// Records that a guard's lock was lost.
    pub(crate) fn lock_lost(&self, loss: &LossReason) {
        let reason = match loss {
            LossReason::Expired => "expired",
            LossReason::Gone => "gone",
            LossReason::Disabled { .. } => "disabled",
        };
        self.lost.with(reason, |counter| counter.increment(1));
    }

    /// Records a wait for an exclusive lock that lasts until the timer is dropped.
    pub(crate) fn start_wait<'a>(&'a self, clock: &'a dyn Clock) -> WaitTimer<'a> {
        self.start_timer(&self.waits, clock)
    }

    /// Records a wait for a lock of that kind, which has a queue, until the timer is dropped.
    pub(crate) fn start_queue_wait<'a>(
        &'a self,
        kind: LockKind,
        clock: &'a dyn Clock,
    ) -> WaitTimer<'a> {
        self.start_timer(self.queues.waits(kind), clock)
    }

    fn start_timer<'a>(
        &self,
        waits: &'a PerLabel<Histogram>,
        clock: &'a dyn Clock,
    ) -> WaitTimer<'a> {
        let waiting = GaugeGuard::new(&self.waiting);
        WaitTimer { waits, clock, from: clock.now(), outcome: "cancelled", _waiting: waiting }
    }

    /// Records that an entry has to wait, because this many are ahead of it.
    pub(crate) fn record_queued(&self, kind: LockKind, ahead: usize) {
        self.queues.record_ahead(kind, ahead);
    }
}

impl CallMetrics {
    fn new(operation: &'static str) -> Self {
        let outcomes = [
            "ok",
            "outcome_unknown",
            "unavailable",
            "invalid",
            "unsupported",
            "denied",
            "corrupt",
            "timed_out",
            "conflict",
        ];
        Self {
            outcomes: PerLabel::new(
                outcomes,
                |outcome| counter!(names::CALLS, "operation" => operation, "outcome" => outcome),
            ),
            seconds: histogram!(names::CALL, "operation" => operation),
        }
    }
}

/// Returns the value of the label `outcome` for a call.
pub(crate) fn call_outcome<T>(outcome: &Result<T>) -> &'static str {
    match outcome.as_ref().map_err(Error::kind) {
        Ok(_) => "ok",
        Err(ErrorKind::OutcomeUnknown) => "outcome_unknown",
        Err(ErrorKind::Unavailable) => "unavailable",
        Err(ErrorKind::Invalid) => "invalid",
        Err(ErrorKind::Unsupported) => "unsupported",
        Err(ErrorKind::Denied) => "denied",
        Err(ErrorKind::Corrupt) => "corrupt",
        Err(ErrorKind::TimedOut) => "timed_out",
        Err(ErrorKind::Conflict) => "conflict",
    }
}

/// A wait timer measures a wait for a lock; a timer that is dropped without an outcome counts as
/// cancelled.
pub(crate) struct WaitTimer<'a> {
    waits: &'a PerLabel<Histogram>,
    clock: &'a dyn Clock,
    from: Moment,
    outcome: &'static str,
    _waiting: GaugeGuard,
}

impl WaitTimer<'_> {
    pub(crate) fn finish<T>(mut self, with: &Result<T>) {
        self.outcome = match with {
            Ok(_) => "acquired",
            Err(error) if error.is_timed_out() => "timed_out",
            Err(_) => "failed",
        };
    }
}

impl Drop for WaitTimer<'_> {
    fn drop(&mut self) {
        let waited = self.clock.now().saturating_since(self.from);
        self.waits.with(self.outcome, |histogram| histogram.record(waited));
    }
}
