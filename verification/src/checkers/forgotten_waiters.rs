//! No waiter of a queue is forgotten. Once its entry holds the lock, because those ahead have left
//! or expired, the store says so at its next renewal at the latest, whatever becomes of hints. So an
//! entry of an instance that is gone does not hold up the others.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::faults::InstanceFaults;
use super::found::Found;
use super::queue_entries::{SeenEntry, SeenQueues};
use crate::history::{Event, History, InstanceId, NameId};

/// A renewal and the error of a timer take much less than this.
const REPLY_LIMIT: Duration = Duration::from_millis(250);

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The instance must have been without faults for this long, because it may still be busy with a
    // call that was lost.
    let rest = timing.call_limit() + timing.poll_interval * 2;
    let heartbeat = timing.heartbeat_interval.mul_f64(1.002) + REPLY_LIMIT;
    let mut queues = SeenQueues::default();
    let mut faults = InstanceFaults::default();
    let mut leaving: HashSet<InstanceId> = HashSet::new();
    // These entries hold the lock since then, and the store has not said so.
    let mut unheard: BTreeMap<(NameId, u64), Duration> = BTreeMap::new();
    for (now, event) in &history.events {
        for ((name, token), since) in &unheard {
            let Some(entry) = queues.of(*name).and_then(|entries| entries.get(token)) else {
                continue;
            };
            let Some(faultless) = faults.over_since(entry.process) else { continue };
            if *now > (*since).max(faultless + rest) + heartbeat
                && entry.is_certainly_live(timing.ttl, *now)
            {
                let what = format!(
                    "{} is not told that its entry {token} of {name} holds the lock since {since:?}",
                    entry.process
                );
                return Err((*now, what));
            }
        }
        faults.see(*now, event);
        queues.see(*now, event);
        queues.remove_expired(timing.ttl, *now);
        if let Event::Crashed(process) | Event::Leaving(process) = event {
            leaving.insert(*process);
        }
        let before = std::mem::take(&mut unheard);
        for (name, entries) in queues.all() {
            let capacity = history.kind(name).capacity();
            for (token, entry) in holders(entries, capacity) {
                let gone = leaving.contains(&entry.process) || entry.is_ending;
                if !gone && !entry.is_granted {
                    let since = before.get(&(name, token)).copied().unwrap_or(*now);
                    unheard.insert((name, token), since);
                }
            }
        }
    }
    Ok(())
}

/// Returns the entries that certainly hold the lock: they fit into the capacity together with all
/// earlier ones that may be live.
fn holders(
    entries: &BTreeMap<u64, SeenEntry>,
    capacity: u32,
) -> impl Iterator<Item = (u64, &SeenEntry)> {
    let mut left = capacity;
    entries.iter().map_while(move |(token, entry)| {
        left = left.checked_sub(entry.weight)?;
        Some((*token, entry))
    })
}

#[cfg(test)]
mod tests {
    use leasehold_core::LockKind;

    use super::*;

    /// Returns the result for a fair lock whose holder's entry ends at 20 s, or expires at 35 s. The
    /// waiter renews its entry every 3 s, and hears that it holds the lock at that time.
    fn found(end: Event, then: (f64, Event), heard: f64) -> Found {
        let mut events = vec![
            (20.0, Event::Entered(1, 0, 10, 1)),
            (20.0, Event::Granted(1, 0, 10)),
            (20.0, Event::Entered(2, 0, 11, 1)),
            (20.0, end),
            then,
        ];
        let renewals = (1..30).map(|at| 20.0 + 3.0 * f64::from(at));
        events.extend(renewals.map(|at| (at, Event::Extended(2, 0, 11))));
        events.push((heard, Event::Granted(2, 0, 11)));
        events.push((120.0, Event::Hinted(1, None)));
        events.sort_by(|(one, _), (next, _)| one.total_cmp(next));
        check(&History::of(&events).unwrap().with_kinds(&[LockKind::Fair]))
    }

    #[test]
    fn a_waiter_that_does_not_hear_of_its_turn_is_found() {
        let (leaves, nothing) = (Event::Released(0, 10), (21.0, Event::Hinted(1, None)));
        assert!(found(leaves.clone(), nothing.clone(), 23.0).is_ok());
        assert!(found(leaves.clone(), nothing.clone(), 29.5).is_err());
        assert!(found(Event::Crashed(1), nothing.clone(), 38.5).is_ok());
        assert!(found(Event::Crashed(1), nothing, 48.5).is_err());
        for excuse in [Event::Crashed(2), Event::Leaving(2), Event::Disabled(0), Event::Frozen(2)] {
            assert!(found(leaves.clone(), (21.0, excuse), 48.5).is_ok());
        }
        assert!(found(leaves, (21.0, Event::Frozen(1)), 48.5).is_err());
    }

    #[test]
    fn a_waiter_behind_a_live_one_is_not_forgotten() {
        let events = [
            (20.0, Event::Entered(1, 0, 10, 1)),
            (20.0, Event::Entered(2, 0, 11, 1)),
            (20.0, Event::Granted(1, 0, 10)),
            (30.0, Event::Extended(1, 0, 10)),
            (30.0, Event::Extended(2, 0, 11)),
            (40.0, Event::Hinted(1, None)),
        ];
        let history = History::of(&events).unwrap().with_kinds(&[LockKind::Fair]);
        assert!(check(&history).is_ok());
    }
}
