//! The state machine of a lease, driven as a lock drives it, keeps its rules for any sequence of
//! events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/random_replies.rs"]
mod random_replies;

use std::time::Duration;

use leasehold_core::lease::machine::{
    AcquireReply, Action, AttemptKind, Cooldown, Event, Machine, RenewReply, Request, Stage,
};
use leasehold_core::{
    FencingToken, Grant, LockStore, LossReason, MemoryStore, Moment, Reason, Settings, Timing,
};
use random_replies::{acquire_reply, renew_reply};

const SECOND: Duration = Duration::from_secs(1);

fn timing() -> Timing {
    Settings::new().resolve(&MemoryStore::new().capabilities()).unwrap()
}

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

fn replied(sent: u64, reply: AcquireReply) -> Event {
    Event::AcquireReplied { sent: at(sent), reply }
}

fn granted(sent: u64) -> Event {
    let grant = Grant::new(FencingToken::new(1).unwrap(), timing().ttl);
    replied(sent, AcquireReply::Granted(grant))
}

fn renewed(sent: u64, reply: RenewReply) -> Event {
    Event::RenewReplied { sent: at(sent), reply, in_flight: false }
}

fn acquire(id: AttemptKind) -> [Action; 1] {
    [Action::Send(Request::Acquire(id))]
}

/// Returns a waiter that has sent its first request, at 0 s.
fn waiter() -> Machine {
    let mut machine = Machine::for_lock(&timing(), at(0));
    assert_eq!(machine.handle(Event::Tick, at(0)), acquire(AttemptKind::New));
    machine
}

/// Returns a holder whose lease was granted at 0 s and is trusted until 14.25 s.
fn holder() -> Machine {
    let mut machine = waiter();
    let actions = machine.handle(granted(0), at(10));
    assert!(
        matches!(actions[..], [Action::Granted { .. }, Action::Send(Request::Renew(_))]),
        "{actions:?}"
    );
    machine
}

#[test]
fn a_lock_ignores_the_start_delay() {
    let settings = Settings::new().start_delay(SECOND);
    let timing = settings.resolve(&MemoryStore::new().capabilities()).unwrap();
    let mut machine = Machine::for_lock(&timing, at(0));
    assert_eq!(machine.handle(Event::Tick, at(0)), acquire(AttemptKind::New));
}

#[test]
fn a_waiter_retries_an_unknown_attempt_under_the_same_id() {
    let mut machine = waiter();
    machine.handle(replied(0, AcquireReply::Failed), at(10));
    assert_eq!(machine.handle(Event::Tick, at(60_000)), acquire(AttemptKind::Retry));
    // The first request may still arrive and be granted.
    let held = AcquireReply::Held { left: 100 * SECOND, watched: true };
    machine.handle(replied(60_000, held), at(60_010));
    let next = machine.next_tick().unwrap();
    assert_eq!(next.at, at(60_010) + timing().poll_interval, "no hint tells of a late grant");
    assert_eq!(machine.handle(Event::Tick, at(120_000)), acquire(AttemptKind::Retry));
    machine.handle(replied(120_000, AcquireReply::Failed), at(120_010));
    let pause = machine.next_tick().unwrap();
    assert_eq!(pause.at, at(120_010) + SECOND, "a failure after a reply is the first in a row");
}

#[test]
fn a_waiter_releases_a_possible_grant_before_a_disable() {
    let mut machine = waiter();
    machine.handle(replied(0, AcquireReply::Failed), at(10));
    machine.handle(Event::Tick, at(60_000));
    let actions = machine.handle(replied(60_000, AcquireReply::Disabled), at(60_010));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
    machine.handle(Event::ReleaseReplied { confirmed: true }, at(60_020));
    assert_eq!(machine.handle(Event::Tick, at(60_020)), acquire(AttemptKind::New));
}

