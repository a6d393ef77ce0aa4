//! The leadership tells a job that its term must end at the same time at which `stop` is called,
//! and at no other time.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

pub(super) fn check(history: &History) -> Found {
    // These terms have one of the two events, and not yet the other.
    let mut half: HashMap<(InstanceId, NameId, u64), Duration> = HashMap::new();
    for (now, event) in &history.events {
        if let Some((term, since)) = half.iter().find(|(_, since)| *since < now) {
            let what =
                format!("{term:?} is either cancelled or stopped at {since:?}, but not both");
            return Err((*now, what));
        }
        match event {
            Event::Cancelled(process, name, token) | Event::Stopping(process, name, token, _) => {
                let term = (*process, *name, *token);
                if half.remove(&term).is_none() {
                    half.insert(term, *now);
                }
            }
            Event::Crashed(crashed) => half.retain(|(process, ..), _| process != crashed),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_and_cancellation_come_together() {
        let cancelled = |at| (at, Event::Cancelled(1, 0, 10));
        let stopping = |at| (at, Event::Stopping(1, 0, 10, "resigned"));
        let found = |events: &[_]| {
            check(&History::of(&[events, &[(9.0, Event::MessageFault(1))]].concat()).unwrap())
        };
        assert!(found(&[cancelled(1.0), stopping(1.0)]).is_ok());
        assert!(found(&[stopping(1.0), cancelled(1.0)]).is_ok());
        assert!(found(&[cancelled(1.0), stopping(2.0)]).is_err());
        assert!(found(&[stopping(1.0)]).is_err());
        assert!(found(&[cancelled(1.0), (1.0, Event::Crashed(1))]).is_ok());
    }
}
