//! Renewals wait in a queue until they are sent, ordered by when they are due.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::TimedReply;
use crate::lease::RenewalWindow;
use crate::{Moment, RenewOptions, RenewOutcome};

/// The queue has the renewals of one runtime that were not sent yet.
///
/// Adding a renewal wakes the task that sends them only if it is due before that task wakes by
/// itself. So a lock that is held for a short time costs no switch to the task's thread.
#[derive(Default)]
pub(super) struct RenewalQueue {
    state: Mutex<State>,
    /// This is notified when the task must wake earlier than it planned.
    changed: Notify,
}

#[derive(Default)]
struct State {
    by_due: BTreeMap<RenewalKey, QueuedRenewal>,
    added: u64,
    /// The task that sends the renewals wakes at this moment by itself.
    wakes_at: Option<Moment>,
    /// No task sends the renewals any longer.
    closed: bool,
}

/// The key of a renewal is the moment at which it is due, and a number that tells it from others.
pub(super) type RenewalKey = (Moment, u64);

/// This is called when the renewal is about to be sent.
pub(crate) type OnSent = Box<dyn FnOnce() + Send>;

/// A queued renewal is sent with the next batch that its window allows.
pub(super) struct QueuedRenewal {
    pub(super) options: RenewOptions,
    pub(super) window: RenewalWindow,
    pub(super) sent: Arc<AtomicBool>,
    pub(super) reply_to: oneshot::Sender<TimedReply<RenewOutcome>>,
    pub(super) on_sent: Option<OnSent>,
}

impl RenewalQueue {
    /// Adds a renewal. A closed queue drops it, so that its caller gets an error.
    pub(super) fn add(&self, renewal: QueuedRenewal) -> RenewalKey {
        let mut state = self.state();
        state.added += 1;
        let key = (renewal.window.latest, state.added);
        if state.closed {
            return key;
        }
        let wakes_in_time = state.wakes_at.is_some_and(|at| at <= key.0);
        state.by_due.insert(key, renewal);
        drop(state);
        if !wakes_in_time {
            self.changed.notify_one();
        }
        key
    }

    /// Removes a renewal that was not sent yet.
    pub(super) fn cancel(&self, key: RenewalKey) {
        // It is dropped after the lock, because it may own what cancels renewals itself.
        let cancelled = self.state().by_due.remove(&key);
        drop(cancelled);
    }

    /// Calls `act` when the renewal is about to be sent, or now if it was sent already.
    pub(super) fn on_sent(&self, key: RenewalKey, act: OnSent) {
        let mut state = self.state();
        let Some(renewal) = state.by_due.get_mut(&key) else {
            drop(state);
            return act();
        };
        renewal.on_sent = Some(act);
    }

    /// Returns the moment at which the first renewal is due, at which the caller wakes.
    pub(super) fn plan_wake(&self) -> Option<Moment> {
        let mut state = self.state();
        let first = state.by_due.keys().next().map(|(due, _)| *due);
        state.wakes_at = first;
        first
    }

    /// Waits until a renewal was added that is due before the planned wake, or until the queue is
    /// closed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes every renewal that may be sent now, if one is due, in batches of at most `max_batch`.
    pub(super) fn take_due(&self, now: Moment, max_batch: usize) -> Vec<Vec<QueuedRenewal>> {
        let (mut batches, mut batch, mut on_sent) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = self.state();
        if state.by_due.keys().next().is_none_or(|(due, _)| now < *due) {
            return batches;
        }
        for (_, mut renewal) in
            state.by_due.extract_if(.., |_, renewal| renewal.window.earliest <= now)
        {
            // From here on the renewal cannot be cancelled.
            renewal.sent.store(true, Ordering::SeqCst);
            on_sent.extend(renewal.on_sent.take());
            if batch.len() == max_batch.max(1) {
                // Each batch gets its own buffer of the size that it needs.
                batches.push(std::mem::take(&mut batch));
            }
            batch.push(renewal);
        }
        drop(state);
        if !batch.is_empty() {
            batches.push(batch);
        }
        on_sent.into_iter().for_each(|act: OnSent| act());
        batches
    }

