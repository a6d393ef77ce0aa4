//! No lease is renewed after it is no longer needed: after its release was confirmed, its guard was
//! released or reported its loss, or its term was asked to stop.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, NameId};

pub(super) fn check(history: &History) -> Found {
    // These leases have ended at that time. At the same time a heartbeat may still be sent.
    let mut over: HashMap<(NameId, u64), Duration> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::Released(name, token)
            | Event::GuardReleased(_, name, token)
            | Event::GuardLost(_, name, token, _)
            | Event::Stopping(_, name, token, _) => {
                over.entry((*name, *token)).or_insert(*now);
            }
            Event::Renewed(process, leases) => {
                let since = |lease| over.get(lease).copied().filter(|since| since < now);
                let stray = leases.iter().find_map(|lease| since(lease).map(|at| (lease, at)));
                if let Some(((name, token), since)) = stray {
                    let what =
                        format!("{process} renews {token} of {name}, which ended at {since:?}");
                    return Err((*now, what));
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

    #[test]
    fn a_heartbeat_after_release_is_found() {
        let renewed = (3.0, Event::Renewed(1, vec![(1, 7), (0, 10)]));
        let found = |event| check(&History::of(&[(2.0, event), renewed.clone()]).unwrap());
        assert!(found(Event::Released(0, 10)).is_err());
        assert!(found(Event::GuardReleased(1, 0, 10)).is_err());
        assert!(found(Event::GuardLost(1, 0, 10, "expired")).is_err());
        assert!(found(Event::Stopping(1, 0, 10, "resigned")).is_err());
        assert!(found(Event::Released(0, 9)).is_ok());
        assert!(found(Event::GuardReleased(1, 1, 10)).is_ok());
        let at_once = [(3.0, Event::Released(0, 10)), renewed.clone()];
        assert!(check(&History::of(&at_once).unwrap()).is_ok());
    }
}
