//! The number of heartbeats is limited. Within any interval an instance sends one call for all its
//! leases for each try that the retries allow. For each lease whose heartbeat was triggered by a
//! hint, a grant or a fault, it may send the same number again, until that lease is renewed with the
//! others.
//! The same holds for an entry that was made, and after one has expired or was renewed late, because
//! those behind it ask when it may have expired.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

pub(super) fn check(history: &History) -> Found {
    let window = history.timing.heartbeat_interval;
    let tries = window.as_nanos().div_ceil(history.timing.retry_interval().as_nanos().max(1));
    // There is a heartbeat at each end of the window, with its retries in between.
    let usual = usize::try_from(tries).unwrap_or(usize::MAX).saturating_add(2);
    // The clocks of the store and of a waiter drift.
    let entry_lasts = history.timing.ttl.mul_f64(0.996);
    let mut recent: HashMap<InstanceId, (VecDeque<Duration>, VecDeque<Duration>)> = HashMap::new();
    let mut ends: HashMap<(NameId, u64), Duration> = HashMap::new();
    let mut waiters_asked: VecDeque<Duration> = VecDeque::new();
    for (now, event) in &history.events {
        for _ in ends.extract_if(|_, end| *end < *now) {
            waiters_asked.push_back(*now);
        }
        match event {
            Event::Entered(_, name, token, _) => {
                ends.insert((*name, *token), *now + entry_lasts);
            }
            Event::Extended(_, name, token) => {
                if let Some(end) = ends.get_mut(&(*name, *token)) {
                    if *end < *now + window {
                        waiters_asked.push_back(*now);
                    }
                    *end = *now + entry_lasts;
                }
            }
            Event::Released(name, token) => {
                ends.remove(&(*name, *token));
            }
            _ => {}
        }
        waiters_asked.retain(|at| *at + window * 2 > *now);
        let Some(process) = event.process() else { continue };
        let (calls, causes) = recent.entry(process).or_default();
        match event {
            Event::Renewed(..) => calls.push_back(*now),
            // After a freeze an instance sends all due heartbeats at once. A lost or late message puts
            // a lease out of step with the others.
            Event::Hinted(..)
            | Event::Granted(..)
            | Event::Entered(..)
            | Event::Thawed(_)
            | Event::MessageFault(_) => causes.push_back(*now),
            _ => continue,
        }
        calls.retain(|at| *at + window > *now);
        // Without a reply, a lease does not join the others before it has expired.
        causes.retain(|at| *at + history.timing.ttl > *now);
        if calls.len() > usual.saturating_mul(1 + causes.len() + waiters_asked.len()) {
            let what = format!("{process} renews {} times within {window:?}", calls.len());
            return Err((*now, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(every: f64, hints: usize) -> Found {
        let mut events = vec![(0.0, Event::Hinted(1, None)); hints];
        events.extend((0..10).map(|at| (f64::from(at) * every, Event::Renewed(1, vec![]))));
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn too_many_heartbeats_are_found() {
        assert!(found(3.0, 0).is_ok());
        assert!(found(1.5, 0).is_ok());
        assert!(found(0.5, 0).is_err());
        assert!(found(0.5, 1).is_ok());
        assert!(found(0.3, 1).is_err());
    }

    #[test]
    fn an_entry_that_expires_causes_heartbeats() {
        let found = |lasts: &[f64]| {
            let mut events = vec![(0.0, Event::Entered(2, 0, 10, 1))];
            events.extend(lasts.iter().map(|at| (*at, Event::Extended(2, 0, 10))));
            events.push((20.0, Event::Hinted(2, None)));
            let renewed = |at: i32| (20.0 + f64::from(at) * 0.5, Event::Renewed(1, vec![]));
            events.extend((0..10).map(renewed));
            check(&History::of(&events).unwrap())
        };
        assert!(found(&[]).is_ok(), "it expires at 15 s, and the waiters ask at the next event");
        assert!(found(&[10.0]).is_err());
        assert!(found(&[14.0, 18.0]).is_err(), "the waiters asked at 14 s");
    }
}