    /// Drops all renewals, and those that are added later.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = std::mem::take(&mut state.by_due);
        drop(state);
        // Dropping them may cancel others, which takes the lock.
        drop(dropped);
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl fmt::Debug for RenewalQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("RenewalQueue")
            .field("waiting", &state.by_due.len())
            .field("wakes_at", &state.wakes_at)
            .field("closed", &state.closed)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::{LeaseId, LockName};

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn renewal(
        from: u64,
        due: u64,
    ) -> (QueuedRenewal, oneshot::Receiver<TimedReply<RenewOutcome>>) {
        let (reply_to, reply) = oneshot::channel();
        let options = RenewOptions {
            name: LockName::new("a").unwrap(),
            lease: LeaseId::new(),
            ttl: Duration::from_secs(1),
        };
        let window = RenewalWindow {
            earliest: at(from),
            latest: at(due),
            retry_at: at(due + 10),
            useful_until: at(due + 30),
        };
        (QueuedRenewal { options, window, sent: Arc::default(), reply_to, on_sent: None }, reply)
    }

    #[test]
    fn renewals_whose_window_is_open_join_the_batch_that_is_due() {
        let waiting = RenewalQueue::default();
        let (first, _keep_first) = renewal(75, 100);
        let (second, _keep_second) = renewal(95, 120);
        let (third, _keep_third) = renewal(105, 130);
        for renewal in [third, second, first] {
            waiting.add(renewal);
        }
        assert_eq!(waiting.plan_wake(), Some(at(100)));
        assert!(waiting.take_due(at(99), 500).is_empty(), "none is due");
        let batches = waiting.take_due(at(100), 500);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].len(), 2);
        assert_eq!(waiting.plan_wake(), Some(at(130)));
    }

    #[test]
    fn batches_respect_the_stores_renew_batch() {
        let waiting = RenewalQueue::default();
        let mut keep = Vec::new();
        for _ in 0..25 {
            let (renewal, reply) = renewal(0, 0);
            keep.push(reply);
            waiting.add(renewal);
        }
        let sizes: Vec<_> = waiting.take_due(at(0), 10).iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 5]);
    }

    /// Each batch used to keep a buffer that was large enough for all later ones.
    #[test]
    fn batches_take_no_more_memory_than_their_renewals_need() {
        let waiting = RenewalQueue::default();
        let mut keep = Vec::new();
        for _ in 0..10_000 {
            let (renewal, reply) = renewal(0, 0);
            keep.push(reply);
            waiting.add(renewal);
        }
        let batches = waiting.take_due(at(0), 100);
        let room: usize = batches.iter().map(Vec::capacity).sum();
        assert!(room <= 2 * 10_000, "room for {room} renewals");
    }

    #[test]
    fn a_cancelled_renewal_is_not_sent() {
        let waiting = RenewalQueue::default();
        let key = waiting.add(renewal(0, 0).0);
        waiting.cancel(key);
        assert!(waiting.take_due(at(0), 10).is_empty());
    }

    #[test]
    fn adding_wakes_the_task_only_for_a_renewal_that_is_due_before_it_wakes() {
        let waiting = RenewalQueue::default();
        let is_woken = || waiting.changed().now_or_never().is_some();
        let first = waiting.add(renewal(0, 100).0);
        assert!(is_woken());
        assert_eq!(waiting.plan_wake(), Some(at(100)));
        waiting.cancel(first);
        waiting.add(renewal(0, 101).0);
        assert!(!is_woken(), "the task wakes at 100 although that renewal was cancelled");
        waiting.add(renewal(0, 99).0);
        assert!(is_woken());
    }

    #[test]
    fn the_callback_of_a_renewal_is_called_once_when_it_is_sent() {
        let waiting = RenewalQueue::default();
        let calls = Arc::new(AtomicBool::new(false));
        let callback = || {
            let calls = calls.clone();
            Box::new(move || assert!(!calls.swap(true, Ordering::SeqCst))) as OnSent
        };
        let (sent, _keep) = renewal(0, 100);
        let key = waiting.add(sent);
        waiting.on_sent(key, callback());
        assert!(!calls.load(Ordering::SeqCst));
        waiting.take_due(at(100), 10);
        assert!(calls.swap(false, Ordering::SeqCst));
        waiting.on_sent(key, callback());
        assert!(calls.load(Ordering::SeqCst), "it was sent before");
    }

    #[test]
    fn a_closed_queue_drops_its_renewals() {
        let waiting = RenewalQueue::default();
        let (before, mut before_reply) = renewal(0, 100);
        let (after, mut after_reply) = renewal(0, 100);
        waiting.add(before);
        waiting.close();
        waiting.add(after);
        for reply in [&mut before_reply, &mut after_reply] {
            assert_eq!(reply.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
        }
    }
}
