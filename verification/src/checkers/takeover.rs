//! After a leader releases its lease, a waiting candidate leads at once: the release causes a hint,
//! and no candidate has to wait for a poll. This concerns elections without a queue.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use super::leaderless::NameStates;
use crate::history::{Event, History, InstanceId, NameId};

/// A release, a hint and an acquire together take much less than this.
const TAKEOVER_LIMIT: Duration = Duration::from_millis(500);

/// An instance that has booted waits and watches after this time at the latest.
const SETTLED: Duration = Duration::from_secs(1);

/// An instance waits this long for a watch that hangs, including the pause before it is opened
/// again.
const WATCH_REOPEN_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // There must have been no faults for this long, because an instance may still be busy with one.
    let rest = WATCH_REOPEN_LIMIT + timing.call_limit() + timing.poll_interval * 2;
    // An instance that has resigned lets others lead first for a poll interval.
    let own_rest = timing.poll_interval.mul_f64(1.2) + SETTLED;
    let mut states = NameStates::new(timing);
    let mut ended: HashMap<(NameId, InstanceId), Duration> = HashMap::new();
    let mut half_ended = HashSet::new();
    // The leases of aborted jobs expire on their own.
    let mut aborted = HashSet::new();
    // The names that were just released, and the candidates that waited for them.
    let mut given_up: HashMap<NameId, (Duration, Vec<InstanceId>)> = HashMap::new();
    for (now, event) in &history.events {
        let late = given_up.iter().find(|(_, (since, _))| *now > *since + TAKEOVER_LIMIT);
        if let Some((name, (since, _))) = late {
            return Err((*now, format!("no candidate takes over {name}, released at {since:?}")));
        }
        states.see(*now, event);
        if let Event::Stopping(process, name, ..) = event {
            ended.insert((*name, *process), *now);
        }
        let (Event::Stopped(process, name, token) | Event::StartEnded(process, name, token)) =
            event
        else {
            if let Event::Started(_, name, _) = event {
                given_up.remove(name);
            }
            if let Event::Aborted(_, name, token) = event {
                aborted.insert((*name, *token));
            }
            if let Event::Leaving(leaver) = event {
                given_up.values_mut().for_each(|(_, waiters)| waiters.retain(|it| it != leaver));
                given_up.retain(|_, (_, waiters)| !waiters.is_empty());
            }
            // Any fault in the meantime is an excuse.
            if states.faultless_since == *now {
                given_up.clear();
            }
            continue;
        };
        // The lease is released after both have ended.
        let over = !half_ended.insert((*process, *name, *token));
        ended.insert((*name, *process), *now);
        let expires = aborted.contains(&(*name, *token));
        if over && !expires && !states.led.contains_key(name) && !states.disabled.contains(name) {
            let waits = |(candidate, since): &(InstanceId, Duration)| {
                let own = ended.get(&(*name, *candidate));
                candidate != process
                    && *since + SETTLED < *now
                    && own.is_none_or(|ended| *ended + own_rest < *now)
            };
            let faultless = states.faultless_since + rest < *now;
            let waiters: Vec<_> = states.able().filter(waits).map(|(waiter, _)| waiter).collect();
            if faultless && !waiters.is_empty() && !history.kind(*name).has_queue() {
                given_up.insert(*name, (*now, waiters));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a history in which the leader resigns at 60 s.
    fn history(then: Event, again: f64) -> History {
        let events = [
            (0.0, Event::Booted(1)),
            (0.0, Event::Booted(2)),
            (0.0, Event::Started(1, 0, 10)),
            (60.0, Event::Stopping(1, 0, 10, "resigned")),
            (60.0, Event::StartEnded(1, 0, 10)),
            (60.1, Event::Stopped(1, 0, 10)),
            (60.2, then),
            (again, Event::Started(2, 0, 11)),
        ];
        History::of(&events).unwrap()
    }

    fn found(then: Event, again: f64) -> Found {
        check(&history(then, again))
    }

    #[test]
    fn a_candidate_in_its_start_delay_is_excused() {
        let found = |start_delay| {
            let mut history = history(Event::Hinted(1, None), 64.0);
            history.timing.start_delay = Duration::from_secs(start_delay);
            check(&history)
        };
        assert!(found(58).is_err());
        assert!(found(60).is_ok());
    }

    #[test]
    fn an_aborted_job_is_excused_until_expiry() {
        let mut history = history(Event::Hinted(1, None), 64.0);
        history.events.insert(5, (Duration::from_millis(60_100), Event::Aborted(1, 0, 10)));
        assert!(check(&history).is_ok());
    }

    #[test]
    fn a_late_takeover_is_found() {
        assert!(found(Event::Hinted(1, None), 60.3).is_ok());
        assert!(found(Event::Hinted(1, None), 64.0).is_err());
        assert!(found(Event::Frozen(2), 64.0).is_ok());
        assert!(found(Event::Leaving(2), 64.0).is_ok());
        assert!(found(Event::Leaving(1), 64.0).is_err());
        assert!(found(Event::Disabled(0), 64.0).is_ok());
    }
}
