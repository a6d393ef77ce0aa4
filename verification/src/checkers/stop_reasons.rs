//! A term ends for the reason that its `stop` is given, and that reason really occurred.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::faults::InstanceFaults;
use super::found::Found;
use super::in_force::InForce;
use crate::history::{Event, History, InstanceId, NameId};

/// The error of a timer is much less than this.
const CAUSE_WINDOW: Duration = Duration::from_millis(100);

/// These are the causes that may end terms.
#[derive(Debug, Default)]
struct TermCauses {
    faults: InstanceFaults,
    leaving: HashSet<InstanceId>,
    resigned: HashSet<(InstanceId, NameId, u64)>,
    start_ended: HashSet<(InstanceId, NameId, u64)>,
    /// This is the time until which a lease is in force, and the time until which it is trusted.
    leases: HashMap<(NameId, u64), Duration>,
    trusted: HashMap<(NameId, u64), Duration>,
    /// These are the leases whose trust was extended at least once.
    renewed: HashSet<(NameId, u64)>,
    /// These are the leases that the store was asked to renew.
    requested: HashSet<(NameId, u64)>,
    hinted: HashMap<InstanceId, Duration>,
    freed: HashSet<(NameId, u64)>,
    in_force: InForce,
    /// These are the leases that were in force when their name was disabled.
    disabled: HashSet<(NameId, u64)>,
}

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The store's clock and the instance's clock may run fast.
    let ttl = timing.ttl.mul_f64(0.998);
    let tries = timing.heartbeat_interval + timing.retry_interval() * timing.heartbeat_retries;
    // The last try may be sent half an interval early, with another lease's renewal.
    let tries = (tries - timing.retry_interval() / 2).mul_f64(0.998);
    // Without retries the heartbeat itself is the last try. It is sent at most half an interval
    // early, except the first one of a lease and one that a hint triggers, which may be sent at any
    // time.
    let no_retry = (timing.heartbeat_interval / 2).mul_f64(0.998);
    let mut seen = TermCauses::default();
    for (now, event) in &history.events {
        if let Event::Stopping(process, name, token, reason) = event {
            let (lease, term) = ((*name, *token), (*process, *name, *token));
            let is_so = match *reason {
                "resigned" => seen.resigned.contains(&term),
                "shut down" => seen.leaving.contains(process),
                "disabled" => seen.disabled.contains(&lease),
                "failed" | "finished" => seen.start_ended.contains(&term),
                "lost" => {
                    let end = seen.leases.get(&lease).copied().unwrap_or_default();
                    seen.freed.contains(&lease) || end <= *now
                }
                // All tries have failed for a cause, and `stop` has its grace unless the instance
                // was frozen.
                "heartbeats failed" => {
                    let until = seen.trusted.get(&lease).copied().unwrap_or_default();
                    let sent_at = until.saturating_sub(timing.ttl - timing.margin);
                    let faultless_since = seen.faults.over_since(*process);
                    let latest = until.saturating_sub(timing.stop_grace);
                    let latest = latest.max(seen.faults.last_thaw(*process)) + CAUSE_WINDOW;
                    let has_cause = faultless_since.is_none_or(|at| at + timing.ttl > *now);
                    // An instance that was frozen in the meantime need not have noticed it.
                    let thawed = seen.faults.last_thaw(*process) >= sent_at;
                    let was_tried = seen.requested.contains(&lease) || thawed;
                    let tries = match timing.heartbeat_retries {
                        0 if seen.renewed.contains(&lease)
                            && !seen.is_hinted(*process, sent_at) =>
                        {
                            no_retry
                        }
                        0 => Duration::ZERO,
                        _ => tries,
                    };
                    has_cause && was_tried && sent_at + tries <= *now && *now <= latest
                }
                _ => false,
            };
            if !is_so {
                let what = format!("{process} stops {token} of {name} ({reason}) without a cause");
                return Err((*now, what));
            }
        }
        seen.see(*now, event, ttl);
    }
    Ok(())
}

impl TermCauses {
    fn is_hinted(&self, process: InstanceId, since: Duration) -> bool {
        self.hinted.get(&process).is_some_and(|at| *at >= since)
    }

