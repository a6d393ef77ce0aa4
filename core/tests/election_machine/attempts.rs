//! These tests cover the attempts to acquire the lease.

use std::time::Duration;

use leasehold_core::election::machine::{Action, Event, Machine, Role};
use leasehold_core::lease::machine::{AcquireReply, AttemptKind, Event as LeaseEvent, Request};
use leasehold_core::{FencingToken, Grant, LockStore, MemoryStore, Settings};

use super::{acquire_replied, at, granted, timing};

#[test]
fn retry_after_unknown_outcome_keeps_the_lease_id() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(acquire_replied(0, AcquireReply::Failed), at(10));
    assert_eq!(
        machine.handle(Event::TICK, at(60_000)),
        [Action::Send(Request::Acquire(AttemptKind::Retry))]
    );
    // Another lease blocked this attempt, but the first request may still arrive and be granted.
    machine.handle(
        acquire_replied(60_000, AcquireReply::Held { left: Duration::ZERO, watched: false }),
        at(60_010),
    );
    assert_eq!(
        machine.handle(Event::TICK, at(120_000)),
        [Action::Send(Request::Acquire(AttemptKind::Retry))]
    );
}

#[test]
fn a_possible_grant_before_a_disable_is_released() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(acquire_replied(0, AcquireReply::Failed), at(10));
    machine.handle(Event::TICK, at(60_000));
    let actions = machine.handle(acquire_replied(60_000, AcquireReply::Disabled), at(60_010));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
    machine.handle(Event::Lease(LeaseEvent::ReleaseReplied { confirmed: true }), at(60_020));
    assert_eq!(
        machine.handle(Event::TICK, at(60_020)),
        [Action::Send(Request::Acquire(AttemptKind::New))]
    );
}

#[test]
fn a_refused_attempt_is_followed_by_a_new_one() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(
        acquire_replied(0, AcquireReply::Held { left: Duration::ZERO, watched: false }),
        at(10),
    );
    assert_eq!(
        machine.handle(Event::TICK, at(60_000)),
        [Action::Send(Request::Acquire(AttemptKind::New))]
    );
}

#[test]
fn shutdown_after_an_unknown_attempt_releases_the_lease() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(Event::ShutDown, at(5));
    let actions = machine.handle(acquire_replied(0, AcquireReply::Failed), at(10));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
    machine.handle(Event::Lease(LeaseEvent::ReleaseReplied { confirmed: true }), at(20));
    assert_eq!(machine.role(), Role::Ended);
}

#[test]
fn the_first_backoff_is_short_with_a_long_ttl() {
    let settings = Settings::new().ttl(Duration::from_secs(7200));
    let timing = settings.resolve(&MemoryStore::new().capabilities()).unwrap();
    let second = Duration::from_secs(1);
    let mut machine = Machine::new(timing.clone(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(acquire_replied(0, AcquireReply::Failed), at(10));
    let wake = machine.next_tick().unwrap();
    assert_eq!((wake.at, wake.jitter), (at(1_010), second / 2));
    // The same pause comes before a retry after a late grant, and before a retry of its release.
    machine.handle(Event::TICK, at(2_000));
    let grant = Grant::new(FencingToken::new(1).unwrap(), timing.margin);
    machine.handle(acquire_replied(2_000, AcquireReply::Granted(grant)), at(2_010));
    machine.handle(Event::Lease(LeaseEvent::ReleaseReplied { confirmed: false }), at(2_020));
    assert_eq!(machine.next_tick().unwrap().at, at(3_020));
    machine.handle(Event::TICK, at(3_020));
    machine.handle(Event::Lease(LeaseEvent::ReleaseReplied { confirmed: true }), at(3_030));
    assert_eq!(machine.next_tick().unwrap().at, at(4_030));
}

#[test]
fn a_grant_without_enough_time_to_stop_is_released() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    let late = 15_000 - 750 - 5_000;
    let actions = machine.handle(granted(0, 1), at(late));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
}

#[test]
fn candidates_are_jittered_and_respect_the_start_delay() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(
        acquire_replied(0, AcquireReply::Held { left: Duration::from_secs(1), watched: false }),
        at(10),
    );
    let wake = machine.next_tick().unwrap();
    assert!(wake.at == at(1_010) && !wake.jitter.is_zero(), "{wake:?}");
    let delayed = Settings::new().start_delay(Duration::from_secs(7));
    let timing = delayed.resolve(&MemoryStore::new().capabilities()).unwrap();
    let mut machine = Machine::new(timing, at(0));
    assert_eq!(machine.handle(Event::Lease(LeaseEvent::Hint), at(100)), []);
    assert_eq!(machine.handle(Event::TICK, at(6_999)), []);
    assert_eq!(
        machine.handle(Event::TICK, at(7_000)),
        [Action::Send(Request::Acquire(AttemptKind::New))]
    );
}

#[test]
fn a_hint_during_an_acquire_triggers_another_acquire() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(Event::Lease(LeaseEvent::Hint), at(5));
    machine.handle(
        acquire_replied(0, AcquireReply::Held { left: Duration::from_secs(15), watched: false }),
        at(10),
    );
    assert_eq!(machine.next_tick().unwrap().at, at(10));
}
