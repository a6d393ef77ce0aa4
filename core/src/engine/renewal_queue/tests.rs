//! These tests cover which renewals are sent when, without a store.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::{LeaseId, LockName};

impl RenewalQueue {
    /// Returns how many groups the renewals form that are not due yet.
    pub(crate) fn waiting_groups(&self) -> usize {
        self.state().waiting.group_count()
    }
}

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

type ReplyReceiver = oneshot::Receiver<TimedReply<RenewOutcome>>;

/// Returns a renewal that may be sent from one moment on, and is due at the other.
fn renewal(from: u64, due: u64) -> (QueuedRenewal, ReplyReceiver) {
    let (reply_to, reply) = oneshot::channel();
    let name = LockName::new("a").unwrap();
    let options = RenewOptions::new(name, LeaseId::new(), Duration::from_secs(1));
    let window = RenewalWindow {
        earliest: at(from),
        latest: at(due),
        retry_at: at(due + 10),
        useful_until: at(due + 30),
    };
    let task = Box::new(TaskRenewal { options, sent: Arc::default(), reply_to });
    let times = RenewalTimes { window, renew_by: at(due + 30), next_tick: None };
    (QueuedRenewal { times, caller: RenewalCaller::Task(task) }, reply)
}

/// Returns a renewal that is due, and whose lease must be renewed by that moment.
fn due_renewal(due: u64, renew_by: u64) -> (QueuedRenewal, ReplyReceiver) {
    let (mut renewal, reply) = renewal(0, due);
    renewal.times.renew_by = at(renew_by);
    (renewal, reply)
}

/// Adds that many renewals, which are due at the origin. Returns the receivers of their replies.
fn add_due(queue: &RenewalQueue, count: usize) -> Vec<ReplyReceiver> {
    let add = |_| {
        let (renewal, reply) = renewal(0, 0);
        queue.add(renewal);
        reply
    };
    (0..count).map(add).collect()
}

/// Takes batches until nothing is ready.
fn take_all(queue: &RenewalQueue, now: Moment, max_batch: usize) -> Vec<Vec<TakenRenewal>> {
    let mut batches = Vec::new();
    while queue.collect_due(now) > 0 {
        batches.push(queue.take_batch(max_batch, now));
    }
    batches
}

#[test]
fn renewals_whose_window_is_open_join_the_batch_that_is_due() {
    let queue = RenewalQueue::default();
    let (first, _keep_first) = renewal(75, 100);
    let (second, _keep_second) = renewal(95, 120);
    let (third, _keep_third) = renewal(105, 130);
    for renewal in [third, second, first] {
        queue.add(renewal);
    }
    assert_eq!(queue.plan_wake(None), Some(at(100)));
    assert_eq!(queue.collect_due(at(99)), 0, "none is due");
    assert_eq!(queue.collect_due(at(100)), 2);
    assert_eq!(queue.plan_wake(None), Some(at(130)));
    assert_eq!(queue.plan_wake(Some(at(110))), Some(at(110)));
    let batch = queue.take_batch(500, at(100));
    assert_eq!(batch.len(), 2);
    let sent_at = |(_, renewal): &TakenRenewal| match &renewal.caller {
        RenewalCaller::Task(task) => task.sent.get().copied(),
        RenewalCaller::Lease(_) => None,
    };
    assert!(batch.iter().all(|taken| sent_at(taken) == Some(at(100))));
}

#[test]
fn the_lease_that_must_be_renewed_first_is_sent_first() {
    let queue = RenewalQueue::default();
    let mut keep = Vec::new();
    // The last one is a retry: it was due earlier, and is due again.
    for (due, renew_by) in [(90, 300), (100, 310), (80, 290), (100, 150)] {
        let (renewal, reply) = due_renewal(due, renew_by);
        queue.add(renewal);
        keep.push(reply);
    }
    assert_eq!(queue.collect_due(at(100)), 4);
    // Half the time between when each is due and when its lease must be renewed.
    assert_eq!(queue.ready_batches(3), [125, 205].map(at));
    let batches = take_all(&queue, at(100), 3);
    let renew_by = |(_, renewal): &TakenRenewal| renewal.times.renew_by;
    let order: Vec<_> = batches.iter().flatten().map(renew_by).collect();
    assert_eq!(order, [150, 290, 300, 310].map(at));
}

