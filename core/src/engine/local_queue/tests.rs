//! These tests cover the turns of waiters, without a store.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::{AcquireOutcome, FencingToken, Held, Holder, LossReason, Result, SystemClock};

/// This clock advances only when the test sets it.
#[derive(Debug, Default)]
struct HandClock(Mutex<Duration>);

impl Clock for HandClock {
    fn now(&self) -> Moment {
        Moment::from_origin(*self.0.lock())
    }

    fn sleep_until(&self, _: Moment) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

fn queues() -> Arc<LocalQueues> {
    Arc::new(LocalQueues::new(Arc::new(SystemClock), Wake::Push))
}

fn name() -> LockName {
    LockName::new("job").unwrap()
}

fn trust() -> Arc<TrustDeadline> {
    let deadline = SystemClock.now() + Duration::from_secs(600);
    Arc::new(TrustDeadline::new(deadline, Arc::new(SystemClock)))
}

fn turns<const N: usize>(positions: [&QueuePosition; N]) -> [&'static str; N] {
    positions.map(|position| match position.turn() {
        Turn::Ask => "ask",
        Turn::HeldHere(_) => "held",
        Turn::Paused(_) => "paused",
        Turn::Queued => "queued",
    })
}

fn is_woken(position: &QueuePosition) -> bool {
    position.changed().now_or_never().is_some()
}

#[test]
fn the_first_waiter_asks_and_the_next_is_woken_when_it_leaves() {
    let queues = queues();
    let [first, second, third] = [(); 3].map(|()| queues.join(name()));
    let other = queues.join(LockName::new("other").unwrap());
    assert_eq!(turns([&first, &second, &third, &other]), ["ask", "queued", "queued", "ask"]);
    let ahead = |position: &QueuePosition| position.waiters_ahead();
    assert_eq!((ahead(&first), ahead(&third), ahead(&other)), (0, 2, 0));
    drop(second);
    assert_eq!(ahead(&third), 1);
    assert!(!is_woken(&third), "it is not the first yet");
    drop(first);
    assert!(is_woken(&third));
    assert_eq!(turns([&third]), ["ask"]);
    drop((third, other));
    assert!(queues.state().queues.is_empty());
}

#[test]
fn waiters_do_not_ask_while_a_guard_of_the_client_holds_the_lock() {
    let queues = queues();
    let holder = queues.hold(name(), trust());
    let [first, second] = [(); 2].map(|()| queues.join(name()));
    assert_eq!(turns([&first, &second]), ["held", "queued"]);
    drop(holder);
    assert!(is_woken(&first) && !is_woken(&second));
    assert_eq!(turns([&first, &second]), ["ask", "queued"]);
}

#[test]
fn a_lost_lease_blocks_nobody() {
    let queues = queues();
    let disabled = LossReason::Disabled { reason: crate::Reason::new("upgrade").unwrap() };
    for loss in [LossReason::Gone, disabled] {
        let trust = trust();
        let _holder = queues.hold(name(), trust.clone());
        let first = queues.join(name());
        assert_eq!(turns([&first]), ["held"]);
        match loss {
            LossReason::Disabled { .. } => trust.stop_renewing(loss),
            _ => trust.expire_now(Some(loss)),
        }
        assert_eq!(turns([&first]), ["ask"]);
    }
}

#[test]
fn the_end_of_an_earlier_holder_does_not_end_a_later_one() {
    let queues = queues();
    let lost = queues.hold(name(), trust());
    let holder = queues.hold(name(), trust());
    let first = queues.join(name());
    drop(lost);
    assert_eq!(turns([&first]), ["held"]);
    drop(holder);
    assert_eq!(turns([&first]), ["ask"]);
    drop(first);
    assert!(queues.state().queues.is_empty());
}

#[test]
fn waiters_share_what_the_first_of_them_learned() {
    let queues = queues();
    let [first, second] = [(); 2].map(|()| queues.join(name()));
    first.record_outcome("held by another".to_owned());
    let learned = |position: &QueuePosition| position.last_known().1;
    assert_eq!(learned(&second).as_deref(), Some("held by another"));
    let _holder = queues.hold(name(), trust());
    assert_eq!(learned(&second), None, "it is out of date");
    assert!(second.last_known().0.is_some());
}

#[test]
fn waiters_share_the_races_that_they_lost() {
    let queues = queues();
    let [first, second] = [(); 2].map(|()| queues.join(name()));
    for token in 1..10 {
        let token = FencingToken::new(token).unwrap();
        let held = Held::new(Holder::current(), token, Duration::from_secs(1));
        first.record_reply(&Ok(AcquireOutcome::Held(held)), true);
    }
    drop(first);
    assert_eq!(second.hint_spread(), Duration::from_millis(2));
    drop(second);
    let later = queues.join(name());
    assert_eq!(later.hint_spread(), Duration::ZERO, "nobody waited in between");
}

/// Returns the time until the tasks of a client that hand the lock over among themselves pause.
fn kept_for(clock: &HandClock, queues: &Arc<LocalQueues>, first: &QueuePosition) -> Duration {
    let begun = clock.now();
    loop {
        drop(queues.hold(name(), trust()));
        if let Turn::Paused(until) = first.turn() {
            let paused_at = clock.now();
            *clock.0.lock() = until.since_origin();
            assert_eq!(turns([first]), ["ask"], "the pause is over");
            return paused_at.saturating_since(begun);
        }
        *clock.0.lock() += Duration::from_millis(5);
    }
}

fn refused() -> Result<AcquireOutcome> {
    let token = FencingToken::new(1).unwrap();
    Ok(AcquireOutcome::Held(Held::new(Holder::current(), token, Duration::from_secs(1))))
}

/// Otherwise the clients of other processes, which wait for a hint, would never get the lock.
#[test]
fn a_lock_that_was_handed_over_here_for_long_is_offered_to_other_clients() {
    let millis = Duration::from_millis;
    let cases = [
        (Wake::Push, millis(500), millis(4000)),
        (Wake::Poll(millis(75)), millis(2000), millis(4000)),
        (Wake::Poll(millis(975)), millis(20_000), millis(20_000)),
    ];
    for (wake, contended, alone) in cases {
        let clock = Arc::new(HandClock::default());
        let queues = Arc::new(LocalQueues::new(clock.clone(), wake));
        let first = queues.join(name());
        for _ in 0..3 {
            assert_eq!(kept_for(&clock, &queues, &first), alone, "{wake:?}");
        }
        first.record_reply(&refused(), false);
        assert_eq!(kept_for(&clock, &queues, &first), contended, "{wake:?}");
        *clock.0.lock() += millis(10_000);
        assert_eq!(kept_for(&clock, &queues, &first), alone, "the refusal was long ago");
    }
}

#[test]
fn the_time_until_a_pause_begins_again_when_another_client_had_the_lock() {
    let clock = Arc::new(HandClock::default());
    let queues = Arc::new(LocalQueues::new(clock.clone(), Wake::Push));
    let first = queues.join(name());
    first.record_reply(&refused(), false);
    for _ in 0..3 {
        drop(queues.hold(name(), trust()));
        *clock.0.lock() += Duration::from_millis(400);
        drop(queues.hold(name(), trust()));
        assert_eq!(turns([&first]), ["ask"]);
        first.record_reply(&refused(), false);
    }
    assert_eq!(kept_for(&clock, &queues, &first), Duration::from_millis(500));
}

/// A client may hold very many locks. What is known of waiters once took as much memory again.
#[test]
fn a_held_lock_without_waiters_is_small() {
    assert!(size_of::<LocalQueue>() <= 32, "{} bytes", size_of::<LocalQueue>());
    let queues = queues();
    let first = queues.join(name());
    let _holder = queues.hold(name(), trust());
    drop(first);
    let state = queues.state();
    let queue = &state.queues[&name()];
    assert!(queue.waiting.is_none(), "it has room for waiters");
    assert!(queue.contention.is_none());
}
