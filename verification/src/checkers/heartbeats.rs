//! Heartbeats cost no more than they may: within any one interval an instance sends, for all its
//! leases together, one call for each try that retries allow; and as many for what a hint or a
//! grant has just set going by itself, until it has joined the others.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId};

pub(super) fn check(history: &History) -> Found {
    let window = history.timing.heartbeat_interval;
    let tries = window.as_nanos().div_ceil(history.timing.retry_interval().as_nanos().max(1));
    // The beat at either end of the window, and its retries in between.
    let usual = usize::try_from(tries).unwrap_or(usize::MAX).saturating_add(2);
    let mut recent: HashMap<InstanceId, (VecDeque<Duration>, VecDeque<Duration>)> = HashMap::new();
    for (now, fact) in &history.events {
        let Some(process) = fact.process() else { continue };
        let (calls, causes) = recent.entry(process).or_default();
        match fact {
            Event::Renewed(..) => calls.push_back(*now),
            // Thawed, an instance catches up at once.
            Event::Hinted(..) | Event::Granted(..) | Event::Thawed(_) => causes.push_back(*now),
            _ => continue,
        }
        calls.retain(|at| *at + window > *now);
        // While no answer comes, a lease does not join the others before it is over.
        causes.retain(|at| *at + history.timing.ttl > *now);
        if calls.len() > usual.saturating_mul(1 + causes.len()) {
            let what = format!("{process} renews {} times within {window:?}", calls.len());
            return Err((*now, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(every: f64, hints: usize) -> Found {
        let mut events = vec![(0.0, Event::Hinted(1, None)); hints];
        events.extend((0..10).map(|at| (f64::from(at) * every, Event::Renewed(1, vec![]))));
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn too_many_heartbeats_are_found() {
        assert!(found(3.0, 0).is_ok());
        assert!(found(1.5, 0).is_ok());
        assert!(found(0.5, 0).is_err());
        assert!(found(0.5, 1).is_ok());
        assert!(found(0.3, 1).is_err());
    }
}
