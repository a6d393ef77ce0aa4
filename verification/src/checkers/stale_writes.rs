//! A resource that refuses tokens smaller than one that it has seen accepts no stale write, and
//! only a granted holder writes to it.
//!
//! A write whose outcome is unknown may have taken effect, so its token may or may not count as
//! seen.

use std::collections::{HashMap, HashSet};

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId, WriteResult};

pub(super) fn check(history: &History) -> Found {
    let mut granted: HashSet<(InstanceId, NameId, u64)> = HashSet::new();
    // The largest token that took effect, and the largest token that may have taken effect.
    let mut seen: HashMap<NameId, (u64, u64)> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::Granted(process, name, token) => {
                granted.insert((*process, *name, *token));
            }
            Event::Wrote(process, name, token, outcome) => {
                if !granted.contains(&(*process, *name, *token)) {
                    let what =
                        format!("{process} writes under {token} of {name}, never granted to it");
                    return Err((*now, what));
                }
                let (surely, perhaps) = seen.entry(*name).or_default();
                match outcome {
                    WriteResult::Accepted if token < surely => {
                        let what =
                            format!("a write under {token} of {name} is accepted after {surely}");
                        return Err((*now, what));
                    }
                    WriteResult::Accepted => *surely = (*token).max(*surely),
                    WriteResult::Refused if *token >= (*perhaps).max(*surely) => {
                        let what = format!(
                            "a write under {token} of {name} is refused, and it is the largest"
                        );
                        return Err((*now, what));
                    }
                    WriteResult::Refused => {}
                    WriteResult::Unknown => *perhaps = (*token).max(*perhaps),
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
        let writes = writes.iter().map(|(who, token, w)| (1.0, Event::Wrote(*who, 0, *token, *w)));
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
}
