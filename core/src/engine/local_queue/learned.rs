//! The waiters of a lock share what the first of them has learned from the store.

use std::sync::Arc;
use std::time::Duration;

use super::{QueuePosition, Waiters};
use crate::lease::TrustDeadline;
use crate::{AcquireOutcome, Result};

impl QueuePosition {
    /// Records what the first waiter learned, for the waiters behind it.
    pub(crate) fn record_outcome(&self, outcome: String) {
        if let Some(queue) = self.queues.state().queues.get_mut(&self.name) {
            queue.contention().last_outcome = Some(outcome.into());
        }
    }

    /// Returns the range of the random time for which the first waiter holds back a hint.
    pub(crate) fn hint_spread(&self) -> Duration {
        let state = self.queues.state();
        let contention = state.queues.get(&self.name).and_then(|queue| queue.contention.as_ref());
        contention.map_or(Duration::ZERO, |it| it.races.spread())
    }

    /// Records the reply to a request of the first waiter, and whether a hint had caused it.
    pub(crate) fn record_reply(&self, outcome: &Result<AcquireOutcome>, was_race: bool) {
        // Most locks are granted without a hint, which says nothing about other clients.
        if !was_race && matches!(outcome, Ok(AcquireOutcome::Granted(_))) {
            return;
        }
        if let Some(queue) = self.queues.state().queues.get_mut(&self.name) {
            let contention = queue.contention();
            contention.races.record(outcome, was_race);
            if matches!(outcome, Ok(AcquireOutcome::Held(_))) {
                contention.pauses.record_refusal(self.queues.clock.now());
            }
        }
    }

    /// Returns how many waiters are ahead.
    pub(crate) fn waiters_ahead(&self) -> usize {
        let state = self.queues.state();
        let waiting = state.queues.get(&self.name).and_then(|queue| queue.waiting.as_deref());
        let ahead = |(number, _): &(u64, _)| *number < self.number;
        waiting.map_or(0, |Waiters(waiting)| waiting.partition_point(ahead))
    }

    /// Returns the trust of the guard that holds the lock here, if there is one, and what the first
    /// waiter learned last.
    pub(crate) fn last_known(&self) -> (Option<Arc<TrustDeadline>>, Option<Arc<str>>) {
        let state = self.queues.state();
        match state.queues.get(&self.name) {
            Some(queue) => {
                let contention = queue.contention.as_ref();
                (queue.holder(), contention.and_then(|it| it.last_outcome.clone()))
            }
            None => (None, None),
        }
    }
}
