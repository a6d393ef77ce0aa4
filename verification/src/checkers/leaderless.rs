//! While some instance could lead a name and nothing prevents it, the name has no leader for at
//! most the time of a lease, a call that hangs and the pause after it. A frozen instance counts as
//! the leader as long as it trusts its lease. This concerns elections without a queue.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use leasehold_core::Timing;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// These are the states of the names at one time, for checkers of leaders.
#[derive(Debug)]
pub(super) struct NameStates {
    start_delay: Duration,
    /// These are the instances that campaign, and the times when they begin: after their start
    /// delay.
    running: HashMap<InstanceId, Duration>,
    cut: HashSet<InstanceId>,
    frozen: HashSet<InstanceId>,
    pub(super) led: HashMap<NameId, (InstanceId, u64)>,
    /// These are the last leaders of the names, and the times until when they trust their leases.
    trusted: HashMap<NameId, (u64, Duration)>,
    /// These are the names without a leader, and the times since when they have none.
    vacant: HashMap<NameId, Duration>,
    pub(super) disabled: HashSet<NameId>,
    /// There are no faults since this time.
    pub(super) faultless_since: Duration,
}

impl NameStates {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            // A slow clock is taken into account.
            start_delay: timing.start_delay.mul_f64(1.002),
            running: HashMap::new(),
            cut: HashSet::new(),
            frozen: HashSet::new(),
            led: HashMap::new(),
            trusted: HashMap::new(),
            vacant: HashMap::new(),
            disabled: HashSet::new(),
            faultless_since: Duration::ZERO,
        }
    }

    /// Returns the instances that have no faults of the link and are not frozen, and the times from
    /// when they campaign.
    pub(super) fn able(&self) -> impl Iterator<Item = (InstanceId, Duration)> {
        let kept =
            |process: &InstanceId| self.cut.contains(process) || self.frozen.contains(process);
        let running = self.running.iter().map(|(process, since)| (*process, *since));
        running.filter(move |(process, _)| !kept(process))
    }

    /// Returns the time since when the name has no leader. A leader that no longer trusts its lease
    /// does not count.
    fn vacant_since(&self, name: NameId, now: Duration) -> Option<Duration> {
        let Some((_, token)) = self.led.get(&name) else {
            return Some(self.vacant.get(&name).copied().unwrap_or_default());
        };
        let (_, until) = self.trusted.get(&name).filter(|(trusted, _)| trusted == token)?;
        (*until < now).then_some(*until)
    }

    pub(super) fn see(&mut self, now: Duration, event: &Event) {
        match event {
            Event::Booted(process) => {
                let first = self.able().next().is_none();
                self.running.insert(*process, now + self.start_delay);
                if !first {
                    return;
                }
            }
            Event::Crashed(instance) | Event::Leaving(instance) => {
                self.running.remove(instance);
                if matches!(event, Event::Leaving(_)) {
                    return;
                }
                for (name, _) in self.led.extract_if(|_, (leader, _)| leader == instance) {
                    self.vacant.insert(name, now);
                }
            }
            Event::Frozen(process) => {
                self.frozen.insert(*process);
            }
            Event::Thawed(process) => {
                self.frozen.remove(process);
            }
            Event::LinkDegraded(process) => {
                self.cut.insert(*process);
            }
            Event::LinkRestored(process) => {
                self.cut.remove(process);
            }
            Event::Disabled(name) => {
                self.disabled.insert(*name);
            }
            Event::Enabled(name) => {
                self.disabled.remove(name);
            }
            Event::MessageFault(_) => {}
            Event::Started(process, name, token) => {
                self.led.insert(*name, (*process, *token));
                return;
            }
            Event::TrustExtended(process, name, token, until) => {
                if self.led.get(name) == Some(&(*process, *token)) {
                    self.trusted.insert(*name, (*token, *until));
                }
                return;
            }
            Event::Stopping(process, name, token, _) => {
                if self.led.get(name) == Some(&(*process, *token)) {
                    // A leader without a lease has left the name without a leader before.
                    let since = self.vacant_since(*name, now).unwrap_or(now);
                    self.vacant.insert(*name, since);
                    self.led.remove(name);
                }
                return;
            }
            _ => return,
        }
        self.faultless_since = now;
    }
}

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The pause after a failure, or after the instance's own term, is at most a poll interval with
    // its jitter. The last tenth allows for drift and for the link to the store.
    let longest = (timing.ttl + timing.call_limit() + timing.poll_interval * 3 / 2).mul_f64(1.1);
    let led_names = names_that_are_led(history);
    let mut states = NameStates::new(timing);
    for (now, event) in &history.events {
        for name in &led_names {
            let Some(vacant) = states.vacant_since(*name, *now) else { continue };
            let Some(able) = states.able().map(|(_, since)| since).min() else { continue };
            let since = vacant.max(states.faultless_since).max(able);
            if !states.disabled.contains(name) && *now > since + longest {
                return Err((*now, format!("{name} has no leader since {since:?}")));
            }
        }
        states.see(*now, event);
    }
    Ok(())
}

/// Returns the names that any instance led. The other names are only locked.
fn names_that_are_led(history: &History) -> HashSet<NameId> {
    let started = |(_, event): &(Duration, Event)| match event {
        Event::Started(_, name, _) if !history.kind(*name).has_queue() => Some(*name),
        _ => None,
    };
    history.events.iter().filter_map(started).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result for a history in which the leader crashes at 1 s. With default settings
    /// another instance leads within 35 s.
    fn found(then: Event, until: f64) -> Found {
        let events = [
            (0.0, Event::Booted(1)),
            (0.0, Event::Booted(2)),
            (0.0, Event::Started(1, 0, 10)),
            (1.0, Event::Crashed(1)),
            (20.0, then),
            (until, Event::Started(2, 0, 11)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn a_missing_takeover_is_found() {
        let nothing = Event::Hinted(2, None);
        assert!(found(nothing.clone(), 35.0).is_ok());
        assert!(found(nothing, 37.0).is_err());
    }

    #[test]
    fn a_candidate_in_its_start_delay_is_excused() {
        let found = |until| {
            let events = [(0.0, Event::Booted(1)), (until, Event::Started(1, 0, 10))];
            let mut history = History::of(&events).unwrap();
            history.timing.start_delay = Duration::from_secs(20);
            check(&history)
        };
        assert!(found(20.0 + 34.0).is_ok());
        assert!(found(20.0 + 36.0).is_err());
    }

    #[test]
    fn a_frozen_leader_counts_until_its_lease_ends() {
        let found = |until| {
            let trusts = Event::TrustExtended(1, 0, 10, Duration::from_secs(10));
            let events = [
                (0.0, Event::Booted(1)),
                (0.0, Event::Booted(2)),
                (0.0, Event::Started(1, 0, 10)),
                (0.0, trusts),
                (2.0, Event::Frozen(1)),
                (until, Event::Started(2, 0, 11)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(44.0).is_ok());
        assert!(found(47.0).is_err());
    }

    #[test]
    fn faults_excuse_a_missing_leader() {
        for excuse in
            [Event::MessageFault(2), Event::Disabled(0), Event::LinkDegraded(2), Event::Frozen(2)]
        {
            assert!(found(excuse.clone(), 37.0).is_ok(), "{excuse:?}");
        }
        assert!(found(Event::MessageFault(2), 57.0).is_err());
        assert!(found(Event::Enabled(0), 57.0).is_err());
    }
}
