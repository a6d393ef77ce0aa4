//! The election's state machine keeps its rules for any sequence of events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/random_replies.rs"]
mod random_replies;

use std::time::Duration;

use leasehold_core::election::machine::{Action, Event, Machine, Standing};
use leasehold_core::lease::machine::{
    AcquireReply, AttemptId, Event as LeaseEvent, RenewReply, Request,
};
use leasehold_core::{
    FencingToken, Grant, LockStore, MemoryStore, Moment, Settings, StopReason, Timing,
};
use random_replies::{acquire_reply, renew_reply};

fn timing() -> Timing {
    Settings::new().resolve(&MemoryStore::new().capabilities()).unwrap()
}

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

fn granted(sent: u64, token: u64) -> Event {
    let grant = Grant::new(FencingToken::new(token).unwrap(), timing().ttl);
    Event::Lease(LeaseEvent::AcquireReplied { sent: at(sent), reply: AcquireReply::Granted(grant) })
}

fn acquire_replied(sent: u64, reply: AcquireReply) -> Event {
    Event::Lease(LeaseEvent::AcquireReplied { sent: at(sent), reply })
}

fn renew_replied(reply: RenewReply) -> Event {
    Event::Lease(LeaseEvent::RenewReplied { sent: at(4_000), reply, under_way: false })
}

fn leader() -> Machine {
    let mut machine = Machine::new(timing(), at(0));
    assert_eq!(
        machine.handle(Event::TICK, at(0)),
        [Action::Send(Request::Acquire(AttemptId::New))]
    );
    let actions = machine.handle(granted(0, 1), at(10));
    assert!(
        matches!(actions[..], [Action::Start { .. }, Action::Send(Request::Renew(_))]),
        "{actions:?}"
    );
    machine
}

#[test]
fn retry_after_unknown_outcome_keeps_the_lease_id() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(acquire_replied(0, AcquireReply::Failed), at(10));
    assert_eq!(
        machine.handle(Event::TICK, at(60_000)),
        [Action::Send(Request::Acquire(AttemptId::Retry))]
    );
    // Another lease blocked this attempt, but the first request may still arrive and be granted.
    machine
        .handle(acquire_replied(60_000, AcquireReply::Held { left: Duration::ZERO }), at(60_010));
    assert_eq!(
        machine.handle(Event::TICK, at(120_000)),
        [Action::Send(Request::Acquire(AttemptId::Retry))]
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
        [Action::Send(Request::Acquire(AttemptId::New))]
    );
}

