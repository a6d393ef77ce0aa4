//! No attempt stays unresolved, whatever the faults. An attempt that may have been granted without
//! the instance knowing is retried or released within the pause that is allowed in between. A
//! granted lease is used or released at once. So no lease stays held for the rest of a ttl without
//! its instance knowing. An entry that waits is known, and so is one that was granted when too little
//! of it was left: it is renewed before it is used.
//!
//! (`leaked_leases` checks the effect at the store, but only without faults.)

use std::collections::HashMap;
use std::time::Duration;

use super::faults::InstanceFaults;
use super::found::Found;
use crate::history::{AttemptKind, AttemptResult, Event, History, InstanceId, NameId};

/// The error of a timer and the delay of a task are much less than this.
const RESOLVE_LIMIT: Duration = Duration::from_secs(1);

/// This is an attempt whose lease may be in force.
#[derive(Debug)]
struct OpenAttempt {
    process: InstanceId,
    name: NameId,
    /// A call of the attempt may have been granted, or may still be.
    in_doubt: bool,
    /// This is the time since when the attempt must be resolved, and the limit for that, unless a
    /// call is in progress.
    due: Option<(Duration, Duration)>,
}

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // This is the longest pause with its jitter. The last tenth allows for drift.
    let pause = timing.poll_interval.mul_f64(1.5 * 1.1) + RESOLVE_LIMIT;
    let mut faults = InstanceFaults::default();
    let mut open: HashMap<AttemptKind, OpenAttempt> = HashMap::new();
    for (now, event) in &history.events {
        let forgotten = open.iter().find(|(_, OpenAttempt { process, due, .. })| {
            let thawed = faults.last_thaw(*process);
            let late = |(since, within): (Duration, Duration)| *now > since.max(thawed) + within;
            !faults.is_frozen(*process) && due.is_some_and(late)
        });
        if let Some((attempt, OpenAttempt { process, name, due, .. })) = forgotten {
            let what =
                format!("{process} left its attempt {attempt} at {name} unresolved: {due:?}");
            return Err((*now, what));
        }
        faults.see(*now, event);
        match event {
            Event::AcquireSent(process, name, attempt) => {
                let (process, name) = (*process, *name);
                let first = OpenAttempt { process, name, in_doubt: false, due: None };
                open.entry(*attempt).or_insert(first).due = None;
            }
            Event::AcquireEnded(_, _, attempt, answer) => {
                let Some(it) = open.get_mut(attempt) else { continue };
                let is_entry = history.kind(it.name).has_queue();
                if *answer == AttemptResult::Queued || is_entry && *answer == AttemptResult::Granted
                {
                    open.remove(attempt);
                    continue;
                }
                it.in_doubt |= *answer == AttemptResult::Unknown;
                let within = if *answer == AttemptResult::Granted { RESOLVE_LIMIT } else { pause };
                it.due = Some((*now, within));
                if matches!(answer, AttemptResult::Refused | AttemptResult::Disabled)
                    && !it.in_doubt
                {
                    open.remove(attempt);
                }
            }
            Event::ReleaseSent(_, _, attempt) => {
                open.remove(attempt);
            }
            // The attempt that was in progress has become this term or guard.
            Event::Started(process, name, _) | Event::GuardAcquired(process, name, _) => {
                open.retain(|_, it| (it.process, it.name) != (*process, *name));
            }
            Event::Crashed(crashed) => open.retain(|_, it| it.process != *crashed),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_core::LockKind;

    use super::*;

    /// Returns the result for a history in which an attempt gets that answer at 2 s, and no other
    /// answer follows.
    fn found(told: AttemptResult, then: (f64, Event), until: f64) -> Found {
        let events = [
            (1.0, Event::AcquireSent(1, 0, 5)),
            (2.0, Event::AcquireEnded(1, 0, 5, told)),
            then,
            (until, Event::Hinted(2, None)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn an_unresolved_unknown_attempt_is_found() {
        let nothing = (2.0, Event::MessageFault(1));
        // Polls are 5 s apart.
        assert!(found(AttemptResult::Unknown, nothing.clone(), 11.2).is_ok());
        assert!(found(AttemptResult::Unknown, nothing.clone(), 11.3).is_err());
        assert!(found(AttemptResult::Refused, nothing.clone(), 60.0).is_ok());
        assert!(found(AttemptResult::Disabled, nothing, 60.0).is_ok());
        for excuse in [Event::AcquireSent(1, 0, 5), Event::ReleaseSent(1, 0, 5), Event::Frozen(1)] {
            assert!(found(AttemptResult::Unknown, (9.0, excuse), 60.0).is_ok());
        }
        assert!(found(AttemptResult::Unknown, (9.0, Event::AcquireSent(1, 0, 6)), 12.0).is_err());
        assert!(found(AttemptResult::Unknown, (9.0, Event::Thawed(1)), 18.2).is_ok());
        assert!(found(AttemptResult::Unknown, (9.0, Event::Thawed(1)), 18.3).is_err());
    }

    #[test]
    fn an_unresolved_refused_retry_is_found() {
        let found = |then| {
            let events = [
                (1.0, Event::AcquireSent(1, 0, 5)),
                (2.0, Event::AcquireEnded(1, 0, 5, AttemptResult::Unknown)),
                (3.0, Event::AcquireSent(1, 0, 5)),
                (3.0, Event::AcquireEnded(1, 0, 5, AttemptResult::Refused)),
                (4.0, then),
                (60.0, Event::Hinted(2, None)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(Event::AcquireSent(1, 0, 6)).is_err());
        assert!(found(Event::AcquireSent(1, 0, 5)).is_ok());
        assert!(found(Event::ReleaseSent(1, 0, 5)).is_ok());
    }

    #[test]
    fn an_unused_grant_is_found() {
        let nothing = (2.0, Event::MessageFault(1));
        assert!(found(AttemptResult::Granted, nothing.clone(), 2.9).is_ok());
        assert!(found(AttemptResult::Granted, nothing, 3.1).is_err());
        let use_of_it =
            [Event::Started(1, 0, 10), Event::GuardAcquired(1, 0, 10), Event::ReleaseSent(1, 0, 5)];
        for then in use_of_it {
            assert!(found(AttemptResult::Granted, (2.0, then), 60.0).is_ok());
        }
        assert!(found(AttemptResult::Granted, (2.0, Event::Started(1, 1, 10)), 60.0).is_err());
    }

    #[test]
    fn a_known_entry_need_not_be_used_at_once() {
        let found = |kind, told| {
            let events = [
                (1.0, Event::AcquireSent(1, 0, 5)),
                (2.0, Event::AcquireEnded(1, 0, 5, told)),
                (60.0, Event::Hinted(2, None)),
            ];
            check(&History::of(&events).unwrap().with_kinds(&[kind]))
        };
        assert!(found(LockKind::Fair, AttemptResult::Queued).is_ok());
        assert!(found(LockKind::Fair, AttemptResult::Granted).is_ok());
        assert!(found(LockKind::Exclusive, AttemptResult::Granted).is_err());
        assert!(found(LockKind::Fair, AttemptResult::Unknown).is_err());
    }
}
