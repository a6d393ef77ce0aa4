//! These tests cover each event of an entry that waits.

use std::time::Duration;

use leasehold_core::lease::machine::{Action, AttemptKind, Event, RenewReply, Request, Stage};
use leasehold_core::{LossReason, Reason};

use crate::{
    SECOND, TTL, acquire, at, entering, granted, holds, queued, renewal, renewed, token, waiting,
    waits,
};

#[test]
fn an_entry_that_waits_is_renewed_and_not_trusted() {
    let mut machine = waiting();
    for sent in [3_000, 6_000, 9_000] {
        let actions = machine.handle(renewed(sent, waits()), at(sent + 10));
        assert_eq!(renewal(&actions), (at(sent + 1_500), at(sent + 3_000)));
        assert_eq!(machine.stage(), Stage::Queued);
    }
}

#[test]
fn the_trust_counts_from_the_renewal_that_says_that_the_entry_holds_the_lock() {
    let mut machine = waiting();
    machine.handle(renewed(3_000, waits()), at(3_010));
    let actions = machine.handle(renewed(6_000, holds()), at(7_000));
    let trusted_until = at(6_000 + 15_000 - 750);
    assert_eq!(actions[0], Action::Granted { token: token(5), deadline: trusted_until });
    assert!(matches!(actions[1..], [Action::Send(Request::Renew(_))]), "{actions:?}");
    assert_eq!(machine.stage(), Stage::Held);
}

#[test]
fn an_entry_with_too_little_time_left_is_not_trusted_until_it_is_renewed() {
    let mut machine = waiting();
    // The lease could be trusted until 14.85 s.
    let actions = machine.handle(renewed(600, holds()), at(14_850));
    assert_eq!(renewal(&actions), (at(14_850), at(14_850)));
    assert_eq!(machine.stage(), Stage::Queued);
    let actions = machine.handle(renewed(14_850, holds()), at(14_860));
    assert!(matches!(actions[0], Action::Granted { .. }), "{actions:?}");
}

#[test]
fn a_retried_attempt_with_too_little_time_left_keeps_its_position() {
    let mut machine = entering();
    let actions = machine.handle(granted(0, SECOND / 2), at(10));
    assert_eq!(renewal(&actions), (at(10), at(10)));
    assert_eq!(machine.stage(), Stage::Queued);
    let actions = machine.handle(renewed(10, holds()), at(20));
    assert!(matches!(actions[0], Action::Granted { .. }), "{actions:?}");
    // It has certainly expired when its reply comes.
    for reply in [granted(0, SECOND), queued(0, SECOND)] {
        let mut machine = entering();
        let actions = machine.handle(reply, at(15_000));
        assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
    }
}

#[test]
fn a_lost_entry_is_replaced_at_once_under_another_lease() {
    let mut machine = waiting();
    let actions = machine.handle(renewed(3_000, RenewReply::Lost), at(3_010));
    assert_eq!(actions, acquire(AttemptKind::New));
}

/// If the entry is still live, the same attempt finds it in the queue.
#[test]
fn an_attempt_whose_entry_may_have_expired_is_repeated() {
    let mut machine = waiting();
    let mut renewals = 0;
    loop {
        let now = machine.next_tick().unwrap().at;
        let actions = machine.handle(Event::Tick, now);
        if actions == acquire(AttemptKind::Retry) {
            assert_eq!(now, at(15_000));
            break;
        }
        renewal(&actions);
        renewals += 1;
    }
    assert_eq!(renewals, 7, "one each 1.5 s from 4.5 s on");
}

#[test]
fn failed_renewals_are_retried() {
    let mut machine = waiting();
    let actions = machine.handle(renewed(3_000, RenewReply::Failed), at(3_010));
    assert_eq!(renewal(&actions).1, at(4_500));
    assert_eq!(machine.stage(), Stage::Queued);
}

