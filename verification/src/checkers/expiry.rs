//! A lease that expires, for instance after a crash, is granted to another instance at once: the
//! waiters know when the lease expires, and do not wait for a poll. This concerns names without a
//! queue.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use super::waiters::WaiterState;
use crate::history::{Event, History, NameId};

/// All waiters retry within this time, each at a different time. It includes two calls and the
/// drift of a clock over a ttl, which take much less.
const TAKEOVER_LIMIT: Duration = Duration::from_millis(100 + 250);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // An instance that asked without success in the meantime knows only after its next call.
    let rest = timing.call_limit() + timing.poll_interval * 2;
    let mut waiting = WaiterState::new(timing, &history.events);
    let mut ends: HashMap<NameId, (u64, Duration)> = HashMap::new();
    for (now, event) in &history.events {
        for (name, (_, end)) in ends.extract_if(|_, (_, end)| *end < *now) {
            waiting.set_free(name, end, rest, end + TAKEOVER_LIMIT);
        }
        waiting.overdue(*now)?;
        waiting.see(*now, event);
        match event {
            Event::Granted(_, name, _) | Event::Extended(_, name, _)
                if history.kind(*name).has_queue() => {}
            // A retry is granted the rest of the same lease.
            Event::Granted(_, name, token)
                if ends.get(name).is_none_or(|(granted, _)| granted != token) =>
            {
                ends.insert(*name, (*token, *now + timing.ttl));
            }
            Event::Extended(_, name, token) => {
                ends.insert(*name, (*token, *now + timing.ttl));
            }
            Event::Released(name, _) => {
                ends.remove(name);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_core::LockKind;

    use super::*;

    /// Returns a history in which the leader's lease expires at 55 s.
    fn history(then: Event, again: f64) -> History {
        let events = [
            (0.0, Event::Booted(1)),
            (0.0, Event::Booted(2)),
            (0.0, Event::Granted(1, 0, 10)),
            (0.1, Event::Started(1, 0, 10)),
            (40.0, Event::Extended(1, 0, 10)),
            (42.0, Event::Crashed(1)),
            (54.0, then),
            (again, Event::Granted(2, 0, 11)),
        ];
        History::of(&events).unwrap()
    }

    fn found(then: Event, again: f64) -> Found {
        check(&history(then, again))
    }

    #[test]
    fn a_candidate_in_its_start_delay_is_excused() {
        let found = |start_delay| {
            let mut history = history(Event::Hinted(2, None), 60.0);
            history.timing.start_delay = Duration::from_secs(start_delay);
            check(&history)
        };
        assert!(found(53).is_err());
        assert!(found(55).is_ok());
    }

    #[test]
    fn a_late_takeover_is_found() {
        let nothing = Event::Hinted(2, None);
        assert!(found(nothing.clone(), 55.3).is_ok());
        assert!(found(nothing, 55.4).is_err());
        assert!(found(Event::MessageFault(1), 55.4).is_err());
        for excuse in
            [Event::MessageFault(2), Event::Leaving(2), Event::Disabled(0), Event::Released(0, 10)]
        {
            assert!(found(excuse, 64.0).is_ok());
        }
    }

    #[test]
    fn a_queue_is_excused() {
        let history = history(Event::Hinted(2, None), 60.0);
        assert!(check(&history.with_kinds(&[LockKind::Fair])).is_ok());
    }
}
