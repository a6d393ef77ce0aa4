//! The engine records the metrics of locks that have a queue through this type.

use std::sync::OnceLock;

use metrics::{Histogram, histogram};

use super::handles::PerLabel;
use super::names;
use crate::LockKind;

/// A wait for a lock has one of these outcomes.
pub(super) const WAIT_OUTCOMES: [&str; 4] = ["acquired", "timed_out", "failed", "cancelled"];

/// These are the metrics of a client's queues. Those of a kind are created when it is first used, so
/// a client that has only exclusive locks has no series of others.
#[derive(Debug, Default)]
pub(super) struct QueueMetrics {
    fair: OnceLock<KindMetrics>,
    semaphore: OnceLock<KindMetrics>,
    reader_writer: OnceLock<KindMetrics>,
    leaders: OnceLock<KindMetrics>,
}

#[derive(Debug)]
struct KindMetrics {
    waits: PerLabel<Histogram>,
    ahead: Histogram,
}

impl QueueMetrics {
    /// Returns the durations of the waits for locks of that kind, by outcome.
    pub(super) fn waits(&self, kind: LockKind) -> &PerLabel<Histogram> {
        &self.of(kind).waits
    }

    /// Records how many entries are ahead of one that has to wait.
    pub(super) fn record_ahead(&self, kind: LockKind, ahead: usize) {
        self.of(kind).ahead.record(u32::try_from(ahead).unwrap_or(u32::MAX));
    }

    fn of(&self, kind: LockKind) -> &KindMetrics {
        let (metrics, label) = match kind {
            // An exclusive lock has no queue.
            LockKind::Exclusive | LockKind::Fair => (&self.fair, "fair"),
            LockKind::Semaphore(_) => (&self.semaphore, "semaphore"),
            LockKind::ReaderWriter => (&self.reader_writer, "reader_writer"),
            LockKind::Leaders(_) => (&self.leaders, "leaders"),
        };
        metrics.get_or_init(|| KindMetrics::new(label))
    }
}

impl KindMetrics {
    fn new(kind: &'static str) -> Self {
        Self {
            waits: PerLabel::new(
                WAIT_OUTCOMES,
                |outcome| histogram!(names::QUEUE_WAIT, "kind" => kind, "outcome" => outcome),
            ),
            ahead: histogram!(names::QUEUE_AHEAD, "kind" => kind),
        }
    }
}
