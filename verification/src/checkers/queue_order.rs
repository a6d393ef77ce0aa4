//! An entry of a queue holds the lock only if it fits into the capacity together with all earlier
//! live entries, whether these hold the lock or wait. This is so when the store says that it holds
//! the lock, and for as long as its instance trusts that.

use std::time::Duration;

use super::found::Found;
use super::queue_entries::SeenQueues;
use crate::history::{Event, History, NameId};

pub(super) fn check(history: &History) -> Found {
    let mut queues = SeenQueues::default();
    for (now, event) in &history.events {
        queues.see(*now, event);
        if let Event::Granted(_, name, token) | Event::TrustExtended(_, name, token, _) = event {
            fits(history, &queues, (*name, *token), *now)?;
        }
    }
    Ok(())
}

/// Checks that an entry holds the lock in its turn.
fn fits(
    history: &History,
    queues: &SeenQueues,
    (name, token): (NameId, u64),
    now: Duration,
) -> Found {
    let Some(entries) = queues.of(name) else { return Ok(()) };
    let Some(own) = entries.get(&token) else { return Ok(()) };
    let ttl = history.timing.ttl;
    let ahead = entries.range(..token).filter(|(_, entry)| entry.is_certainly_live(ttl, now));
    let ahead: Vec<_> = ahead.map(|(token, entry)| (*token, entry.weight)).collect();
    let used: u64 = ahead.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let kind = history.kind(name);
    if used + u64::from(own.weight) > u64::from(kind.capacity()) {
        let what = format!(
            "entry {token} of {name} ({kind}) of weight {} holds the lock, although earlier \
             entries are live, by token and weight: {ahead:?}",
            own.weight
        );
        return Err((now, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_core::LockKind;

    use super::*;

    /// Returns the result for a semaphore of two permits with entries of the weights 1, 2 and 1, of
    /// which the last one gets the lock at 3 s.
    fn found(then: (f64, Event)) -> Found {
        let events = [
            (1.0, Event::Entered(1, 0, 10, 1)),
            (1.0, Event::Granted(1, 0, 10)),
            (1.5, Event::Entered(2, 0, 11, 2)),
            (2.0, Event::Entered(3, 0, 12, 1)),
            then,
            (30.0, Event::Granted(3, 0, 12)),
        ];
        let kinds = [LockKind::semaphore(2).unwrap()];
        check(&History::of(&events).unwrap().with_kinds(&kinds))
    }

    #[test]
    fn a_grant_ahead_of_an_earlier_entry_is_found() {
        // The entry of weight 2 has expired unless it was extended.
        assert!(found((3.0, Event::Extended(1, 0, 10))).is_ok());
        assert!(found((16.0, Event::Extended(2, 0, 11))).is_err());
        assert!(found((16.0, Event::Extended(1, 0, 10))).is_ok());
        assert!(found((3.0, Event::Granted(3, 0, 12))).is_err());
        assert!(found((3.0, Event::TrustExtended(3, 0, 12, Duration::from_secs(9)))).is_err());
        assert!(found((3.0, Event::TrustExtended(1, 0, 10, Duration::from_secs(9)))).is_ok());
    }

    #[test]
    fn an_entry_that_left_is_not_ahead() {
        let events = [
            (1.0, Event::Entered(1, 0, 10, 2)),
            (2.0, Event::Entered(2, 0, 11, 2)),
            (3.0, Event::Released(0, 10)),
            (3.0, Event::Granted(2, 0, 11)),
        ];
        let kinds = [LockKind::semaphore(2).unwrap()];
        assert!(check(&History::of(&events).unwrap().with_kinds(&kinds)).is_ok());
    }
}
