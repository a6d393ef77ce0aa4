//! The tokens of one name increase from grant to grant and from term to term, and those of a queue
//! from entry to entry. If several hold a lock at a time, one may hear of its grant before an
//! earlier one does.

use std::collections::HashMap;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

pub(super) fn check(history: &History) -> Found {
    let mut granted: HashMap<NameId, (u64, InstanceId)> = HashMap::new();
    let mut started: HashMap<NameId, u64> = HashMap::new();
    let mut entered: HashMap<NameId, u64> = HashMap::new();
    let has_one_holder = |name: &NameId| history.kind(*name).capacity() == 1;
    for (now, event) in &history.events {
        match event {
            Event::Entered(process, name, token, _) => {
                let last = entered.insert(*name, *token);
                if let Some(last) = last.filter(|last| last >= token) {
                    let what = format!("{process} enters {name} with {token} after {last}");
                    return Err((*now, what));
                }
            }
            // A retry is granted the same lease.
            Event::Granted(process, name, token) if has_one_holder(name) => {
                let last = granted.insert(*name, (*token, *process));
                if let Some(last) =
                    last.filter(|last| *last >= (*token, 0) && *last != (*token, *process))
                {
                    let what = format!("{token} of {name} is granted to {process} after {last:?}");
                    return Err((*now, what));
                }
            }
            Event::Started(_, name, token) if has_one_holder(name) => {
                let last = started.insert(*name, *token);
                if let Some(last) = last.filter(|last| last >= token) {
                    return Err((*now, format!("term {token} of {name} begins after term {last}")));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_core::LockKind;

    use super::*;

    fn found(first: Event, second: Event) -> Found {
        check(&History::of(&[(1.0, first), (2.0, second)]).unwrap())
    }

    #[test]
    fn non_increasing_tokens_are_found() {
        assert!(found(Event::Granted(1, 0, 10), Event::Granted(2, 0, 9)).is_err());
        assert!(found(Event::Granted(1, 0, 10), Event::Granted(2, 0, 10)).is_err());
        assert!(found(Event::Granted(1, 0, 10), Event::Granted(1, 0, 10)).is_ok());
        assert!(found(Event::Granted(1, 0, 10), Event::Granted(1, 0, 9)).is_err());
        assert!(found(Event::Granted(1, 0, 10), Event::Granted(2, 1, 10)).is_ok());
        assert!(found(Event::Started(1, 0, 10), Event::Started(2, 0, 9)).is_err());
        assert!(found(Event::Started(1, 0, 10), Event::Started(1, 0, 10)).is_err());
        assert!(found(Event::Started(1, 0, 10), Event::Started(1, 0, 11)).is_ok());
    }

    #[test]
    fn entries_increase_and_their_grants_may_be_heard_in_any_order() {
        let entered = |token| Event::Entered(1, 0, token, 1);
        assert!(found(entered(10), entered(11)).is_ok());
        assert!(found(entered(10), entered(10)).is_err());
        assert!(found(entered(10), entered(9)).is_err());
        let grants = [(1.0, Event::Granted(2, 0, 11)), (2.0, Event::Granted(1, 0, 10))];
        let found = |kind| check(&History::of(&grants).unwrap().with_kinds(&[kind]));
        assert!(found(LockKind::Fair).is_err());
        assert!(found(LockKind::semaphore(2).unwrap()).is_ok());
    }
}
