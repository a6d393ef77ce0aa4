//! The leases and entries of one name that instances trust at the same time do not exceed its
//! capacity. So no two instances trust an exclusive lease at the same time.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// These are the instances that trust a lease, with its token and the time until when.
type TrustInterval = HashMap<(InstanceId, NameId, u64), Duration>;

pub(super) fn check(history: &History) -> Found {
    let mut trust = TrustInterval::new();
    // Only entries have weights.
    let mut weights: HashMap<(NameId, u64), u32> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::Entered(_, name, token, weight) => {
                weights.insert((*name, *token), *weight);
            }
            Event::TrustExtended(process, name, token, until) => {
                let weight = |token| u64::from(weights.get(&(*name, token)).copied().unwrap_or(1));
                let others = trust.iter().filter(|((holder, held, term), end)| {
                    held == name && (holder, term) != (process, token) && **end > *now
                });
                let others: Vec<_> =
                    others.map(|((holder, _, term), end)| (*holder, *term, *end)).collect();
                let used: u64 = others.iter().map(|(_, term, _)| weight(*term)).sum();
                let kind = history.kind(*name);
                if used + weight(*token) > u64::from(kind.capacity()) {
                    let what = format!(
                        "{process} trusts its lease of {name} ({kind}) under {token}, and these \
                         are trusted too, by instance, token and end: {others:?}"
                    );
                    return Err((*now, what));
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
    use leasehold_core::LockKind;

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
    fn trust_above_the_capacity_is_found() {
        let found = |third| {
            let events = [
                (1.0, Event::Entered(1, 0, 10, 2)),
                (1.0, Event::Entered(2, 0, 11, 1)),
                (1.0, Event::Entered(3, 0, 12, third)),
                (1.0, Event::TrustExtended(1, 0, 10, 5 * SECOND)),
                (1.0, Event::TrustExtended(2, 0, 11, 5 * SECOND)),
                (2.0, Event::TrustExtended(3, 0, 12, 5 * SECOND)),
            ];
            let kinds = [LockKind::semaphore(4).unwrap()];
            check(&History::of(&events).unwrap().with_kinds(&kinds))
        };
        assert!(found(1).is_ok());
        assert!(found(2).is_err());
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
