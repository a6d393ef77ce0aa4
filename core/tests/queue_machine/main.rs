//! The state machine of a lease, driven as a lock with a queue drives it: it keeps an entry that
//! waits, and trusts it only when it holds the lock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod events;
mod rules;

use std::time::Duration;

use leasehold_core::lease::machine::{
    AcquireReply, Action, AttemptKind, Event, Machine, RenewReply, Request, Stage,
};
use leasehold_core::{FencingToken, Grant, LockStore, MemoryStore, Moment, Settings, Timing};

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(15);

fn timing() -> Timing {
    Settings::new().ttl(TTL).resolve(&MemoryStore::new().capabilities()).unwrap()
}

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

fn token(number: u64) -> FencingToken {
    FencingToken::new(number).unwrap()
}

fn granted(sent: u64, left: Duration) -> Event {
    let reply = AcquireReply::Granted(Grant::new(token(5), left));
    Event::AcquireReplied { sent: at(sent), reply }
}

fn queued(sent: u64, recheck: Duration) -> Event {
    let reply = AcquireReply::Queued { token: token(5), left: TTL, recheck };
    Event::AcquireReplied { sent: at(sent), reply }
}

fn renewed(sent: u64, reply: RenewReply) -> Event {
    Event::RenewReplied { sent: at(sent), reply, in_flight: false }
}

/// The reply to a renewal says that the entry holds the lock.
fn holds() -> RenewReply {
    RenewReply::Extended { left: TTL }
}

/// The reply to a renewal says that the entry waits.
fn waits() -> RenewReply {
    RenewReply::Queued { left: TTL, recheck: TTL }
}

fn acquire(id: AttemptKind) -> [Action; 1] {
    [Action::Send(Request::Acquire(id))]
}

/// Returns when the only action, a renewal, may be sent and is due.
fn renewal(actions: &[Action]) -> (Moment, Moment) {
    match actions {
        [Action::Send(Request::Renew(window))] => (window.earliest, window.latest),
        other => panic!("{other:?}"),
    }
}

/// Returns a machine that has sent its first request, at 0 s.
fn entering() -> Machine {
    let mut machine = Machine::for_lock(&timing(), at(0)).with_entry();
    assert_eq!(machine.handle(Event::Tick, at(0)), acquire(AttemptKind::New));
    machine
}

/// Returns a machine whose entry waits since 0 s.
fn waiting() -> Machine {
    let mut machine = entering();
    let actions = machine.handle(queued(0, TTL), at(10));
    assert_eq!(renewal(&actions), (at(10), at(3_000)));
    assert_eq!(machine.stage(), Stage::Queued);
    machine
}
