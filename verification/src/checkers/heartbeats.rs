//! The number of heartbeats is limited. Within any interval an instance sends one call for all its
//! leases for each try that the retries allow. For each lease whose heartbeat was triggered by a
//! hint or a grant, it may send the same number again, until that lease is renewed with the others.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History, InstanceId};

pub(super) fn check(history: &History) -> Found {
    let window = history.timing.heartbeat_interval;
    let tries = window.as_nanos().div_ceil(history.timing.retry_interval().as_nanos().max(1));
    // There is a heartbeat at each end of the window, with its retries in between.
    let usual = usize::try_from(tries).unwrap_or(usize::MAX).saturating_add(2);
    let mut recent: HashMap<InstanceId, (VecDeque<Duration>, VecDeque<Duration>)> = HashMap::new();
    for (now, event) in &history.events {
        let Some(process) = event.process() else { continue };
        let (calls, causes) = recent.entry(process).or_default();
        match event {
            Event::Renewed(..) => calls.push_back(*now),
            // After a freeze an instance sends all due heartbeats at once.
            Event::Hinted(..) | Event::Granted(..) | Event::Thawed(_) => causes.push_back(*now),
            _ => continue,
        }
        calls.retain(|at| *at + window > *now);
        // Without a reply, a lease does not join the others before it has expired.
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
