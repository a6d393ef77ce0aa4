//! A guard reports the loss of its lease soon after it is lost, and not before: when trust has
//! ended, when the store no longer has the lease, or when the name was disabled. A frozen instance
//! may report it later.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::faults::InstanceFaults;
use super::found::Found;
use super::in_force::InForce;
use crate::history::{Event, History, InstanceId, NameId};

/// The error of a timer and the time of a reply are much less than this.
const REPORT_LIMIT: Duration = Duration::from_millis(100);

/// Rounding may change a time by this much.
const ROUNDING: Duration = Duration::from_millis(2);

/// This is a guard that has not reported the loss of its lease.
#[derive(Debug)]
struct HeldGuard {
    /// This is the time until which the lease is trusted. It is unlimited until the guard has been
    /// asked.
    until: Duration,
    disabled: Option<Duration>,
}

pub(super) fn check(history: &History) -> Found {
    // The next heartbeat or its retry notices that a name is disabled.
    let noticed_within =
        history.timing.heartbeat_interval.mul_f64(1.002) + history.timing.retry_interval();
    let mut faults = InstanceFaults::default();
    let mut held: HashMap<(InstanceId, NameId, u64), HeldGuard> = HashMap::new();
    // What is in force, and what was in force when its name was disabled.
    let mut in_force = InForce::default();
    let mut disabled: HashSet<(NameId, u64)> = HashSet::new();
    let mut freed: HashSet<(NameId, u64)> = HashSet::new();
    for (now, event) in &history.events {
        let late = held.iter().find(|((process, ..), guard)| {
            let faultless_since = faults.over_since(*process);
            let disable_due = guard
                .disabled
                .zip(faultless_since)
                .map(|(at, faultless_since)| at.max(faultless_since) + noticed_within);
            let thawed = faults.last_thaw(*process);
            let over = guard.until.max(thawed);
            let due = disable_due.map_or(over, |disable_due| disable_due.min(over));
            !faults.is_frozen(*process) && *now > due.saturating_add(REPORT_LIMIT)
        });
        if let Some((guard, HeldGuard { until, disabled })) = late {
            let what = format!(
                "loss of {guard:?} is not reported: trusted until {until:?}, disabled at \
                 {disabled:?}"
            );
            return Err((*now, what));
        }
        faults.see(*now, event);
        in_force.see(event);
        match event {
            Event::Disabled(name) => {
                let ending: Vec<u64> = in_force.of(*name).collect();
                let its = held
                    .iter_mut()
                    .filter(|((_, held, term), _)| held == name && ending.contains(term));
                its.for_each(|(_, guard)| guard.disabled = Some(*now));
                disabled.extend(ending.into_iter().map(|token| (*name, token)));
            }
            Event::Released(name, token) => {
                freed.insert((*name, *token));
            }
            Event::GuardAcquired(process, name, token) => {
                // Before that there was no guard to notice it.
                let disabled = disabled.contains(&(*name, *token)).then_some(*now);
                let guard = HeldGuard { until: Duration::MAX, disabled };
                held.insert((*process, *name, *token), guard);
            }
            Event::TrustExtended(process, name, token, until) => {
                if let Some(guard) = held.get_mut(&(*process, *name, *token)) {
                    guard.until = *until;
                }
            }
            Event::GuardReleased(process, name, token) => {
                held.remove(&(*process, *name, *token));
            }
            Event::Crashed(crashed) => held.retain(|(process, ..), _| process != crashed),
            Event::GuardLost(process, name, token, why) => {
                let guard = held.remove(&(*process, *name, *token));
                let is_over = guard.as_ref().is_some_and(|guard| guard.until <= *now + ROUNDING);
                let is_so = match *why {
                    "expired" => is_over,
                    "gone" => is_over || freed.contains(&(*name, *token)),
                    "disabled" => guard.as_ref().is_some_and(|guard| guard.disabled.is_some()),
                    _ => false,
                };
                if !is_so {
                    let what = format!(
                        "{process} reports a loss of {token} of {name} ({why}) that did not occur: \
                         {guard:?}"
                    );
                    return Err((*now, what));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result for a guard that is trusted until 10 s or until the name is disabled, and
    /// reports its loss then.
    fn found(then: Event, lost: f64, why: &'static str) -> Found {
        let events = [
            (1.0, Event::Granted(1, 0, 10)),
            (1.0, Event::GuardAcquired(1, 0, 10)),
            (1.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(10))),
            (2.0, then),
            (lost, Event::GuardLost(1, 0, 10, why)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn early_and_late_losses_are_found() {
        let nothing = Event::Hinted(1, None);
        assert!(found(nothing.clone(), 10.0, "expired").is_ok());
        assert!(found(nothing.clone(), 10.0, "gone").is_ok());
        assert!(found(nothing.clone(), 9.9, "expired").is_err());
        assert!(found(nothing.clone(), 10.2, "expired").is_err());
        assert!(found(nothing, 10.0, "disabled").is_err());
    }

    #[test]
    fn justified_losses_pass() {
        assert!(found(Event::Disabled(0), 3.0, "disabled").is_ok());
        assert!(found(Event::Disabled(0), 3.0, "expired").is_err());
        assert!(found(Event::Disabled(1), 3.0, "disabled").is_err());
        assert!(found(Event::Disabled(0), 7.0, "disabled").is_err());
        assert!(found(Event::Released(0, 10), 3.0, "gone").is_ok());
        assert!(found(Event::Frozen(1), 12.0, "expired").is_ok());
        assert!(
            found(Event::GuardReleased(1, 0, 10), 10.0, "expired").is_err(),
            "the guard was already released"
        );
    }

    #[test]
    fn a_missing_loss_is_found() {
        let found = |then| {
            let events = [
                (1.0, Event::GuardAcquired(1, 0, 10)),
                (1.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(10))),
                (2.0, then),
                (20.0, Event::Hinted(1, None)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(Event::Hinted(1, None)).is_err());
        assert!(found(Event::LinkDegraded(1)).is_err(), "a clock needs no store");
        for excuse in [Event::GuardReleased(1, 0, 10), Event::Frozen(1), Event::Crashed(1)] {
            assert!(found(excuse).is_ok());
        }
    }
}
