//! A resource that refuses tokens smaller than a floor that it has seen accepts no stale write, only
//! a granted holder writes to it, and it refuses no holder that trusts its lease. The floor of an
//! exclusive lease is its token, and that of an entry the smallest token of its queue.
//!
//! A write whose outcome is unknown may have taken effect, so its floor may or may not count as
//! seen.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId, WriteResult};

pub(super) fn check(history: &History) -> Found {
    let mut granted: HashSet<(InstanceId, NameId, u64)> = HashSet::new();
    let mut trusted: HashMap<(InstanceId, NameId, u64), Duration> = HashMap::new();
    // The largest floor that took effect, and the largest floor that may have taken effect.
    let mut seen: HashMap<NameId, (u64, u64)> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::Granted(process, name, token) => {
                granted.insert((*process, *name, *token));
            }
            Event::TrustExtended(process, name, token, until) => {
                trusted.insert((*process, *name, *token), *until);
            }
            Event::TrustEnded(process, name, token) => {
                trusted.remove(&(*process, *name, *token));
            }
            Event::Wrote(process, name, token, floor, outcome) => {
                if !granted.contains(&(*process, *name, *token)) {
                    let what =
                        format!("{process} writes under {token} of {name}, never granted to it");
                    return Err((*now, what));
                }
                let until = trusted.get(&(*process, *name, *token));
                if *outcome == WriteResult::Refused && until.is_some_and(|until| until > now) {
                    let what = format!(
                        "a write of {process} under {token} of {name} is refused, although it \
                         trusts its lease"
                    );
                    return Err((*now, what));
                }
                let (surely, perhaps) = seen.entry(*name).or_default();
                match outcome {
                    WriteResult::Accepted if token < surely => {
                        let what =
                            format!("a write under {token} of {name} is accepted after {surely}");
                        return Err((*now, what));
                    }
                    WriteResult::Accepted => *surely = (*floor).max(*surely),
                    WriteResult::Refused if *token >= (*perhaps).max(*surely) => {
                        let what = format!(
                            "a write under {token} of {name} is refused, and no floor is larger"
                        );
                        return Err((*now, what));
                    }
                    WriteResult::Refused => {}
                    WriteResult::Unknown => *perhaps = (*floor).max(*perhaps),
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

    fn found(writes: &[(InstanceId, u64, WriteResult)]) -> Found {
        let mut events = vec![(0.0, Event::Granted(1, 0, 10)), (0.0, Event::Granted(2, 0, 11))];
        let wrote = |who, token, result| Event::Wrote(who, 0, token, token, result);
        let writes = writes.iter().map(|(who, token, w)| (1.0, wrote(*who, *token, *w)));
        events.extend(writes);
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn stale_and_foreign_writes_are_found() {
        use WriteResult::{Accepted, Refused, Unknown};
        assert!(found(&[(2, 11, Accepted), (1, 10, Accepted)]).is_err());
        assert!(found(&[(2, 11, Accepted), (1, 10, Refused)]).is_ok());
        assert!(found(&[(1, 10, Refused)]).is_err());
        assert!(found(&[(1, 11, Accepted)]).is_err());
        // The write may or may not have taken effect, so both later answers are possible.
        assert!(found(&[(2, 11, Unknown), (1, 10, Accepted)]).is_ok());
        assert!(found(&[(2, 11, Unknown), (1, 10, Refused)]).is_ok());
        assert!(found(&[(2, 11, Unknown), (2, 11, Refused)]).is_err());
    }

    #[test]
    fn a_floor_refuses_only_those_that_are_not_trusted() {
        use WriteResult::{Accepted, Refused};
        let found = |until, floor, result| {
            let events = [
                (0.0, Event::Granted(1, 0, 10)),
                (0.0, Event::Granted(2, 0, 11)),
                (0.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(until))),
                (2.0, Event::Wrote(2, 0, 11, floor, Accepted)),
                (3.0, Event::Wrote(1, 0, 10, 10, result)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(9, 10, Accepted).is_ok());
        assert!(found(9, 11, Refused).is_err(), "the other one is still trusted");
        assert!(found(3, 11, Refused).is_ok());
        assert!(found(3, 10, Refused).is_err());
        assert!(found(9, 11, Accepted).is_err());
    }
}
