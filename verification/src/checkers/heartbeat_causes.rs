//! Every heartbeat has a cause: one of its leases was last renewed an interval ago, there was a
//! hint since then, or the instance had faults. A lease that was released causes none, even at the
//! moment at which it would have been due. So heartbeats are at most as frequent as the settings
//! allow.

use std::collections::HashMap;
use std::time::Duration;

use super::faults::InstanceFaults;
use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// A lease may have been requested this long before the store grants it. It takes much less.
const MAX_DELIVERY: Duration = Duration::from_millis(50);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The clock drifts, and timers fire a little early.
    let interval =
        timing.heartbeat_interval.mul_f64(0.998).saturating_sub(Duration::from_millis(2));
    let mut faults = InstanceFaults::default();
    // The time at which each lease was last renewed or requested. A retry is granted the same
    // lease.
    let mut last: HashMap<(InstanceId, NameId, u64), Duration> = HashMap::new();
    let mut hinted: HashMap<(InstanceId, Option<NameId>), Duration> = HashMap::new();
    for (now, event) in &history.events {
        faults.see(*now, event);
        match event {
            Event::Granted(process, name, token) => {
                last.entry((*process, *name, *token)).or_insert(now.saturating_sub(MAX_DELIVERY));
            }
            Event::Hinted(process, name) => {
                hinted.insert((*process, *name), *now);
            }
            Event::Renewed(process, leases) => {
                // A failed renewal is retried sooner, until a ttl after the failure.
                let faultless =
                    faults.over_since(*process).is_some_and(|at| at + timing.ttl < *now);
                let is_due = |(name, token): &(NameId, u64)| {
                    let before = last.get(&(*process, *name, *token)).copied().unwrap_or_default();
                    let hint = |name| hinted.get(&(*process, name)).is_some_and(|at| *at >= before);
                    before + interval <= *now || hint(Some(*name)) || hint(None)
                };
                if faultless && !leases.iter().any(is_due) {
                    return Err((*now, format!("{process} renews {leases:?} before it is due")));
                }
                last.extend(leases.iter().map(|(name, token)| ((*process, *name, *token), *now)));
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
}