#[test]
fn a_disabled_entry_leaves_and_the_next_attempt_is_another() {
    let mut machine = waiting();
    let reason = Reason::new("upgrade").unwrap();
    let disabled = renewed(3_000, RenewReply::Disabled { reason });
    let actions = machine.handle(disabled, at(3_010));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
    machine.handle(Event::ReleaseReplied { confirmed: true }, at(3_020));
    assert_eq!(machine.handle(Event::Tick, at(3_020)), acquire(AttemptKind::New));
}

#[test]
fn a_waiter_that_leaves_releases_its_entry() {
    let mut machine = waiting();
    let actions = machine.leave(at(100));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
    machine.handle(Event::ReleaseReplied { confirmed: true }, at(110));
    assert_eq!(machine.stage(), Stage::Ended);
    // The reply comes after the machine was told to leave.
    let mut machine = entering();
    assert_eq!(machine.leave(at(5)), []);
    let actions = machine.handle(queued(0, TTL), at(10));
    assert!(matches!(actions[..], [Action::Send(Request::Release(_))]), "{actions:?}");
}

#[test]
fn a_waiter_looks_when_an_entry_ahead_may_have_expired() {
    let mut machine = entering();
    machine.handle(queued(0, 2 * SECOND), at(10));
    let tick = machine.next_tick().unwrap();
    assert_eq!((tick.at, tick.jitter.is_zero()), (at(2_010), true));
    assert_eq!(renewal(&machine.handle(Event::Tick, at(2_010))), (at(2_010), at(2_010)));
    // The entry ahead was renewed in the meantime.
    let actions = machine.handle(renewed(2_010, waits()), at(2_020));
    assert_eq!(renewal(&actions).1, at(5_010));
    assert!(machine.next_tick().unwrap().at > at(5_010));
}

/// A store may round down the time that is left.
#[test]
fn a_waiter_does_not_ask_again_and_again_when_no_time_is_left_ahead() {
    let mut machine = entering();
    machine.handle(queued(0, Duration::ZERO), at(10));
    assert_eq!(machine.next_tick().unwrap().at, at(60));
}

#[test]
fn a_hint_or_an_opened_watch_makes_a_waiter_look_at_once() {
    for event in [Event::Hint, Event::WatchChanged] {
        let mut machine = waiting();
        let actions = machine.handle(event, at(100));
        assert_eq!(renewal(&actions), (at(100), at(100)));
    }
    // A hint came while the request was in progress, and what it is about may be later.
    let mut machine = entering();
    machine.handle(Event::Hint, at(5));
    let actions = machine.handle(queued(0, TTL), at(10));
    assert_eq!(renewal(&actions), (at(10), at(10)));
}

#[test]
fn a_hint_during_a_renewal_is_not_missed() {
    let mut machine = waiting();
    machine.handle(Event::Hint, at(100));
    assert_eq!(machine.handle(Event::Hint, at(105)), [], "one renewal is enough for many hints");
    // The store may have decided before the second hint.
    let actions = machine.handle(renewed(100, waits()), at(110));
    assert_eq!(renewal(&actions), (at(110), at(110)));
    let actions = machine.handle(renewed(110, waits()), at(120));
    assert_eq!(renewal(&actions).1, at(3_110));
}

/// The store has lost its latest writes, in a failover.
#[test]
fn an_entry_that_no_longer_holds_the_lock_is_lost() {
    let mut machine = waiting();
    machine.handle(renewed(3_000, holds()), at(3_010));
    let actions = machine.handle(renewed(6_000, waits()), at(6_010));
    assert!(matches!(actions[..], [Action::Lost { reason: LossReason::Gone, .. }]), "{actions:?}");
}

#[test]
fn shifted_moments_do_not_change_the_decisions() {
    let mut machine = entering();
    machine.handle(queued(0, 2 * SECOND), at(1_000));
    let mut shifted = machine.shifted_back(SECOND);
    assert_eq!(shifted.next_tick().unwrap().at, at(2_000));
    assert_eq!(renewal(&machine.handle(Event::Tick, at(3_000))).0, at(3_000));
    assert_eq!(renewal(&shifted.handle(Event::Tick, at(2_000))).0, at(2_000));
}
