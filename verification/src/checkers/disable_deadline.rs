//! No instance leads a disabled name beyond the lease that it had, and no lease lasts longer than a
//! ttl after the disable.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, NameId};

pub(super) fn check(history: &History) -> Found {
    let mut disabled: HashMap<NameId, Duration> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::Disabled(name) => {
                disabled.entry(*name).or_insert(*now);
            }
            Event::Enabled(name) => {
                disabled.remove(name);
            }
            Event::TrustExtended(process, name, token, until) => {
                let Some(since) = disabled.get(name) else { continue };
                if *until > *since + history.timing.ttl {
                    let what = format!(
                        "{process} trusts {token} of {name} until {until:?}, disabled at {since:?}"
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
    fn a_leader_past_its_disabled_lease_is_found() {
        let trusts = |until| (3.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(until)));
        let found = |event, until| {
            check(&History::of(&[(1.0, Event::Disabled(0)), event, trusts(until)]).unwrap())
        };
        assert!(found((2.0, Event::MessageFault(1)), 17).is_err());
        assert!(found((2.0, Event::MessageFault(1)), 16).is_ok());
        assert!(found((2.0, Event::Enabled(0)), 17).is_ok());
    }
}
