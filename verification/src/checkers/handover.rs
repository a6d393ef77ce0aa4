//! A lock or a lead that is given back goes at once to one that waits for it: the release is hinted
//! at, and nobody has to wait for a poll.

use std::time::Duration;

use super::found::Found;
use super::waiters::Waiting;
use crate::history::{Fact, History};

/// What a hint and an acquire take together, far beyond what is usual.
const AT_ONCE: Duration = Duration::from_millis(300);

/// How long a watch that hangs is waited for, and the pause before it is begun again.
const WATCH_AGAIN: Duration = Duration::from_secs(15);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // For so long before, nothing may have gone wrong for one that is to have it.
    let rest = WATCH_AGAIN + timing.call_limit() + timing.poll_interval * 2;
    let mut waiting = Waiting::new(timing, &history.events);
    for (now, fact) in &history.events {
        waiting.overdue(*now)?;
        waiting.see(*now, fact);
        if let Fact::Freed(name, _) = fact {
            waiting.is_free(*name, *now, rest, *now + AT_ONCE);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock is given back at 60 s.
    fn found(waits: f64, then: Fact, again: f64) -> Found {
        let events = [
            (0.0, Fact::Booted(1)),
            (0.0, Fact::Booted(2)),
            (0.0, Fact::Granted(1, 0, 10)),
            (waits, Fact::Waits(2, 0)),
            (60.0, Fact::Freed(0, 10)),
            (60.2, then),
            (again, Fact::Granted(2, 0, 11)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn one_that_waits_for_its_poll() {
        let nothing = Fact::Hinted(2, Some(0));
        assert!(found(50.0, nothing.clone(), 60.3).is_ok());
        assert!(found(50.0, nothing.clone(), 60.4).is_err());
        assert!(found(59.5, nothing, 60.4).is_ok());
        assert!(found(50.0, Fact::Mishap(1), 60.4).is_err());
        for excuse in [Fact::Mishap(2), Fact::WaitsNoMore(2, 0), Fact::Disabled(0)] {
            assert!(found(50.0, excuse, 64.0).is_ok());
        }
    }
}
