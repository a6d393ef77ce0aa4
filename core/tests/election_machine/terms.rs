//! These tests cover terms, from the first heartbeat to the release.

use std::time::Duration;

use leasehold_core::election::machine::{Action, Event, Machine, Role};
use leasehold_core::lease::machine::{AcquireReply, Event as LeaseEvent, RenewReply, Request};
use leasehold_core::{FencingToken, Grant, LockStore, MemoryStore, Settings, StopReason};

use super::{acquire_replied, at, granted, leader, renew_replied, timing};

/// The first heartbeat was due at 3 s. Without retries, the machine waits for its reply until the
/// step-down is due; if it fails earlier, the term ends.
#[test]
fn an_overdue_first_renewal_gets_the_full_reply_timeout() {
    let settings = Settings::new().heartbeat_retries(0);
    let timing = settings.resolve(&MemoryStore::new().capabilities()).unwrap();
    let mut machine = Machine::new(timing, at(0));
    machine.handle(Event::TICK, at(0));
    let actions = machine.handle(granted(0, 1), at(6_000));
    let [Action::Start { .. }, Action::Send(Request::Renew(window))] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((window.latest, window.retry_at), (at(6_000), at(7_500)));
    assert_eq!(machine.handle(Event::TICK, at(7_500)), []);
    let stop = Action::Stop(StopReason::HeartbeatsFailed);
    let mut other = machine.clone();
    let failed = Event::Lease(LeaseEvent::RenewReplied {
        sent: at(6_000),
        reply: RenewReply::Failed,
        in_flight: false,
    });
    assert_eq!(other.handle(failed, at(8_000)), std::slice::from_ref(&stop));
    assert_eq!(machine.handle(Event::TICK, at(9_249)), []);
    assert_eq!(machine.handle(Event::TICK, at(9_250)), [stop]);
}

/// The lease was granted 8 s before, but the reply was lost. At the usual interval, the first
/// heartbeat would be due after the step-down.
#[test]
fn a_partly_elapsed_lease_is_renewed_before_step_down() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(acquire_replied(0, AcquireReply::Failed), at(6_000));
    machine.handle(Event::TICK, at(8_000));
    let left = Duration::from_secs(7);
    let grant = Grant::new(FencingToken::new(1).unwrap(), left);
    let actions = machine.handle(acquire_replied(8_000, AcquireReply::Granted(grant)), at(8_010));
    let [Action::Start { .. }, Action::Send(Request::Renew(window))] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(window.latest, at(8_010));
}

#[test]
fn the_lease_is_released_only_after_the_job_ended() {
    let mut machine = leader();
    let stop = machine.handle(Event::Resign, at(100));
    assert_eq!(stop, [Action::Stop(StopReason::Resigned)]);
    let ended = machine.handle(Event::JobEnded, at(200));
    assert!(
        matches!(ended[..], [Action::EndTrust, Action::Send(Request::Release(_))]),
        "{ended:?}"
    );
}

#[test]
fn a_leader_without_replies_steps_down_in_time_to_stop() {
    let mut machine = leader();
    let mut now = at(10);
    let stepped_down = loop {
        now = machine.next_tick().unwrap().at.max(now);
        let actions = machine.handle(Event::TICK, now);
        if actions.contains(&Action::Stop(StopReason::HeartbeatsFailed)) {
            break now;
        }
    };
    assert!(stepped_down + timing().stop_grace + timing().margin <= at(0) + timing().ttl);
    // The grace ends by the deadline.
    let wake = machine.next_tick().unwrap().at;
    assert!(wake + timing().margin <= at(0) + timing().ttl);
    assert_eq!(machine.handle(Event::TICK, wake), [Action::AbortJob, Action::NeverRelease]);
}

#[test]
fn a_leader_that_wakes_after_its_deadline_aborts_its_job() {
    let mut machine = leader();
    let actions = machine.handle(Event::TICK, at(3_600_000));
    let stop = Action::Stop(StopReason::HeartbeatsFailed);
    assert_eq!(actions, [stop, Action::EndTrust, Action::AbortStart, Action::NeverRelease]);
}

/// However late the step-down comes, `stop` ends before another instance may lead.
#[test]
fn stop_grace_is_cut_to_the_trust_deadline() {
    let mut machine = leader();
    let deadline = 15_000 - 750;
    machine.handle(Event::TICK, at(deadline - 100));
    assert_eq!(machine.next_tick().unwrap().at, at(deadline));
    let actions = machine.handle(Event::TICK, at(deadline));
    assert_eq!(actions, [Action::AbortJob, Action::NeverRelease]);
}

/// Aborted work may continue, so no other instance may lead before the lease has expired.
#[test]
fn the_lease_of_an_overrunning_job_is_not_released() {
    for event in [Event::Resign, Event::ShutDown] {
        let mut machine = leader();
        machine.handle(event.clone(), at(100));
        let grace_ends = at(100) + timing().stop_grace;
        let actions = machine.handle(Event::TICK, grace_ends);
        assert_eq!(actions, [Action::AbortJob, Action::NeverRelease]);
        assert_eq!(machine.handle(Event::JobEnded, grace_ends), [Action::EndTrust]);
        let left = machine.role() == Role::Ended;
        assert_eq!(left, event == Event::ShutDown);
    }
}

