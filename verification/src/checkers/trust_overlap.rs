//! No two instances trust a lease of one name at the same time.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// These are the instances that trust a lease, with its token and the time until when.
type TrustInterval = HashMap<(InstanceId, NameId, u64), Duration>;

pub(super) fn check(history: &History) -> Found {
    let mut trust = TrustInterval::new();
    for (now, event) in &history.events {
        match event {
            Event::TrustExtended(process, name, token, until) => {
                let other = trust.iter().find(|((holder, held, term), end)| {
                    held == name && (holder, term) != (process, token) && *end > now
                });
                if let Some(((holder, _, term), end)) = other {
                    return Err((
                        *now,
                        format!(
                            "{process} trusts its lease of {name} under {token}, and {holder} \
                             under {term} until {end:?}"
                        ),
                    ));
                }
                trust.insert((*process, *name, *token), *until);
            }
            Event::TrustEnded(process, name, token) => {
                trust.remove(&(*process, *name, *token));
            }
            Event::Crashed(crashed) => trust.retain(|(process, ..), _| process != crashed),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn found(events: &[(f64, Event)]) -> Found {
        check(&History::of(events).unwrap())
    }

    #[test]
    fn overlapping_trust_is_found() {
        let first = (1.0, Event::TrustExtended(1, 0, 10, 5 * SECOND));
        let second = |at| (at, Event::TrustExtended(2, 0, 11, 9 * SECOND));
        assert!(found(&[first.clone(), second(4.9)]).is_err());
        assert!(found(&[first.clone(), second(5.0)]).is_ok());
        let given_up = (2.0, Event::TrustEnded(1, 0, 10));
        assert!(found(&[first.clone(), given_up, second(2.0)]).is_ok());
        assert!(found(&[first, (2.0, Event::Crashed(1)), second(2.0)]).is_ok());
    }

    #[test]
    fn restored_trust_is_found() {
        let back = Event::TrustExtended(1, 0, 10, 9 * SECOND);
        let events = [
            (1.0, Event::TrustExtended(1, 0, 10, 5 * SECOND)),
            (6.0, Event::TrustExtended(2, 0, 11, 9 * SECOND)),
            (7.0, back),
        ];
        assert!(found(&events).is_err());
    }

    #[test]
    fn other_names_do_not_count() {
        let events = [
            (1.0, Event::TrustExtended(1, 0, 10, 5 * SECOND)),
            (1.0, Event::TrustExtended(2, 1, 11, 9 * SECOND)),
        ];
        assert!(found(&events).is_ok());
    }
}
