//! This test checks the rules with random events.

use std::time::Duration;

use leasehold_core::Moment;
use leasehold_core::election::machine::{Action, Event, Machine, Role};
use leasehold_core::lease::machine::{Event as LeaseEvent, Request};

use super::random_replies::{acquire_reply, renew_reply};
use super::{at, timing};

/// The machine must keep these rules for any sequence of events.
#[derive(Debug, Default)]
struct Rules {
    started: bool,
    stopped: bool,
    acquiring: bool,
    releasing: bool,
    /// The lease of the latest term must expire.
    expires: bool,
    terms: u64,
}

impl Rules {
    fn check(&mut self, action: &Action) {
        match action {
            Action::Send(Request::Acquire(_)) => {
                assert!(!self.started && !self.acquiring && !self.releasing, "{self:?}");
                self.acquiring = true;
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
                assert!(!self.expires, "released although the job was aborted: {self:?}");
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
            0 | 1 if self.acquiring => {
                self.acquiring = false;
                let reply = acquire_reply(random, token);
                Event::Lease(LeaseEvent::AcquireReplied { sent, reply })
            }
            // A reply to a renewal may come at any time, even long after it is of use.
            2 | 3 => {
                let reply = renew_reply(random);
                Event::Lease(LeaseEvent::RenewReplied { sent, reply, in_flight: random.bool() })
            }
            4 if self.releasing => {
                self.releasing = false;
                Event::Lease(LeaseEvent::ReleaseReplied { confirmed: random.bool() })
            }
            5 | 6 if self.stopped && self.started => {
                self.started = false;
                Event::JobEnded
            }
            7 if self.started => Event::StartFailed("start failed".to_owned()),
            8 if random.bool() => Event::Lease(LeaseEvent::WatchChanged),
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
            if machine.role() == Role::Ended {
                // A release that hangs ends at its time limit.
                assert!(!rules.started, "seed {seed}: {rules:?}");
                endings += 1;
                break;
            }
        }
        terms += rules.terms;
    }
    println!("{terms} terms, {endings} elections ended");
    assert!(terms > 400 && endings > 50, "too few events: {terms} terms, {endings} endings");
}
