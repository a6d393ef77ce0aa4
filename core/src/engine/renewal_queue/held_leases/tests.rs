//! These tests cover the renewals, ticks and hints of held leases, without a store.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::engine::renewed_lease::testing::TestLease;

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

/// Requests a renewal that may be sent at once and is due at `due`, with a tick at `tick`, in place
/// of those before. Returns the keys of both.
fn request(
    queue: &RenewalQueue,
    due: u64,
    tick: u64,
    before: Option<(RenewalKey, TickKey)>,
) -> (RenewalKey, TickKey) {
    let window = RenewalWindow {
        earliest: at(0),
        latest: at(due),
        retry_at: at(due + 10),
        useful_until: at(due + 30),
    };
    let before = before.unzip();
    let lease = TestLease::new("a");
    let key = queue.request(lease, window, at(due + 30), Some(at(tick)), before);
    (key, (at(tick), key.number()))
}

/// Returns the ticks that have come.
fn take_ticks(queue: &RenewalQueue, now: u64) -> Vec<TickKey> {
    queue.take_events(at(now)).ticked.into_iter().map(|(tick, _)| tick).collect()
}

/// Most renewals are answered before the tick, so the tick is added only when the renewal is ready.
#[test]
fn a_tick_comes_while_the_renewal_is_ready_or_was_sent() {
    for sent in [false, true] {
        let queue = RenewalQueue::default();
        let (_, tick) = request(&queue, 100, 150, None);
        assert_eq!(queue.plan_wake(None), Some(at(100)));
        assert_eq!(queue.collect_due(at(100)), 1);
        if sent {
            assert_eq!(queue.take_batch(10, at(100)).len(), 1);
        }
        assert_eq!(queue.plan_wake(None), Some(at(150)));
        assert!(take_ticks(&queue, 149).is_empty());
        assert_eq!(take_ticks(&queue, 150), [tick]);
        assert!(take_ticks(&queue, 150).is_empty(), "a tick comes once");
    }
}

#[test]
fn a_tick_that_is_earlier_than_the_renewal_comes_before_it() {
    let queue = RenewalQueue::default();
    let is_woken = || queue.changed().now_or_never().is_some();
    let (_, tick) = request(&queue, 100, 80, None);
    assert!(is_woken());
    assert_eq!(queue.plan_wake(None), Some(at(80)));
    assert_eq!(take_ticks(&queue, 80), [tick]);
    assert_eq!(queue.plan_wake(None), Some(at(100)));
}

#[test]
fn a_renewal_and_a_tick_replace_the_ones_before() {
    let queue = RenewalQueue::default();
    let first = request(&queue, 100, 90, None);
    let second = request(&queue, 200, 190, Some(first));
    assert!(take_ticks(&queue, 189).is_empty());
    assert_eq!(queue.collect_due(at(200)), 1);
    let third = request(&queue, 300, 350, Some(second));
    assert!(take_ticks(&queue, 200).is_empty());
    assert_eq!(queue.collect_due(at(200)), 0, "the second one was ready");
    assert_eq!(queue.collect_due(at(300)), 1);
    queue.remove(Some(third.0), Some(third.1));
    assert!(queue.take_batch(10, at(300)).is_empty());
    assert_eq!(queue.plan_wake(None), None);
}

#[test]
fn a_tick_is_planned_without_a_renewal() {
    let queue = RenewalQueue::default();
    let is_woken = || queue.changed().now_or_never().is_some();
    let (later, earlier) = ((at(200), 1), (at(150), 1));
    queue.set_tick(TestLease::new("a"), later, None);
    assert!(is_woken());
    assert_eq!(queue.plan_wake(None), Some(at(200)));
    queue.set_tick(TestLease::new("b"), (at(300), 2), None);
    assert!(!is_woken(), "the task wakes at 200 by itself");
    queue.set_tick(TestLease::new("a"), earlier, Some(later));
    assert!(is_woken());
    assert_eq!(take_ticks(&queue, 200), [earlier]);
    assert_eq!(queue.plan_wake(None), Some(at(300)));
}

#[test]
fn a_hint_wakes_the_task() {
    let queue = RenewalQueue::default();
    queue.add_hint(TestLease::new("a"));
    assert!(queue.changed().now_or_never().is_some());
    assert_eq!(queue.take_events(at(0)).hinted.len(), 1);
    assert!(queue.take_events(at(0)).hinted.is_empty());
}

/// Otherwise they would keep the engine alive: a lease owns the engine, which owns the queue.
#[test]
fn a_closed_queue_has_no_leases() {
    let queue = RenewalQueue::default();
    let lease = TestLease::new("a");
    for closed in [false, true] {
        queue.add_hint(lease.clone());
        queue.set_tick(lease.clone(), (at(100), 1), None);
        assert_eq!(Arc::strong_count(&lease), if closed { 1 } else { 3 });
        queue.close();
        assert_eq!(Arc::strong_count(&lease), 1);
    }
}
