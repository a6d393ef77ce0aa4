//! Every heartbeat has a cause: one of its leases was last renewed an interval ago, there was a
//! hint since then, an entry ahead of one that waits may have expired, the instance itself released
//! a lock with a queue, or it had faults. A
//! lease that was released causes none, even at the moment at which it would have been due. So
//! heartbeats are at most as frequent as the settings allow.

use std::collections::HashMap;
use std::time::Duration;

use super::faults::InstanceFaults;
use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// A lease may have been requested this long before the store grants it. It takes much less.
const MAX_DELIVERY: Duration = Duration::from_millis(50);

/// A hint is passed on within this time, and a renewal may be sent in between.
const HINT_SPREAD: Duration = Duration::from_millis(10);

/// Within this time after a fault an instance has noticed that it cannot watch the store.
const WATCH_REOPEN_LIMIT: Duration = Duration::from_secs(20);

/// These are the times at which the store gave the entries of each name a whole ttl, and those at
/// which they left.
#[derive(Debug, Default)]
struct EntryTimes {
    extended: HashMap<NameId, Vec<(u64, Duration)>>,
    left: HashMap<(NameId, u64), Duration>,
}

impl EntryTimes {
    fn see(&mut self, now: Duration, event: &Event, ttl: Duration) {
        match event {
            Event::Entered(_, name, token, _) | Event::Extended(_, name, token) => {
                let times = self.extended.entry(*name).or_default();
                times.retain(|(_, at)| *at + ttl * 3 > now);
                times.push((*token, now));
            }
            Event::Released(name, token) => {
                self.left.insert((*name, *token), now);
            }
            _ => {}
        }
    }

