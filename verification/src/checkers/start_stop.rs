//! Every `start` of an instance is followed by exactly one `stop` before its next `start`.

use std::collections::HashMap;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

pub(super) fn check(history: &History) -> Found {
    // The term of each instance, and whether its job was asked to stop.
    let mut terms: HashMap<(InstanceId, NameId), (u64, bool)> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::Started(process, name, token) => {
                let last = terms.insert((*process, *name), (*token, false));
                if let Some((last, false)) = last {
                    let what =
                        format!("{process} starts {token} of {name} and never stopped {last}");
                    return Err((*now, what));
                }
            }
            Event::Stopping(process, name, token, reason) => {
                let last = terms.insert((*process, *name), (*token, true));
                if last != Some((*token, false)) {
                    let what =
                        format!("{process} stops {token} of {name} ({reason}) after {last:?}");
                    return Err((*now, what));
                }
            }
            Event::Crashed(crashed) => terms.retain(|(process, _), _| process != crashed),
            Event::Left(instance) => {
                let left =
                    terms.iter().find(|((process, _), (_, over))| process == instance && !over);
                if let Some(((_, name), (token, _))) = left {
                    return Err((
                        *now,
                        format!("{instance} has left and never stopped {token} of {name}"),
                    ));
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

    fn found(events: &[Event]) -> Found {
        let events: Vec<_> = events.iter().map(|event| (1.0, event.clone())).collect();
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn duplicate_and_missing_stops_are_found() {
        let start = |token| Event::Started(1, 0, token);
        let stop = |token| Event::Stopping(1, 0, token, "resigned");
        assert!(found(&[start(1), stop(1), start(2), stop(2), Event::Left(1)]).is_ok());
        assert!(found(&[start(1), start(2)]).is_err());
        assert!(found(&[start(1), stop(1), stop(1)]).is_err());
        assert!(found(&[stop(1)]).is_err());
        assert!(found(&[start(1), stop(2)]).is_err());
        assert!(found(&[start(1), Event::Left(1)]).is_err());
        assert!(found(&[start(1), Event::Crashed(1), Event::Started(2, 0, 2)]).is_ok());
    }
}
