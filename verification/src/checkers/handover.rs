//! A lock or a lead that is released is granted to a waiter at once: the release causes a hint, and
//! no waiter has to wait for a poll. This concerns names without a queue.

use std::time::Duration;

use super::found::Found;
use super::waiters::WaiterState;
use crate::history::{Event, History};

/// A hint and an acquire together take much less than this.
const HANDOVER_LIMIT: Duration = Duration::from_millis(300);

/// An instance waits this long for a watch that hangs, including the pause before it is opened
/// again.
const WATCH_REOPEN_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The next holder must have been without faults for this long.
    let rest = WATCH_REOPEN_LIMIT + timing.call_limit() + timing.poll_interval * 2;
    let mut waiting = WaiterState::new(timing, &history.events);
    for (now, event) in &history.events {
        waiting.overdue(*now)?;
        waiting.see(*now, event);
        if let Event::Released(name, _) = event
            && !history.kind(*name).has_queue()
        {
            waiting.set_free(*name, *now, rest, *now + HANDOVER_LIMIT);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result for a history in which a lock is released at 60 s.
    fn found(waits: f64, then: Event, again: f64) -> Found {
        let events = [
            (0.0, Event::Booted(1)),
            (0.0, Event::Booted(2)),
            (0.0, Event::Granted(1, 0, 10)),
            (waits, Event::WaitStarted(2, 0)),
            (60.0, Event::Released(0, 10)),
            (60.2, then),
            (again, Event::Granted(2, 0, 11)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn a_late_handover_is_found() {
        let nothing = Event::Hinted(2, Some(0));
        assert!(found(50.0, nothing.clone(), 60.3).is_ok());
        assert!(found(50.0, nothing.clone(), 60.4).is_err());
        assert!(found(59.5, nothing, 60.4).is_ok());
        assert!(found(50.0, Event::MessageFault(1), 60.4).is_err());
        for excuse in [Event::MessageFault(2), Event::WaitEnded(2, 0), Event::Disabled(0)] {
            assert!(found(50.0, excuse, 64.0).is_ok());
        }
    }
}
