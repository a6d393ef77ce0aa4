//! No lease is leaked. If an instance was granted a lease that it does not use, for instance
//! because it stopped waiting, or that it no longer uses, it releases the lease as soon as no fault
//! prevents it.
//!
//! The effect of a call that timed out is unknown to the instance, which must then expect the
//! grant. So this checker uses the store's actions, and not the replies that an instance received.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// A reply and a release together take much less than this.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

pub(super) fn check(history: &History) -> Found {
    // Grants on which no instance has relied, and the time since when no fault explains that.
    let mut unused: HashMap<(NameId, u64), (InstanceId, Duration)> = HashMap::new();
    let mut last_fault: HashMap<InstanceId, Duration> = HashMap::new();
    let (mut out, mut cut) = (HashSet::new(), HashSet::new());
    // A retry is granted the rest of the same lease.
    let mut seen = HashSet::new();
    let mut trusted: HashMap<(NameId, u64), Duration> = HashMap::new();
    // The store gave these entries a whole ttl at that time.
    let mut entries: HashMap<(NameId, u64), Duration> = HashMap::new();
    // The leases of aborted jobs expire on their own.
    let mut aborted = HashSet::new();
    for (now, event) in &history.events {
        let leaked = unused.iter().find(|(_, (_, since))| *now > *since + RELEASE_LIMIT);
        if let Some(((name, token), (process, since))) = leaked {
            let what =
                format!("{process} neither uses nor releases {token} of {name} since {since:?}");
            return Err((*now, what));
        }
        match event {
            // If the request was late, the reply is late too.
            Event::Granted(process, name, token) if last_fault.get(process) == Some(now) => {
                seen.insert((*name, *token));
            }
            // An instance that is frozen, cut off or gone does not use it in time either.
            Event::Granted(process, name, token)
                if out.contains(process) || cut.contains(process) =>
            {
                seen.insert((*name, *token));
            }
            // An entry whose instance could not renew it while it waited expires on its own.
            Event::Granted(_, name, token)
                if entries
                    .get(&(*name, *token))
                    .is_some_and(|at| *at + history.timing.ttl < *now + RELEASE_LIMIT) =>
            {
                seen.insert((*name, *token));
            }
            Event::Granted(process, name, token) if seen.insert((*name, *token)) => {
                unused.insert((*name, *token), (*process, *now));
            }
            Event::TrustEnded(process, name, token) => {
                let runs_on = trusted.get(&(*name, *token)).is_some_and(|until| until > now);
                let expires = aborted.contains(&(*name, *token));
                if runs_on && !expires && !out.contains(process) && !cut.contains(process) {
                    unused.insert((*name, *token), (*process, *now));
                }
            }
            Event::TrustExtended(_, name, token, until) => {
                trusted.insert((*name, *token), *until);
                unused.remove(&(*name, *token));
            }
            Event::Entered(_, name, token, _) | Event::Extended(_, name, token) => {
                entries.insert((*name, *token), *now);
            }
            Event::Aborted(_, name, token) => {
                aborted.insert((*name, *token));
            }
            Event::Released(name, token) => {
                trusted.remove(&(*name, *token));
                unused.remove(&(*name, *token));
            }
            // After a crash the leases of the instance expire. The faults of an instance excuse
            // only that instance.
            Event::Crashed(process) | Event::Frozen(process) => {
                out.insert(*process);
                unused.retain(|_, (granted, ..)| granted != process);
            }
            Event::LinkDegraded(process) => {
                cut.insert(*process);
                unused.retain(|_, (granted, ..)| granted != process);
            }
            Event::Thawed(process) => {
                out.remove(process);
            }
            Event::LinkRestored(process) => {
                cut.remove(process);
            }
            Event::MessageFault(process) => {
                last_fault.insert(*process, *now);
                unused.retain(|_, (granted, ..)| granted != process);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(then: Event) -> Found {
        let events = [(1.0, Event::Granted(1, 0, 10)), (1.5, then), (3.0, Event::Hinted(1, None))];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn a_never_used_lease_is_found() {
        assert!(found(Event::Hinted(1, None)).is_err());
        assert!(found(Event::Released(1, 10)).is_err());
        assert!(found(Event::Released(0, 10)).is_ok());
        assert!(found(Event::TrustExtended(1, 0, 10, Duration::from_secs(9))).is_ok());
        for excuse in [Event::Crashed, Event::Frozen, Event::LinkDegraded, Event::MessageFault] {
            assert!(found(excuse(1)).is_ok());
            assert!(found(excuse(2)).is_err(), "faults of another instance are not an excuse");
        }
    }

    #[test]
    fn an_abandoned_lease_is_found() {
        let found = |until, then| {
            let events = [
                (1.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(until))),
                (2.0, Event::TrustEnded(1, 0, 10)),
                (2.5, then),
                (4.0, Event::Hinted(1, None)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(9, Event::Hinted(1, None)).is_err());
        assert!(found(2, Event::Hinted(1, None)).is_ok());
        assert!(found(9, Event::Released(0, 10)).is_ok());
        let aborted = [
            (1.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(9))),
            (2.0, Event::Aborted(1, 0, 10)),
            (2.0, Event::TrustEnded(1, 0, 10)),
            (4.0, Event::Hinted(1, None)),
        ];
        assert!(check(&History::of(&aborted).unwrap()).is_ok());
    }
}