    fn see(&mut self, now: Duration, event: &Event, ttl: Duration) {
        self.faults.see(now, event);
        self.in_force.see(event);
        match event {
            Event::Leaving(process) => {
                self.leaving.insert(*process);
            }
            Event::Resigns(process, name, token) => {
                self.resigned.insert((*process, *name, *token));
            }
            Event::StartEnded(process, name, token) => {
                self.start_ended.insert((*process, *name, *token));
            }
            Event::Granted(_, name, token) | Event::Entered(_, name, token, _) => {
                self.leases.entry((*name, *token)).or_insert(now + ttl);
            }
            Event::Extended(_, name, token) => {
                self.leases.insert((*name, *token), now + ttl);
            }
            Event::TrustExtended(_, name, token, until) => {
                let before = self.trusted.insert((*name, *token), *until);
                self.renewed.extend(before.map(|_| (*name, *token)));
            }
            Event::Renewed(_, leases) => self.requested.extend(leases),
            Event::Hinted(process, _) => {
                self.hinted.insert(*process, now);
            }
            Event::Released(name, token) => {
                self.freed.insert((*name, *token));
            }
            Event::Disabled(name) => {
                self.disabled.extend(self.in_force.of(*name).map(|token| (*name, token)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result for a history in which the first heartbeat is due at 53 s.
    fn term(first_beat: Event, cause: Event, reason: &'static str, at: f64) -> History {
        let events = [
            (50.0, Event::Granted(1, 0, 10)),
            (50.0, Event::TrustExtended(1, 0, 10, Duration::from_millis(64_250))),
            (50.0, cause),
            (53.0, first_beat),
            (at, Event::Stopping(1, 0, 10, reason)),
        ];
        History::of(&events).unwrap()
    }

    fn found(cause: Event, reason: &'static str, at: f64) -> Found {
        check(&term(Event::Renewed(1, vec![(0, 10)]), cause, reason, at))
    }

    #[test]
    fn justified_reasons_pass() {
        let nothing = Event::Hinted(1, None);
        for (cause, reason) in [
            (Event::Resigns(1, 0, 10), "resigned"),
            (Event::Leaving(1), "shut down"),
            (Event::Disabled(0), "disabled"),
            (Event::StartEnded(1, 0, 10), "failed"),
            (Event::Released(0, 10), "lost"),
            (Event::LinkDegraded(1), "heartbeats failed"),
        ] {
            assert!(found(cause.clone(), reason, 58.0).is_ok(), "{reason}");
            assert!(found(nothing.clone(), reason, 58.0).is_err(), "{reason}");
            assert!(found(cause, "something else", 58.0).is_err());
        }
        assert!(found(nothing, "lost", 65.0).is_ok());
    }

    #[test]
    fn giving_up_before_all_retries_is_found() {
        assert!(found(Event::MessageFault(1), "heartbeats failed", 56.8).is_ok());
        assert!(found(Event::MessageFault(1), "heartbeats failed", 56.7).is_err());
        assert!(found(Event::MessageFault(1), "heartbeats failed", 59.3).is_ok());
        assert!(found(Event::MessageFault(1), "heartbeats failed", 59.4).is_err());
        assert!(found(Event::Thawed(1), "heartbeats failed", 50.0).is_err());
        assert!(found(Event::MessageFault(2), "heartbeats failed", 58.0).is_err());
    }

    #[test]
    fn unsent_heartbeats_are_found() {
        let found = |first_beat, cause| check(&term(first_beat, cause, "heartbeats failed", 58.0));
        assert!(found(Event::Renewed(1, vec![(1, 3), (0, 10)]), Event::MessageFault(1)).is_ok());
        assert!(found(Event::Renewed(1, vec![(1, 3)]), Event::MessageFault(1)).is_err());
        assert!(found(Event::Thawed(1), Event::Frozen(1)).is_ok());
    }

    #[test]
    fn a_missing_retry_is_found() {
        let found = |then, at| {
            let renewed = Event::Renewed(1, vec![(0, 10)]);
            let mut history = term(renewed, Event::MessageFault(1), "heartbeats failed", at);
            history.events.insert(3, (Duration::from_secs(50), then));
            history.timing.heartbeat_retries = 0;
            check(&history)
        };
        assert!(found(Event::Left(2), 53.1).is_ok(), "the first may be sent at any time");
        let renewed = Event::TrustExtended(1, 0, 10, Duration::from_millis(66_250));
        assert!(found(renewed.clone(), 53.4).is_err());
        assert!(found(renewed, 53.6).is_ok());
    }
}