#[test]
fn a_waiter_retries_when_the_present_lease_expires_and_polls_without_hints() {
    let Timing { poll_interval: poll, poll_interval_with_hints: with_hints, .. } = timing();
    for (reply, wait) in [
        (AcquireReply::Held { left: SECOND, watched: false }, SECOND),
        (AcquireReply::Held { left: 100 * SECOND, watched: false }, poll),
        (AcquireReply::Held { left: SECOND, watched: true }, SECOND),
        (AcquireReply::Held { left: 100 * SECOND, watched: true }, with_hints),
        (AcquireReply::Disabled, poll),
    ] {
        let mut machine = waiter();
        machine.handle(replied(0, reply), at(10));
        let wake = machine.next_tick().unwrap();
        assert_eq!(wake.at, at(10) + wait);
        assert!(!wake.jitter.is_zero());
        assert_eq!(machine.handle(Event::Hint, at(20)), acquire(AttemptKind::New));
    }
}

#[test]
fn a_waiter_ignores_hints_while_the_store_fails() {
    let mut machine = waiter();
    machine.handle(replied(0, AcquireReply::Failed), at(10));
    assert_eq!(machine.handle(Event::Hint, at(11)), []);
}

#[test]
fn a_grant_too_late_to_be_trusted_is_released() {
    let mut machine = waiter();
    let actions = machine.handle(granted(0), at(14_250));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
    let mut machine = waiter();
    machine.handle(granted(0), at(14_249));
    assert_eq!(machine.stage(), Stage::Held, "a lock has no job to stop");
}

