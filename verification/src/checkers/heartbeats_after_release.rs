//! No lease is renewed that is no longer wanted: none after its release was confirmed, its guard
//! was given back or told that it is lost, or its term was told to stop.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Fact, History, Name};

pub(super) fn check(history: &History) -> Found {
    // Since when leases are over; at that very moment, a heartbeat may still go out.
    let mut over: HashMap<(Name, u64), Duration> = HashMap::new();
    for (now, fact) in &history.events {
        match fact {
            Fact::Freed(name, token)
            | Fact::GaveBack(_, name, token)
            | Fact::Lost(_, name, token, _)
            | Fact::Stopping(_, name, token, _) => {
                over.entry((*name, *token)).or_insert(*now);
            }
            Fact::Renewed(process, leases) => {
                let since = |lease| over.get(lease).copied().filter(|since| since < now);
                let stray = leases.iter().find_map(|lease| since(lease).map(|at| (lease, at)));
                if let Some(((name, token), since)) = stray {
                    let what = format!("{process} renews {token} of {name}, over since {since:?}");
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
    fn after_its_end() {
        let renewed = (3.0, Fact::Renewed(1, vec![(1, 7), (0, 10)]));
        let found = |fact| check(&History::of(&[(2.0, fact), renewed.clone()]).unwrap());
        assert!(found(Fact::Freed(0, 10)).is_err());
        assert!(found(Fact::GaveBack(1, 0, 10)).is_err());
        assert!(found(Fact::Lost(1, 0, 10, "expired")).is_err());
        assert!(found(Fact::Stopping(1, 0, 10, "resigned")).is_err());
        assert!(found(Fact::Freed(0, 9)).is_ok());
        assert!(found(Fact::GaveBack(1, 1, 10)).is_ok());
        let at_once = [(3.0, Fact::Freed(0, 10)), renewed.clone()];
        assert!(check(&History::of(&at_once).unwrap()).is_ok());
    }
}