    /// Returns whether an entry ahead of that one may have expired by now, as far as the reply to a
    /// renewal that was sent then could say.
    fn may_have_expired(
        &self,
        (name, token): (NameId, u64),
        sent: Duration,
        now: Duration,
        ttl: Duration,
    ) -> bool {
        let Some(times) = self.extended.get(&name) else { return false };
        let had_left = |other| self.left.get(&(name, other)).is_some_and(|at| *at <= sent);
        let ahead = times.iter().filter(|(other, _)| *other < token && !had_left(*other));
        // The latest time before the renewal was sent counts, and each while it was under way.
        let mut latest: HashMap<u64, Duration> = HashMap::new();
        let mut under_way = Vec::new();
        for (other, at) in ahead {
            if *at <= sent {
                latest.insert(*other, *at);
            } else if *at <= sent + MAX_DELIVERY {
                under_way.push(*at);
            }
        }
        // The clocks of the store and of the waiter drift.
        let expires = |at: Duration| {
            at + ttl.mul_f64(0.996) <= now && sent <= at + ttl.mul_f64(1.004) + MAX_DELIVERY
        };
        latest.into_values().chain(under_way).any(expires)
    }
}

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The clock drifts, and timers fire a little early.
    let interval =
        timing.heartbeat_interval.mul_f64(0.998).saturating_sub(Duration::from_millis(2));
    let mut faults = InstanceFaults::default();
    // The time at which each lease was last renewed or requested. A retry is granted the same
    // lease.
    let mut last: HashMap<(InstanceId, NameId, u64), Duration> = HashMap::new();
    // The same for the renewal before, whose reply counts until that to the last one arrives.
    let mut previous: HashMap<(InstanceId, NameId, u64), Duration> = HashMap::new();
    // An entry that was just made is renewed at once if its instance may have missed a hint.
    let mut entered: HashMap<(InstanceId, NameId, u64), Duration> = HashMap::new();
    let mut times = EntryTimes::default();
    let mut hinted: HashMap<(InstanceId, Option<NameId>), Duration> = HashMap::new();
    for (now, event) in &history.events {
        faults.see(*now, event);
        times.see(*now, event, timing.ttl);
        match event {
            Event::Granted(process, name, token) | Event::Entered(process, name, token, _) => {
                if matches!(event, Event::Entered(..)) {
                    entered.insert((*process, *name, *token), *now);
                }
                last.entry((*process, *name, *token)).or_insert(now.saturating_sub(MAX_DELIVERY));
            }
            Event::Hinted(process, name) => {
                hinted.insert((*process, *name), *now);
            }
            // An instance tells its own waiters of a release when that has ended.
            Event::ReleaseSent(process, name, _) if history.kind(*name).has_queue() => {
                hinted.insert((*process, Some(*name)), *now + MAX_DELIVERY);
            }
            Event::Renewed(process, leases) => {
                // A failed renewal is retried sooner, until a ttl after the failure. Those that wait
                // in a queue also ask when the watch could not be opened again.
                let waits = leases.iter().any(|(name, _)| history.kind(*name).has_queue());
                let excused = if waits { timing.ttl.max(WATCH_REOPEN_LIMIT) } else { timing.ttl };
                let faultless = faults.over_since(*process).is_some_and(|at| at + excused < *now);
                let is_due = |(name, token): &(NameId, u64)| {
                    let before = last.get(&(*process, *name, *token)).copied().unwrap_or_default();
                    let hint = |name| {
                        let at = hinted.get(&(*process, name));
                        at.is_some_and(|at| *at + HINT_SPREAD >= before)
                    };
                    let entered = entered.get(&(*process, *name, *token));
                    let previous = previous.get(&(*process, *name, *token));
                    let previous = previous.filter(|_| *now <= before + MAX_DELIVERY);
                    let may_have_expired =
                        |sent| times.may_have_expired((*name, *token), sent, *now, timing.ttl);
                    before + interval <= *now
                        || entered.is_some_and(|at| *now <= *at + MAX_DELIVERY * 2)
                        || hint(Some(*name))
                        || hint(None)
                        || may_have_expired(before)
                        || previous.is_some_and(|sent| may_have_expired(*sent))
                };
                if faultless && !leases.iter().any(is_due) {
                    return Err((*now, format!("{process} renews {leases:?} before it is due")));
                }
                for (name, token) in leases {
                    let lease = (*process, *name, *token);
                    if let Some(before) = last.insert(lease, *now) {
                        previous.insert(lease, before);
                    }
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

    /// Returns the result for a history in which one lease is renewed from 40 s on, the other at 39
    /// s.
    fn found(then: Event, again: f64) -> Found {
        let events = [
            (39.0, Event::Granted(1, 1, 7)),
            (39.2, Event::Granted(1, 2, 7)),
            (40.0, Event::Renewed(1, vec![(0, 10), (1, 7)])),
            (41.0, then),
            (again, Event::Renewed(1, vec![(0, 10)])),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn an_early_heartbeat_is_found() {
        let nothing = Event::Hinted(2, None);
        assert!(found(nothing.clone(), 43.0).is_ok());
        assert!(found(nothing.clone(), 42.9).is_err());
        assert!(found(nothing.clone(), 41.5).is_err());
        assert!(found(nothing, 42.2).is_err(), "another lease that was released would be due");
        assert!(found(Event::Hinted(1, Some(1)), 41.5).is_err());
        for cause in [Event::Hinted(1, Some(0)), Event::Hinted(1, None), Event::MessageFault(1)] {
            assert!(found(cause, 41.5).is_ok());
        }
    }

    #[test]
    fn an_entry_ahead_that_may_have_expired_is_a_cause() {
        let found = |ahead, entered, then| {
            let events = [
                (entered, Event::Entered(2, 0, ahead, 1)),
                (30.0, then),
                (33.0, Event::Entered(1, 0, 10, 1)),
                (34.0, Event::Renewed(1, vec![(0, 10)])),
            ];
            check(&History::of(&events).unwrap())
        };
        let nothing = Event::Hinted(2, None);
        assert!(found(9, 18.9, nothing.clone()).is_ok());
        assert!(found(9, 21.0, nothing.clone()).is_err(), "it lasts until 36 s");
        assert!(found(9, 10.0, nothing.clone()).is_err(), "it expired long before");
        assert!(found(11, 18.9, nothing).is_err(), "it is behind");
        assert!(found(9, 18.9, Event::Released(0, 9)).is_err());
        assert!(found(9, 18.9, Event::Extended(2, 0, 9)).is_err());
    }
}
