//! No instance blocks itself. While it waits for a name, it is not refused because of a lease that
//! one of its own attempts in the same wait was granted without the instance knowing, and does not
//! wait behind an entry of such an attempt. It must retry such an attempt, because that lease or
//! entry blocks every other attempt of the instance until it expires.
//!
//! No fault excuses a violation. Two leases may block the instance: one that was granted in an
//! earlier wait that it gave up, and one that was granted before the name was disabled. Both are
//! released, but the release may get lost.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use crate::history::{AttemptKind, AttemptResult, Event, History, InstanceId, NameId};

pub(super) fn check(history: &History) -> Found {
    // These attempts may have been granted, as far as their waiters know.
    let mut open: HashMap<AttemptKind, (InstanceId, NameId)> = HashMap::new();
    // The instances that wait for a lock. An instance waits if it had not given up when its request
    // was sent.
    let mut waiting: HashSet<(InstanceId, NameId)> = HashSet::new();
    let locks: HashSet<NameId> = history.events.iter().filter_map(is_waiting).collect();
    for (now, event) in &history.events {
        match event {
            Event::WaitStarted(process, name) => {
                waiting.insert((*process, *name));
            }
            Event::AcquireSent(process, name, attempt)
                if !locks.contains(name) || waiting.contains(&(*process, *name)) =>
            {
                open.insert(*attempt, (*process, *name));
            }
            Event::AcquireEnded(
                _,
                _,
                attempt,
                AttemptResult::Granted | AttemptResult::Queued | AttemptResult::Disabled,
            ) => {
                open.remove(attempt);
            }
            // The wait has ended, even if a request is under way.
            Event::WaitEnded(process, name) => {
                waiting.remove(&(*process, *name));
                open.retain(|_, of| *of != (*process, *name));
            }
            Event::Crashed(crashed) => open.retain(|_, (process, _)| process != crashed),
            // Both attempts belong to this wait. A request of an earlier one may still arrive.
            Event::RefusedBy(process, name, attempt, other)
                if [attempt, other].iter().all(|it| open.get(it) == Some(&(*process, *name))) =>
            {
                let what = format!(
                    "{process} asks for {name} with attempt {attempt}, and is refused because of \
                     its own attempt {other}, whose grant it does not know"
                );
                return Err((*now, what));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_waiting((_, event): &(Duration, Event)) -> Option<NameId> {
    match event {
        Event::WaitStarted(_, name) => Some(*name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result for a history in which an attempt is granted without its instance
    /// knowing, and then another attempt of that instance is made.
    fn found(then: Event) -> Found {
        let events = [
            (1.0, Event::WaitStarted(1, 0)),
            (1.0, Event::AcquireSent(1, 0, 5)),
            (2.0, Event::Granted(1, 0, 10)),
            (9.0, Event::AcquireEnded(1, 0, 5, AttemptResult::Unknown)),
            (9.0, then),
            (9.5, Event::AcquireSent(1, 0, 6)),
            (9.6, Event::RefusedBy(1, 0, 6, 5)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn a_retry_under_a_new_id_is_found() {
        assert!(found(Event::Hinted(1, None)).is_err());
        for faults in
            [Event::MessageFault(1), Event::LinkDegraded(1), Event::Frozen(1), Event::Thawed(1)]
        {
            assert!(found(faults).is_err(), "no fault is an excuse");
        }
        assert!(found(Event::ReleaseSent(1, 0, 5)).is_err(), "the release may get lost");
        assert!(
            found(Event::AcquireEnded(1, 0, 5, AttemptResult::Refused)).is_err(),
            "it may be the answer to another request"
        );
        assert!(found(Event::WaitEnded(2, 0)).is_err());
        assert!(found(Event::WaitEnded(1, 1)).is_err());
    }

    #[test]
    fn own_released_leases_are_excused() {
        assert!(found(Event::WaitEnded(1, 0)).is_ok());
        assert!(found(Event::Crashed(1)).is_ok());
        assert!(found(Event::AcquireEnded(1, 0, 5, AttemptResult::Disabled)).is_ok());
        assert!(found(Event::AcquireEnded(1, 0, 5, AttemptResult::Granted)).is_ok(), "it knows");
    }

    #[test]
    fn requests_of_an_earlier_wait_are_excused() {
        let found = |asker, holder| {
            let events = [
                (1.0, Event::WaitStarted(1, 0)),
                (1.0, Event::AcquireSent(1, 0, 4)),
                (2.0, Event::WaitEnded(1, 0)),
                (2.0, Event::AcquireSent(1, 0, 5)),
                (3.0, Event::WaitStarted(1, 0)),
                (3.0, Event::AcquireSent(1, 0, 6)),
                (4.0, Event::Granted(1, 0, 10)),
                (5.0, Event::RefusedBy(1, 0, asker, holder)),
            ];
            check(&History::of(&events).unwrap())
        };
        for (asker, holder) in [(4, 6), (5, 6), (6, 4), (6, 5)] {
            assert!(found(asker, holder).is_ok());
        }
    }

    #[test]
    fn foreign_leases_are_excused() {
        let events = [
            (1.0, Event::AcquireSent(1, 0, 5)),
            (1.0, Event::AcquireSent(2, 0, 6)),
            (2.0, Event::Granted(1, 0, 10)),
            (3.0, Event::RefusedBy(2, 0, 6, 5)),
        ];
        assert!(check(&History::of(&events).unwrap()).is_ok());
    }
}
