//! The election's state machine keeps its rules for any sequence of events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
#[path = "../support/random_replies.rs"]
mod random_replies;
mod rules;
mod terms;

use std::time::Duration;

use leasehold_core::election::machine::{Action, Event, Machine};
use leasehold_core::lease::machine::{
    AcquireReply, AttemptKind, Event as LeaseEvent, RenewReply, Request,
};
use leasehold_core::{FencingToken, Grant, LockStore, MemoryStore, Moment, Settings, Timing};

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
    Event::Lease(LeaseEvent::RenewReplied { sent: at(4_000), reply, in_flight: false })
}

fn leader() -> Machine {
    let mut machine = Machine::new(timing(), at(0));
    assert_eq!(
        machine.handle(Event::TICK, at(0)),
        [Action::Send(Request::Acquire(AttemptKind::New))]
    );
    let actions = machine.handle(granted(0, 1), at(10));
    assert!(
        matches!(actions[..], [Action::Start { .. }, Action::Send(Request::Renew(_))]),
        "{actions:?}"
    );
    machine
}
