//! The tokens of one name increase from grant to grant and from term to term.

use std::collections::HashMap;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

pub(super) fn check(history: &History) -> Found {
    let mut granted: HashMap<NameId, (u64, InstanceId)> = HashMap::new();
    let mut started: HashMap<NameId, u64> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            // A retry is granted the same lease.
            Event::Granted(process, name, token) => {
                let last = granted.insert(*name, (*token, *process));
                if let Some(last) =
                    last.filter(|last| *last >= (*token, 0) && *last != (*token, *process))
                {
                    let what = format!("{token} of {name} is granted to {process} after {last:?}");
                    return Err((*now, what));
                }
            }
            Event::Started(_, name, token) => {
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
}