/// The moments are kept from one call to the next.
#[test]
fn each_ready_batch_is_known_after_others_were_taken_or_came() {
    let queue = RenewalQueue::default();
    let mut keep = Vec::new();
    let mut add = |due, renew_by| {
        let (renewal, reply) = due_renewal(due, renew_by);
        keep.push(reply);
        queue.add(renewal)
    };
    let keys = [200, 300, 400, 500].map(|renew_by| add(100, renew_by));
    queue.collect_due(at(100));
    assert_eq!(queue.ready_batches(2), [150, 250].map(at));
    queue.take_batch(2, at(100));
    assert_eq!(queue.ready_batches(2), [at(250)]);
    add(100, 220);
    queue.collect_due(at(100));
    assert_eq!(queue.ready_batches(2), [160, 300].map(at));
    queue.cancel(keys[2]);
    queue.take_batch(2, at(100));
    assert_eq!(queue.collect_due(at(100)), 0);
}

#[test]
fn batches_respect_the_stores_renew_batch() {
    let queue = RenewalQueue::default();
    let _keep = add_due(&queue, 25);
    let sizes: Vec<_> = take_all(&queue, at(0), 10).iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 5]);
}

/// Each batch used to keep a buffer that was large enough for all later ones.
#[test]
fn batches_take_no_more_memory_than_their_renewals_need() {
    let queue = RenewalQueue::default();
    let _keep = add_due(&queue, 10_000);
    let batches = take_all(&queue, at(0), 100);
    let room: usize = batches.iter().map(Vec::capacity).sum();
    assert!(room <= 2 * 10_000, "room for {room} renewals");
}

#[test]
fn a_cancelled_renewal_is_not_sent() {
    let queue = RenewalQueue::default();
    let waiting = queue.add(renewal(0, 0).0);
    queue.cancel(waiting);
    assert_eq!(queue.collect_due(at(0)), 0);
    let ready = queue.add(renewal(0, 0).0);
    assert_eq!(queue.collect_due(at(0)), 1);
    queue.cancel(ready);
    assert!(queue.take_batch(10, at(0)).is_empty());
}

#[test]
fn adding_wakes_the_task_only_for_a_renewal_that_is_due_before_it_wakes() {
    let queue = RenewalQueue::default();
    let is_woken = || queue.changed().now_or_never().is_some();
    let first = queue.add(renewal(0, 100).0);
    assert!(is_woken());
    assert_eq!(queue.plan_wake(None), Some(at(100)));
    queue.cancel(first);
    queue.add(renewal(0, 101).0);
    assert!(!is_woken(), "the task wakes at 100 although that renewal was cancelled");
    queue.add(renewal(0, 99).0);
    assert!(is_woken());
}

#[test]
fn a_closed_queue_drops_its_renewals() {
    let queue = RenewalQueue::default();
    let (ready, mut ready_reply) = renewal(0, 50);
    let (before, mut before_reply) = renewal(60, 100);
    let (after, mut after_reply) = renewal(0, 100);
    queue.add(ready);
    queue.add(before);
    assert_eq!(queue.collect_due(at(50)), 1);
    queue.close();
    queue.add(after);
    for reply in [&mut ready_reply, &mut before_reply, &mut after_reply] {
        assert_eq!(reply.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
    }
}

/// A client may hold very many leases, and each has a renewal in the queue. Those that were
/// requested for the same times share these.
#[test]
fn a_queued_renewal_takes_little_memory() {
    let size = size_of::<Option<RenewalCaller>>();
    assert!(size <= 24, "a queued renewal takes {size} bytes, and 24 are enough");
}
