//! This module tracks the waiters for names, and the time by which one of them must be granted a
//! name.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use leasehold_core::Timing;

use super::faults::InstanceFaults;
use super::found::Found;
use crate::history::{Event, InstanceId, NameId};

/// An instance that began to wait is a waiter after this time at the latest.
const SETTLED: Duration = Duration::from_secs(1);

/// This name must be granted, to one of these instances.
#[derive(Debug)]
struct TakeoverDue {
    since: Duration,
    by: Duration,
    waiters: Vec<InstanceId>,
}

/// These are the waiters, and the names that one of them must be granted.
#[derive(Debug)]
pub(super) struct WaiterState {
    timing: Timing,
    faults: InstanceFaults,
    led: HashSet<NameId>,
    /// This is the time from which each instance campaigns: after its start delay.
    campaigning: HashMap<InstanceId, Duration>,
    locking: HashMap<(InstanceId, NameId), Duration>,
    /// These are the terms whose job has not ended, and whether one of `start` and `stop` has
    /// ended.
    terms: HashMap<(InstanceId, NameId), bool>,
    ended: HashMap<(InstanceId, NameId), Duration>,
    disabled: HashSet<NameId>,
    switched: HashMap<NameId, Duration>,
    due: HashMap<NameId, TakeoverDue>,
}

impl WaiterState {
    pub(super) fn new(timing: &Timing, events: &[(Duration, Event)]) -> Self {
        let led = |(_, event): &(Duration, Event)| match event {
            Event::Started(_, name, _) => Some(*name),
            _ => None,
        };
        Self {
            timing: timing.clone(),
            faults: InstanceFaults::default(),
            led: events.iter().filter_map(led).collect(),
            campaigning: HashMap::new(),
            locking: HashMap::new(),
            terms: HashMap::new(),
            ended: HashMap::new(),
            disabled: HashSet::new(),
            switched: HashMap::new(),
            due: HashMap::new(),
        }
    }

    /// Notes that the name is free since that time. One of the waiters that had no faults for
    /// `rest` must be granted it in time.
    pub(super) fn set_free(&mut self, name: NameId, since: Duration, rest: Duration, by: Duration) {
        // An instance that has led lets others lead first for a poll interval.
        let own_rest = self.timing.poll_interval.mul_f64(1.2) + SETTLED;
        let switched = self.switched.get(&name).is_none_or(|at| *at + own_rest < since);
        if self.disabled.contains(&name) || !switched {
            return;
        }
        let campaigning = self.campaigning.iter().filter(|_| self.led.contains(&name));
        let campaigning =
            campaigning.map(|(process, at)| (*process, *at)).filter(|(process, _)| {
                let ended = self.ended.get(&(*process, name));
                !self.terms.contains_key(&(*process, name))
                    && ended.is_none_or(|at| *at + own_rest < since)
            });
        let locking = self.locking.iter().filter(|((_, waits), _)| *waits == name);
        let locking = locking.map(|((process, _), at)| (*process, *at));
        let waiters: Vec<_> = campaigning
            .chain(locking)
            .filter(|(_, at)| *at + SETTLED < since)
            .map(|(process, _)| process)
            .filter(|process| self.faults.over_since(*process).is_some_and(|at| at + rest < since))
            .collect();
        if !waiters.is_empty() {
            self.due.insert(name, TakeoverDue { since, by, waiters });
        }
    }

    /// Reports a name that was not granted in time.
    pub(super) fn overdue(&self, now: Duration) -> Found {
        let overdue = self.due.iter().find(|(_, due)| now > due.by);
        overdue.map_or(Ok(()), |(name, TakeoverDue { since, waiters, .. })| {
            Err((now, format!("none of {waiters:?} is granted {name}, free since {since:?}")))
        })
    }

    fn excuse(&mut self, process: InstanceId, of: Option<NameId>) {
        for (name, due) in &mut self.due {
            if of.is_none_or(|of| of == *name) {
                due.waiters.retain(|waiter| *waiter != process);
            }
        }
        self.due.retain(|_, due| !due.waiters.is_empty());
    }

    pub(super) fn see(&mut self, now: Duration, event: &Event) {
        if let Some(process) = self.faults.see(now, event) {
            return self.excuse(process, None);
        }
        match event {
            Event::Booted(process) => {
                // A slow clock is taken into account.
                let begins = now + self.timing.start_delay.mul_f64(1.002);
                self.campaigning.insert(*process, begins);
            }
            Event::Crashed(process) | Event::Leaving(process) => {
                self.campaigning.remove(process);
                self.locking.retain(|(waiter, _), _| waiter != process);
                self.excuse(*process, None);
            }
            Event::WaitStarted(process, name) => {
                self.locking.insert((*process, *name), now);
            }
            Event::WaitEnded(process, name) => {
                self.locking.remove(&(*process, *name));
                self.excuse(*process, Some(*name));
            }
            Event::Started(process, name, _) => {
                self.terms.insert((*process, *name), false);
            }
            Event::StartEnded(process, name, _) | Event::Stopped(process, name, _) => {
                self.ended.insert((*process, *name), now);
                if self.terms.insert((*process, *name), true) == Some(true) {
                    self.terms.remove(&(*process, *name));
                }
            }
            Event::Disabled(name) | Event::Enabled(name) => {
                if matches!(event, Event::Disabled(_)) {
                    self.disabled.insert(*name);
                } else {
                    self.disabled.remove(name);
                }
                self.switched.insert(*name, now);
                self.due.remove(name);
            }
            // The heartbeat was late, but by a slower clock the lease had not expired.
            Event::Granted(_, name, _) | Event::Extended(_, name, _) => {
                self.due.remove(name);
            }
            _ => {}
        }
    }
}