#[test]
fn a_refused_attempt_is_followed_by_a_new_one() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(acquire_replied(0, AcquireReply::Held { left: Duration::ZERO }), at(10));
    assert_eq!(
        machine.handle(Event::TICK, at(60_000)),
        [Action::Send(Request::Acquire(AttemptId::New))]
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
    assert_eq!(machine.standing(), Standing::Ended);
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
fn a_grant_too_late_to_stop_in_is_released() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    let late = 15_000 - 750 - 5_000;
    let actions = machine.handle(granted(0, 1), at(late));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
}

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
        under_way: false,
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
        let left = machine.standing() == Standing::Ended;
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
    assert_eq!(machine.standing(), Standing::Ended);
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
    let mut asking = Machine::new(timing(), at(0));
    asking.handle(Event::TICK, at(0));
    asking.handle(Event::ShutDown, at(1_000));
    let mut releasing = leader();
    releasing.handle(Event::ShutDown, at(900));
    let actions = releasing.handle(Event::JobEnded, at(1_000));
    assert_eq!(
        actions,
        [Action::EndTrust, Action::Send(Request::Release(timing().leave_timeout()))]
    );
    for mut machine in [asking, releasing] {
        let by = at(1_000) + timing().leave_timeout();
        assert_eq!(machine.leave_deadline(), Some(by));
        assert_eq!(machine.next_tick().unwrap().at, by);
        assert_eq!(machine.handle(Event::TICK, by), []);
        assert_eq!(machine.standing(), Standing::Ended);
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

#[test]
fn hints_do_not_consume_heartbeat_retries() {
    let mut machine = leader();
    let retry = machine.handle(renew_replied(RenewReply::Failed), at(4_100));
    assert!(matches!(retry[..], [Action::Send(Request::Renew(_))]), "{retry:?}");
    for hint in 0..10 {
        assert_eq!(machine.handle(Event::Lease(LeaseEvent::Hint), at(4_101 + hint)), []);
    }
    assert_eq!(machine.standing(), Standing::Leading);
}

#[test]
fn candidates_are_jittered_and_respect_the_start_delay() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(acquire_replied(0, AcquireReply::Held { left: Duration::from_secs(1) }), at(10));
    let wake = machine.next_tick().unwrap();
    assert!(wake.at == at(1_010) && !wake.jitter.is_zero(), "{wake:?}");
    let delayed = Settings::new().start_delay(Duration::from_secs(7));
    let timing = delayed.resolve(&MemoryStore::new().capabilities()).unwrap();
    let mut machine = Machine::new(timing, at(0));
    assert_eq!(machine.handle(Event::Lease(LeaseEvent::Hint), at(100)), []);
    assert_eq!(machine.handle(Event::TICK, at(6_999)), []);
    assert_eq!(
        machine.handle(Event::TICK, at(7_000)),
        [Action::Send(Request::Acquire(AttemptId::New))]
    );
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
fn a_hint_during_an_acquire_triggers_another_acquire() {
    let mut machine = Machine::new(timing(), at(0));
    machine.handle(Event::TICK, at(0));
    machine.handle(Event::Lease(LeaseEvent::Hint), at(5));
    machine
        .handle(acquire_replied(0, AcquireReply::Held { left: Duration::from_secs(15) }), at(10));
    assert_eq!(machine.next_tick().unwrap().at, at(10));
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

/// The machine must keep these rules for any sequence of events.
#[derive(Debug, Default)]
struct Rules {
    started: bool,
    stopped: bool,
    asking: bool,
    releasing: bool,
    /// The lease of the latest term must expire.
    expires: bool,
    terms: u64,
}

impl Rules {
    fn check(&mut self, action: &Action) {
        match action {
            Action::Send(Request::Acquire(_)) => {
                assert!(!self.started && !self.asking && !self.releasing, "{self:?}");
                self.asking = true;
                self.expires = false;
            }
            Action::Start { .. } => {
                assert!(!self.started, "two terms at once: {self:?}");
                (self.started, self.stopped) = (true, false);
                self.terms += 1;
            }
            Action::Stop(_) => {
                assert!(self.started && !self.stopped, "{self:?}");
                self.stopped = true;
            }
            Action::Send(Request::Release(_)) => {
                assert!(!self.started && !self.releasing, "released before the end: {self:?}");
                assert!(!self.expires, "released though it was aborted: {self:?}");
                self.releasing = true;
            }
            Action::Send(Request::Renew(_)) | Action::ExtendTrust(_) => {
                assert!(self.started && !self.stopped, "{self:?}");
            }
            Action::AbortStart | Action::AbortJob => {
                assert!(self.stopped, "{self:?}");
                self.expires = true;
            }
            Action::NeverRelease => assert!(self.expires, "{self:?}"),
            Action::EndTrust => {}
        }
    }

    /// Returns an event that could happen now.
    fn event(&mut self, random: &mut fastrand::Rng, now: Moment, token: &mut u64) -> Event {
        let sent = now.saturating_sub(Duration::from_millis(random.u64(0..12_000)));
        match random.u32(0..12) {
            0 | 1 if self.asking => {
                self.asking = false;
                let reply = acquire_reply(random, token);
                Event::Lease(LeaseEvent::AcquireReplied { sent, reply })
            }
            // A reply to a renewal may come at any time, long after it has stopped to matter.
            2 | 3 => {
                let reply = renew_reply(random);
                Event::Lease(LeaseEvent::RenewReplied { sent, reply, under_way: random.bool() })
            }
            4 if self.releasing => {
                self.releasing = false;
                Event::Lease(LeaseEvent::ReleaseReplied { confirmed: random.bool() })
            }
            5 | 6 if self.stopped && self.started => {
                self.started = false;
                Event::JobEnded
            }
            7 if self.started => Event::StartFailed("no luck".to_owned()),
            8 => Event::Lease(LeaseEvent::Hint),
            9 if random.u32(0..4) == 0 => Event::Resign,
            10 if random.u32(0..60) == 0 => Event::ShutDown,
            11 if random.u32(0..200) == 0 => Event::RuntimeShutDown,
            11 if self.started && random.u32(0..20) == 0 => Event::Finished,
            _ => Event::TICK,
        }
    }
}

#[test]
fn invariants_hold_for_random_event_sequences() {
    let (mut terms, mut endings) = (0, 0);
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut machine, mut rules) = (Machine::new(timing(), at(0)), Rules::default());
        let (mut now, mut token) = (at(0), 0);
        for _ in 0..500 {
            now = now + Duration::from_millis(random.u64(0..3_000));
            let event = rules.event(&mut random, now, &mut token);
            for action in machine.handle(event.clone(), now) {
                rules.check(&action);
            }
            if machine.standing() == Standing::Ended {
                // A release that hangs ends at its time limit.
                assert!(!rules.started, "seed {seed}: {rules:?}");
                endings += 1;
                break;
            }
        }
        terms += rules.terms;
    }
    println!("{terms} terms, {endings} shut down");
    assert!(terms > 400 && endings > 50, "too little happened: {terms} terms, {endings} ends");
}