#[test]
fn failed_renewals_of_a_lock_are_retried_until_its_deadline() {
    let mut machine = holder();
    let mut retries = 0;
    loop {
        let now = machine.next_tick().unwrap().at;
        match &machine.handle(Event::Tick, now)[..] {
            [Action::Send(Request::Renew(_))] => retries += 1,
            [Action::Lost { reason: LossReason::Expired, deadline }] => {
                assert_eq!((now, *deadline), (at(14_250), at(14_250)));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(retries, 7, "one each 1.5 s from 4.5 s on");
}

#[test]
fn expired_trust_does_not_come_back() {
    let mut machine = holder();
    let late = renewed(3_000, RenewReply::Extended { left: timing().ttl });
    let expired = Action::Lost { reason: LossReason::Expired, deadline: at(14_250) };
    assert_eq!(machine.handle(late, at(14_250)), [expired]);
    let again = renewed(4_500, RenewReply::Extended { left: timing().ttl });
    assert_eq!(machine.handle(again, at(14_260)), []);
}

#[test]
fn hints_trigger_one_renewal_of_a_held_lock() {
    let mut machine = holder();
    assert!(matches!(machine.handle(Event::Hint, at(100))[..], [Action::Send(Request::Renew(_))]));
    assert_eq!(machine.handle(Event::Hint, at(101)), []);
}

#[test]
fn an_opened_watch_makes_a_waiter_ask_again_and_leaves_a_held_lock_to_its_next_heartbeat() {
    let mut machine = waiter();
    machine.handle(replied(0, AcquireReply::Held { left: SECOND, watched: false }), at(10));
    assert_eq!(machine.handle(Event::WatchChanged, at(20)), acquire(AttemptKind::New));
    machine.handle(Event::WatchChanged, at(21));
    machine.handle(replied(20, AcquireReply::Held { left: SECOND, watched: false }), at(30));
    assert_eq!(machine.next_tick().unwrap().at, at(30), "something changed after it was asked");

    let mut machine = holder();
    let next = machine.next_tick();
    assert_eq!(machine.handle(Event::WatchChanged, at(100)), []);
    assert_eq!(machine.next_tick(), next);
    assert!(matches!(machine.handle(Event::Hint, at(101))[..], [Action::Send(Request::Renew(_))]));
}

#[test]
fn a_disabled_lock_is_not_renewed_but_its_lease_lasts() {
    let mut machine = holder();
    let reason = Reason::new("maintenance").unwrap();
    let disabled = renewed(3_000, RenewReply::Disabled { reason: reason.clone() });
    let lost = Action::Lost { reason: LossReason::Disabled { reason }, deadline: at(14_250) };
    assert_eq!(machine.handle(disabled, at(3_010)), [lost]);
    assert_eq!(machine.stage(), Stage::Ending);
    assert_eq!(machine.next_tick(), None);
}

#[test]
fn a_release_is_tried_three_times_while_the_lease_lasts() {
    let mut machine = holder();
    let mut actions = machine.release(Cooldown::None, at(100));
    for _ in 0..3 {
        assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
        let now = machine.next_tick().map_or(at(100), |wake| wake.at);
        machine.handle(Event::ReleaseReplied { confirmed: false }, now);
        let next = machine.next_tick().unwrap().at;
        actions = machine.handle(Event::Tick, next);
    }
    assert_eq!(actions, acquire(AttemptKind::New));
}

/// The machine must keep these rules for any sequence of events.
#[derive(Debug, Default)]
struct Rules {
    acquiring: bool,
    releasing: bool,
    /// The latest attempt may have been granted, and was not released.
    uncertain: bool,
    /// An earlier request of the present attempt may have been granted.
    retry: bool,
    deadline: Option<Moment>,
    grants: u64,
}

impl Rules {
    fn check(&mut self, action: &Action, now: Moment) {
        match action {
            Action::Send(Request::Acquire(id)) => {
                assert!(!self.acquiring && !self.releasing && self.deadline.is_none(), "{self:?}");
                assert_eq!(*id == AttemptKind::Retry, self.uncertain, "{self:?}");
                self.retry = self.uncertain;
                (self.acquiring, self.uncertain) = (true, true);
            }
            Action::Send(Request::Renew(window)) => {
                assert!(self.deadline.is_some_and(|deadline| now < deadline), "{self:?}");
                assert!(window.latest >= now && window.earliest <= window.latest, "{window:?}");
            }
            Action::Send(Request::Release(_)) => {
                assert!(!self.releasing && self.deadline.is_none(), "{self:?}");
                self.releasing = true;
            }
            Action::Granted { deadline, .. } => {
                assert!(now < *deadline && self.deadline.is_none(), "{self:?}");
                self.deadline = Some(*deadline);
                self.grants += 1;
            }
            Action::ExtendTrust(deadline) => {
                assert!(now < *deadline, "{self:?}");
                assert!(self.deadline.is_some_and(|until| now < until), "{self:?}");
                self.deadline = Some(*deadline);
            }
            Action::Lost { reason, .. } => {
                assert!(self.deadline.take().is_some(), "{reason:?}");
            }
        }
    }

    /// Returns an event that could happen now.
    fn event(&mut self, random: &mut fastrand::Rng, now: Moment, token: &mut u64) -> Event {
        let sent = now.saturating_sub(Duration::from_millis(random.u64(0..12_000)));
        match random.u32(0..9) {
            0 | 1 if self.acquiring => {
                self.acquiring = false;
                let reply = acquire_reply(random, token);
                if matches!(reply, AcquireReply::Held { .. } | AcquireReply::Disabled) {
                    self.uncertain = self.retry;
                }
                Event::AcquireReplied { sent, reply }
            }
            2 | 3 => {
                let reply = renew_reply(random);
                Event::RenewReplied { sent, reply, in_flight: random.bool() }
            }
            4 if self.releasing => {
                self.releasing = false;
                Event::ReleaseReplied { confirmed: random.bool() }
            }
            5 => Event::Hint,
            6 => Event::WatchChanged,
            _ => Event::Tick,
        }
    }
}

#[test]
fn invariants_hold_for_random_event_sequences() {
    let (mut grants, mut losses) = (0, 0);
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut machine, mut rules) = (Machine::for_lock(&timing(), at(0)), Rules::default());
        let (mut now, mut token) = (at(0), 0);
        for _ in 0..500 {
            now = now + Duration::from_millis(random.u64(0..3_000));
            let before = machine.stage();
            let actions = if before == Stage::Ending && random.bool() {
                losses += 1;
                machine.let_expire(Cooldown::None, now)
            } else if before == Stage::Held && random.u32(0..20) == 0 {
                rules.deadline = None;
                machine.release(Cooldown::None, now)
            } else {
                let event = rules.event(&mut random, now, &mut token);
                machine.handle(event, now)
            };
            for action in &actions {
                rules.check(action, now);
            }
            if matches!(before, Stage::Ending | Stage::Releasing) && machine.stage() == Stage::Idle
            {
                rules.uncertain = false;
            }
        }
        grants += rules.grants;
    }
    println!("{grants} grants, {losses} losses");
    assert!(grants > 400 && losses > 50, "too few events: {grants} grants, {losses} losses");
}
