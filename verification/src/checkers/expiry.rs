//! A lease that runs out, as after a crash, is another's as soon as it has: those who wait were told
//! how long that would take, and do not wait for a poll.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use super::waiters::Waiting;
use crate::history::{Fact, History, Name};

/// Within how long those who wait ask, each at its own moment; and what two calls take, the drift
/// of a clock over a ttl, far beyond what is usual.
const AT_ONCE: Duration = Duration::from_millis(100 + 250);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // One that asked in vain meanwhile is told only at its next call.
    let rest = timing.call_limit() + timing.poll_interval * 2;
    let mut waiting = Waiting::new(timing, &history.events);
    let mut ends: HashMap<Name, (u64, Duration)> = HashMap::new();
    for (now, fact) in &history.events {
        for (name, (_, end)) in ends.extract_if(|_, (_, end)| *end < *now) {
            waiting.is_free(name, end, rest, end + AT_ONCE);
        }
        waiting.overdue(*now)?;
        waiting.see(*now, fact);
        match fact {
            // A retry is granted what is left of the same lease.
            Fact::Granted(_, name, token)
                if ends.get(name).is_none_or(|(granted, _)| granted != token) =>
            {
                ends.insert(*name, (*token, *now + timing.ttl));
            }
            Fact::Extended(_, name, token) => {
                ends.insert(*name, (*token, *now + timing.ttl));
            }
            Fact::Freed(name, _) => {
                ends.remove(name);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leader's lease runs out at 55 s.
    fn history(then: Fact, again: f64) -> History {
        let events = [
            (0.0, Fact::Booted(1)),
            (0.0, Fact::Booted(2)),
            (0.0, Fact::Granted(1, 0, 10)),
            (0.1, Fact::Started(1, 0, 10)),
            (40.0, Fact::Extended(1, 0, 10)),
            (42.0, Fact::Crashed(1)),
            (54.0, then),
            (again, Fact::Granted(2, 0, 11)),
        ];
        History::of(&events).unwrap()
    }

    fn found(then: Fact, again: f64) -> Found {
        check(&history(then, again))
    }

    #[test]
    fn one_that_has_not_begun() {
        let found = |start_delay| {
            let mut history = history(Fact::Hinted(2, None), 60.0);
            history.timing.start_delay = Duration::from_secs(start_delay);
            check(&history)
        };
        assert!(found(53).is_err());
        assert!(found(55).is_ok());
    }

    #[test]
    fn one_that_waits_for_its_poll() {
        let nothing = Fact::Hinted(2, None);
        assert!(found(nothing.clone(), 55.3).is_ok());
        assert!(found(nothing, 55.4).is_err());
        assert!(found(Fact::Mishap(1), 55.4).is_err());
        for excuse in [Fact::Mishap(2), Fact::Leaving(2), Fact::Disabled(0), Fact::Freed(0, 10)] {
            assert!(found(excuse, 64.0).is_ok());
        }
    }
}
