//! A name is without a leader no longer than a lease, a call that hangs and the pause after it
//! explain, while somebody could lead it and nothing is in the way. One that is frozen leads for as
//! long as it trusts its lease.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use leasehold_core::Timing;

use super::found::Found;
use crate::history::{Fact, History, Name, Process};

/// What a checker of leaders has to know of a moment.
#[derive(Debug)]
pub(super) struct Scene {
    start_delay: Duration,
    /// Those that campaign, and from when on: after their start delay.
    running: HashMap<Process, Duration>,
    cut: HashSet<Process>,
    frozen: HashSet<Process>,
    pub(super) led: HashMap<Name, (Process, u64)>,
    /// Until when those that led last trust their leases.
    trusted: HashMap<Name, (u64, Duration)>,
    /// Since when the names are vacant that nobody leads.
    vacant: HashMap<Name, Duration>,
    pub(super) disabled: HashSet<Name>,
    /// Since when nothing has gone wrong.
    pub(super) calm_since: Duration,
}

impl Scene {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            // By a slow clock.
            start_delay: timing.start_delay.mul_f64(1.002),
            running: HashMap::new(),
            cut: HashSet::new(),
            frozen: HashSet::new(),
            led: HashMap::new(),
            trusted: HashMap::new(),
            vacant: HashMap::new(),
            disabled: HashSet::new(),
            calm_since: Duration::ZERO,
        }
    }

    /// Those whose way to the store is in order and that are not frozen, and from when on they
    /// campaign.
    pub(super) fn able(&self) -> impl Iterator<Item = (Process, Duration)> {
        let kept = |process: &Process| self.cut.contains(process) || self.frozen.contains(process);
        let running = self.running.iter().map(|(process, since)| (*process, *since));
        running.filter(move |(process, _)| !kept(process))
    }

    /// Since when nobody leads the name; a leader that no longer trusts its lease does not.
    fn vacant_since(&self, name: Name, now: Duration) -> Option<Duration> {
        let Some((_, token)) = self.led.get(&name) else {
            return Some(self.vacant.get(&name).copied().unwrap_or_default());
        };
        let (_, until) = self.trusted.get(&name).filter(|(trusted, _)| trusted == token)?;
        (*until < now).then_some(*until)
    }

    pub(super) fn see(&mut self, now: Duration, fact: &Fact) {
        match fact {
            Fact::Booted(process) => {
                let first = self.able().next().is_none();
                self.running.insert(*process, now + self.start_delay);
                if !first {
                    return;
                }
            }
            Fact::Crashed(gone) | Fact::Leaving(gone) => {
                self.running.remove(gone);
                if matches!(fact, Fact::Leaving(_)) {
                    return;
                }
                for (name, _) in self.led.extract_if(|_, (leader, _)| leader == gone) {
                    self.vacant.insert(name, now);
                }
            }
            Fact::Froze(process) => {
                self.frozen.insert(*process);
            }
            Fact::Thawed(process) => {
                self.frozen.remove(process);
            }
            Fact::Cut(process) => {
                self.cut.insert(*process);
            }
            Fact::Mended(process) => {
                self.cut.remove(process);
            }
            Fact::Disabled(name) => {
                self.disabled.insert(*name);
            }
            Fact::Enabled(name) => {
                self.disabled.remove(name);
            }
            Fact::Mishap(_) => {}
            Fact::Started(process, name, token) => {
                self.led.insert(*name, (*process, *token));
                return;
            }
            Fact::Trusts(process, name, token, until) => {
                if self.led.get(name) == Some(&(*process, *token)) {
                    self.trusted.insert(*name, (*token, *until));
                }
                return;
            }
            Fact::Stopping(process, name, token, _) => {
                if self.led.get(name) == Some(&(*process, *token)) {
                    // One that led on without a lease has left it vacant before.
                    let since = self.vacant_since(*name, now).unwrap_or(now);
                    self.vacant.insert(*name, since);
                    self.led.remove(name);
                }
                return;
            }
            _ => return,
        }
        self.calm_since = now;
    }
}

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The pause after a failure, or after one's own term, is at most a poll interval and its
    // jitter; what the last tenth allows for is drift and the way to the store.
    let longest = (timing.ttl + timing.call_limit() + timing.poll_interval * 3 / 2).mul_f64(1.1);
    let led_names = names_that_are_led(history);
    let mut scene = Scene::new(timing);
    for (now, fact) in &history.events {
        for name in &led_names {
            let Some(vacant) = scene.vacant_since(*name, *now) else { continue };
            let Some(able) = scene.able().map(|(_, since)| since).min() else { continue };
            let since = vacant.max(scene.calm_since).max(able);
            if !scene.disabled.contains(name) && *now > since + longest {
                return Err((*now, format!("nobody leads {name} since {since:?}")));
            }
        }
        scene.see(*now, fact);
    }
    Ok(())
}

/// The names that anybody led: others are locked only.
fn names_that_are_led(history: &History) -> HashSet<Name> {
    let started = |(_, fact): &(Duration, Fact)| match fact {
        Fact::Started(_, name, _) => Some(*name),
        _ => None,
    };
    history.events.iter().filter_map(started).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leader is gone at 1 s; by default settings another leads within 35 s.
    fn found(then: Fact, until: f64) -> Found {
        let events = [
            (0.0, Fact::Booted(1)),
            (0.0, Fact::Booted(2)),
            (0.0, Fact::Started(1, 0, 10)),
            (1.0, Fact::Crashed(1)),
            (20.0, then),
            (until, Fact::Started(2, 0, 11)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn nobody_takes_over() {
        let nothing = Fact::Hinted(2, None);
        assert!(found(nothing.clone(), 35.0).is_ok());
        assert!(found(nothing, 37.0).is_err());
    }

    #[test]
    fn one_that_has_not_begun() {
        let found = |until| {
            let events = [(0.0, Fact::Booted(1)), (until, Fact::Started(1, 0, 10))];
            let mut history = History::of(&events).unwrap();
            history.timing.start_delay = Duration::from_secs(20);
            check(&history)
        };
        assert!(found(20.0 + 34.0).is_ok());
        assert!(found(20.0 + 36.0).is_err());
    }

    #[test]
    fn one_that_is_frozen_leads_no_longer_than_its_lease() {
        let found = |until| {
            let trusts = Fact::Trusts(1, 0, 10, Duration::from_secs(10));
            let events = [
                (0.0, Fact::Booted(1)),
                (0.0, Fact::Booted(2)),
                (0.0, Fact::Started(1, 0, 10)),
                (0.0, trusts),
                (2.0, Fact::Froze(1)),
                (until, Fact::Started(2, 0, 11)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(44.0).is_ok());
        assert!(found(47.0).is_err());
    }

    #[test]
    fn what_excuses_it() {
        for excuse in [Fact::Mishap(2), Fact::Disabled(0), Fact::Cut(2), Fact::Froze(2)] {
            assert!(found(excuse.clone(), 37.0).is_ok(), "{excuse:?}");
        }
        assert!(found(Fact::Mishap(2), 57.0).is_err());
        assert!(found(Fact::Enabled(0), 57.0).is_err());
    }
}