#[test]
fn an_election_ends_when_its_jobs_runtime_shuts_down() {
    let mut machine = leader();
    let actions = machine.handle(Event::RuntimeShutDown, at(100));
    let stop = Action::Stop(StopReason::ShutDown);
    assert_eq!(actions, [stop, Action::AbortJob, Action::NeverRelease]);
    assert_eq!(machine.handle(Event::JobEnded, at(100)), [Action::EndTrust]);
    assert_eq!(machine.role(), Role::Ended);
}

#[test]
fn a_finished_job_ends_the_term() {
    let mut machine = leader();
    assert_eq!(machine.handle(Event::Finished, at(100)), [Action::Stop(StopReason::Finished)]);
    machine.handle(Event::JobEnded, at(100));
    machine.handle(Event::Lease(LeaseEvent::ReleaseReplied { confirmed: true }), at(100));
    assert_eq!(machine.next_tick().unwrap().at, at(100) + timing().poll_interval);
}

/// Neither an attempt nor a release that hangs delays the shutdown for longer than the leave
/// timeout.
#[test]
fn shutdown_waits_at_most_the_leave_timeout() {
    let mut acquiring = Machine::new(timing(), at(0));
    acquiring.handle(Event::TICK, at(0));
    acquiring.handle(Event::ShutDown, at(1_000));
    let mut releasing = leader();
    releasing.handle(Event::ShutDown, at(900));
    let actions = releasing.handle(Event::JobEnded, at(1_000));
    assert_eq!(
        actions,
        [Action::EndTrust, Action::Send(Request::Release(timing().leave_timeout()))]
    );
    for mut machine in [acquiring, releasing] {
        let by = at(1_000) + timing().leave_timeout();
        assert_eq!(machine.leave_deadline(), Some(by));
        assert_eq!(machine.next_tick().unwrap().at, by);
        assert_eq!(machine.handle(Event::TICK, by), []);
        assert_eq!(machine.role(), Role::Ended);
    }
}

#[test]
fn a_resigned_leader_waits_before_it_campaigns_again() {
    let mut machine = leader();
    machine.handle(Event::Resign, at(100));
    machine.handle(Event::JobEnded, at(200));
    machine.handle(Event::Lease(LeaseEvent::ReleaseReplied { confirmed: true }), at(300));
    // The hint is about its own release.
    assert_eq!(machine.handle(Event::Lease(LeaseEvent::Hint), at(301)), []);
    assert_eq!(machine.next_tick().unwrap().at, at(300) + timing().poll_interval);
}

/// The tokens of the lock and of the fence may contradict each other for long, so the instance does
/// not campaign again at once.
#[test]
fn a_stale_leader_stops_and_waits_before_it_campaigns_again() {
    let mut machine = leader();
    assert_eq!(machine.handle(Event::Stale, at(100)), [Action::Stop(StopReason::Stale)]);
    assert_eq!(machine.handle(Event::Stale, at(101)), []);
    let ended = machine.handle(Event::JobEnded, at(200));
    assert!(
        matches!(ended[..], [Action::EndTrust, Action::Send(Request::Release(_))]),
        "{ended:?}"
    );
    machine.handle(Event::Lease(LeaseEvent::ReleaseReplied { confirmed: true }), at(300));
    assert_eq!(machine.next_tick().unwrap().at, at(300) + timing().poll_interval);
}

#[test]
fn hints_do_not_consume_heartbeat_retries() {
    let mut machine = leader();
    let retry = machine.handle(renew_replied(RenewReply::Failed), at(4_100));
    assert!(matches!(retry[..], [Action::Send(Request::Renew(_))]), "{retry:?}");
    for hint in 0..10 {
        assert_eq!(machine.handle(Event::Lease(LeaseEvent::Hint), at(4_101 + hint)), []);
    }
    assert_eq!(machine.role(), Role::Leading);
}

#[test]
fn a_short_tolerance_is_respected() {
    let settings = Settings::new().tolerance(Duration::from_secs(6));
    let timing = settings.resolve(&MemoryStore::new().capabilities()).unwrap();
    let mut machine = Machine::new(timing, at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(granted(0, 1), at(10));
    let stop = Action::Stop(StopReason::HeartbeatsFailed);
    assert!(!machine.handle(Event::TICK, at(5_999)).contains(&stop));
    assert!(machine.handle(Event::TICK, at(6_000)).contains(&stop));
}

#[test]
fn many_hints_trigger_one_heartbeat() {
    let mut machine = leader();
    assert!(matches!(
        machine.handle(Event::Lease(LeaseEvent::Hint), at(100))[..],
        [Action::Send(Request::Renew(_))]
    ));
    assert_eq!(machine.handle(Event::Lease(LeaseEvent::Hint), at(101)), []);
}
