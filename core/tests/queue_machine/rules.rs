//! The machine keeps its rules for any sequence of events.

use std::time::Duration;

use fastrand::Rng;
use leasehold_core::lease::machine::{
    AcquireReply, Action, AttemptKind, Cooldown, Event, Machine, RenewReply, Request, Stage,
};
use leasehold_core::{FencingToken, Grant, Moment, Reason};

use crate::{at, timing, token};

/// The machine must keep these rules for any sequence of events.
#[derive(Debug, Default)]
struct Rules {
    acquiring: bool,
    releasing: bool,
    /// The latest attempt may have an entry.
    uncertain: bool,
    /// An earlier request of the present attempt may have made an entry.
    retry: bool,
    /// The latest reply to the attempt had this token, and the entry is renewed.
    entry: Option<FencingToken>,
    /// The latest event says that the entry holds the lock.
    told_to_hold: bool,
    trusted_until: Option<Moment>,
    grants: u64,
}

impl Rules {
    fn check(&mut self, action: &Action, now: Moment) {
        match action {
            Action::Send(Request::Acquire(id)) => {
                assert!(!self.acquiring && !self.releasing, "{self:?}");
                assert!(self.trusted_until.is_none(), "{self:?}");
                assert_eq!(*id == AttemptKind::Retry, self.uncertain, "{self:?}");
                self.retry = self.uncertain;
                (self.acquiring, self.uncertain, self.entry) = (true, true, None);
            }
            Action::Send(Request::Renew(window)) => {
                assert!(self.entry.is_some(), "{self:?}");
                assert!(window.latest >= now && window.earliest <= window.latest, "{window:?}");
            }
            Action::Send(Request::Release(_)) => {
                assert!(!self.releasing && self.trusted_until.is_none(), "{self:?}");
                (self.releasing, self.entry) = (true, None);
            }
            Action::Granted { token, deadline } => {
                assert!(self.told_to_hold && self.trusted_until.is_none(), "{self:?}");
                assert_eq!(Some(*token), self.entry, "{self:?}");
                assert!(now < *deadline, "{self:?}");
                self.trusted_until = Some(*deadline);
                self.grants += 1;
            }
            Action::ExtendTrust(deadline) => {
                assert!(self.told_to_hold && now < *deadline, "{self:?}");
                assert!(self.trusted_until.is_some_and(|until| now < until), "{self:?}");
                self.trusted_until = Some(*deadline);
            }
            Action::Lost { reason, .. } => {
                assert!(self.trusted_until.take().is_some(), "{reason:?}");
                self.entry = None;
            }
        }
    }

    /// Returns an event that could happen now.
    fn event(&mut self, random: &mut Rng, stage: Stage, now: Moment, last: &mut u64) -> Event {
        self.told_to_hold = false;
        let sent = now.saturating_sub(Duration::from_millis(random.u64(0..12_000)));
        let left = Duration::from_millis(random.u64(0..15_000));
        let recheck = Duration::from_millis(random.u64(0..5_000));
        match random.u32(0..9) {
            0 | 1 if self.acquiring => {
                self.acquiring = false;
                *last += 1;
                let reply = match random.u32(0..6) {
                    0 => AcquireReply::Held { left, watched: random.bool() },
                    1 => AcquireReply::Disabled,
                    2 => AcquireReply::Failed,
                    3 => AcquireReply::Granted(Grant::new(token(*last), left)),
                    _ => AcquireReply::Queued { token: token(*last), left, recheck },
                };
                match &reply {
                    AcquireReply::Held { .. } | AcquireReply::Disabled => {
                        self.uncertain = self.retry;
                    }
                    AcquireReply::Granted(_) => {
                        (self.entry, self.told_to_hold) = (Some(token(*last)), true);
                    }
                    AcquireReply::Queued { .. } => self.entry = Some(token(*last)),
                    AcquireReply::Failed => {}
                }
                Event::AcquireReplied { sent, reply }
            }
            2..=4 if matches!(stage, Stage::Queued | Stage::Held) => {
                let reply = match random.u32(0..10) {
                    0 => RenewReply::Lost,
                    1 => RenewReply::Failed,
                    2 => RenewReply::Disabled { reason: Reason::new("upgrade").unwrap() },
                    3..=5 if stage == Stage::Queued => RenewReply::Queued { left, recheck },
                    _ => RenewReply::Extended { left },
                };
                self.told_to_hold = matches!(reply, RenewReply::Extended { .. });
                if reply == RenewReply::Lost && stage == Stage::Queued {
                    self.uncertain = false;
                }
                Event::RenewReplied { sent, reply, in_flight: random.bool() }
            }
            5 if self.releasing => {
                self.releasing = false;
                Event::ReleaseReplied { confirmed: random.bool() }
            }
            6 => Event::Hint,
            7 => Event::WatchChanged,
            _ => Event::Tick,
        }
    }
}

#[test]
fn invariants_hold_for_random_event_sequences() {
    let (mut grants, mut waits) = (0, 0);
    for seed in 0..400 {
        let mut random = Rng::with_seed(seed);
        let mut machine = Machine::for_lock(&timing(), at(0)).with_entry();
        let (mut rules, mut now, mut last) = (Rules::default(), at(0), 0);
        for _ in 0..500 {
            now = now + Duration::from_millis(random.u64(0..3_000));
            let before = machine.stage();
            let actions = if before == Stage::Ending {
                machine.let_expire(Cooldown::None, now)
            } else if before == Stage::Held && random.u32(0..20) == 0 {
                rules.trusted_until = None;
                machine.release(Cooldown::None, now)
            } else {
                let event = rules.event(&mut random, before, now, &mut last);
                machine.handle(event, now)
            };
            for action in &actions {
                rules.check(action, now);
            }
            let after = machine.stage();
            if matches!(before, Stage::Ending | Stage::Releasing) && after == Stage::Idle {
                rules.uncertain = false;
            }
            waits += u64::from(before == Stage::Acquiring && after == Stage::Queued);
        }
        grants += rules.grants;
    }
    println!("{grants} grants, {waits} waits");
    assert!(grants > 400 && waits > 400, "too few events: {grants} grants, {waits} waits");
}
