//! A lead that was given up is taken over at once by one that waits for it: a release is hinted
//! at, and nobody has to wait for a poll.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use super::leaderless::Scene;
use crate::history::{Fact, History, Name, Process};

/// What a release, a hint and an acquire take together, far beyond what is usual.
const AT_ONCE: Duration = Duration::from_millis(500);

/// When one that has booted waits and watches at the latest.
const SETTLED: Duration = Duration::from_secs(1);

/// How long a watch that hangs is waited for, and the pause before it is begun again.
const WATCH_AGAIN: Duration = Duration::from_secs(15);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // For so long before, nothing may have gone wrong, lest somebody is still busy with it.
    let rest = WATCH_AGAIN + timing.call_limit() + timing.poll_interval * 2;
    // One that has given the lead up itself lets others go first for a poll interval.
    let own_rest = timing.poll_interval.mul_f64(1.2) + SETTLED;
    let mut scene = Scene::new(timing);
    let mut ended: HashMap<(Name, Process), Duration> = HashMap::new();
    let mut half_ended = HashSet::new();
    // Their leases run out by themselves.
    let mut aborted = HashSet::new();
    // Names that were given up just now, and those who waited for them.
    let mut given_up: HashMap<Name, (Duration, Vec<Process>)> = HashMap::new();
    for (now, fact) in &history.events {
        let late = given_up.iter().find(|(_, (since, _))| *now > *since + AT_ONCE);
        if let Some((name, (since, _))) = late {
            return Err((*now, format!("nobody takes {name} over, given up at {since:?}")));
        }
        scene.see(*now, fact);
        if let Fact::Stopping(process, name, ..) = fact {
            ended.insert((*name, *process), *now);
        }
        let (Fact::Stopped(process, name, token) | Fact::StartEnded(process, name, token)) = fact
        else {
            if let Fact::Started(_, name, _) = fact {
                given_up.remove(name);
            }
            if let Fact::Aborted(_, name, token) = fact {
                aborted.insert((*name, *token));
            }
            if let Fact::Leaving(gone) = fact {
                given_up.values_mut().for_each(|(_, waiters)| waiters.retain(|it| it != gone));
                given_up.retain(|_, (_, waiters)| !waiters.is_empty());
            }
            // Whatever goes wrong meanwhile is an excuse.
            if scene.calm_since == *now {
                given_up.clear();
            }
            continue;
        };
        // The lease is released when both have come to their end.
        let over = !half_ended.insert((*process, *name, *token));
        ended.insert((*name, *process), *now);
        let expires = aborted.contains(&(*name, *token));
        if over && !expires && !scene.led.contains_key(name) && !scene.disabled.contains(name) {
            let waits = |(candidate, since): &(Process, Duration)| {
                let own = ended.get(&(*name, *candidate));
                candidate != process
                    && *since + SETTLED < *now
                    && own.is_none_or(|ended| *ended + own_rest < *now)
            };
            let calm = scene.calm_since + rest < *now;
            let waiters: Vec<_> = scene.able().filter(waits).map(|(waiter, _)| waiter).collect();
            if calm && !waiters.is_empty() {
                given_up.insert(*name, (*now, waiters));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leader gives up the lead at 60 s.
    fn history(then: Fact, again: f64) -> History {
        let events = [
            (0.0, Fact::Booted(1)),
            (0.0, Fact::Booted(2)),
            (0.0, Fact::Started(1, 0, 10)),
            (60.0, Fact::Stopping(1, 0, 10, "resigned")),
            (60.0, Fact::StartEnded(1, 0, 10)),
            (60.1, Fact::Stopped(1, 0, 10)),
            (60.2, then),
            (again, Fact::Started(2, 0, 11)),
        ];
        History::of(&events).unwrap()
    }

    fn found(then: Fact, again: f64) -> Found {
        check(&history(then, again))
    }

    #[test]
    fn one_that_has_not_begun() {
        let found = |start_delay| {
            let mut history = history(Fact::Hinted(1, None), 64.0);
            history.timing.start_delay = Duration::from_secs(start_delay);
            check(&history)
        };
        assert!(found(58).is_err());
        assert!(found(60).is_ok());
    }

    #[test]
    fn one_whose_job_was_aborted() {
        let mut history = history(Fact::Hinted(1, None), 64.0);
        history.events.insert(5, (Duration::from_millis(60_100), Fact::Aborted(1, 0, 10)));
        assert!(check(&history).is_ok());
    }

    #[test]
    fn one_that_waits_for_its_poll() {
        assert!(found(Fact::Hinted(1, None), 60.3).is_ok());
        assert!(found(Fact::Hinted(1, None), 64.0).is_err());
        assert!(found(Fact::Froze(2), 64.0).is_ok());
        assert!(found(Fact::Leaving(2), 64.0).is_ok());
        assert!(found(Fact::Leaving(1), 64.0).is_err());
        assert!(found(Fact::Disabled(0), 64.0).is_ok());
    }
}
