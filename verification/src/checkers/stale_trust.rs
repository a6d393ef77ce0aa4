//! No instance is told that its lease is held after its trust has ended.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// Rounding may change a time by this much.
const ROUNDING: Duration = Duration::from_millis(1);

pub(super) fn check(history: &History) -> Found {
    let mut trusted: HashMap<(InstanceId, NameId, u64), Duration> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::TrustExtended(process, name, token, until) => {
                trusted.insert((*process, *name, *token), *until);
            }
            Event::TrustEnded(process, name, token) => {
                trusted.insert((*process, *name, *token), *now);
            }
            // The first trust deadline may be recorded a little later, with the same time.
            Event::ToldHeld(process, name, token) => {
                let until = trusted.get(&(*process, *name, *token));
                if let Some(until) = until.filter(|until| **until + ROUNDING <= *now) {
                    let what = format!(
                        "{process} is told that {token} of {name} is held after its deadline \
                         {until:?}"
                    );
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
    fn is_held_past_the_deadline_is_found() {
        let found = |then, at| {
            let trusts = (1.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(9)));
            check(&History::of(&[trusts, (2.0, then), (at, Event::ToldHeld(1, 0, 10))]).unwrap())
        };
        assert!(found(Event::MessageFault(1), 8.9).is_ok());
        assert!(found(Event::MessageFault(1), 9.1).is_err());
        assert!(found(Event::TrustEnded(1, 0, 10), 8.9).is_err());
    }
}
