//! A term ends for the reason that its `stop` is told, and for none that did not come about.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Found;
use super::trouble::Trouble;
use crate::history::{Fact, History, Name, Process};

/// What happened that may end terms.
#[derive(Debug, Default)]
struct Causes {
    trouble: Trouble,
    leaving: HashSet<Process>,
    resigned: HashSet<(Process, Name, u64)>,
    start_ended: HashSet<(Process, Name, u64)>,
    /// Until when a lease is in force, and until when it is trusted.
    leases: HashMap<(Name, u64), Duration>,
    trusted: HashMap<(Name, u64), Duration>,
    freed: HashSet<(Name, u64)>,
    granted: HashMap<Name, u64>,
    /// Those that were in force when their name was disabled.
    disabled: HashSet<(Name, u64)>,
}

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // By a store's clock that runs fast, and by an instance's that does.
    let ttl = timing.ttl.mul_f64(0.998);
    let tries = timing.heartbeat_interval + timing.retry_interval() * timing.heartbeat_retries;
    // The last of them may go out half an interval early, with another lease's.
    let tries = (tries - timing.retry_interval() / 2).mul_f64(0.998);
    let mut seen = Causes::default();
    for (now, fact) in &history.events {
        if let Fact::Stopping(process, name, token, reason) = fact {
            let (lease, term) = ((*name, *token), (*process, *name, *token));
            let is_so = match *reason {
                "resigned" => seen.resigned.contains(&term),
                "shut down" => seen.leaving.contains(process),
                "disabled" => seen.disabled.contains(&lease),
                "failed" => seen.start_ended.contains(&term),
                "lost" => {
                    let end = seen.leases.get(&lease).copied().unwrap_or_default();
                    seen.freed.contains(&lease) || end <= *now
                }
                // All tries have failed, and for a cause.
                "heartbeats failed" => {
                    let until = seen.trusted.get(&lease).copied().unwrap_or_default();
                    let asked = until.saturating_sub(timing.ttl - timing.margin);
                    let calm = seen.trouble.over_since(*process);
                    calm.is_none_or(|at| at + timing.ttl > *now) && asked + tries <= *now
                }
                _ => false,
            };
            if !is_so {
                let what = format!("{process} stops {token} of {name} ({reason}) without a cause");
                return Err((*now, what));
            }
        }
        seen.see(*now, fact, ttl);
    }
    Ok(())
}

impl Causes {
    fn see(&mut self, now: Duration, fact: &Fact, ttl: Duration) {
        self.trouble.see(now, fact);
        match fact {
            Fact::Leaving(process) => {
                self.leaving.insert(*process);
            }
            Fact::Resigns(process, name, token) => {
                self.resigned.insert((*process, *name, *token));
            }
            Fact::StartEnded(process, name, token) => {
                self.start_ended.insert((*process, *name, *token));
            }
            Fact::Granted(_, name, token) => {
                self.granted.insert(*name, *token);
                self.leases.entry((*name, *token)).or_insert(now + ttl);
            }
            Fact::Extended(_, name, token) => {
                self.leases.insert((*name, *token), now + ttl);
            }
            Fact::Trusts(_, name, token, until) => {
                self.trusted.insert((*name, *token), *until);
            }
            Fact::Freed(name, token) => {
                self.freed.insert((*name, *token));
            }
            Fact::Disabled(name) => {
                self.disabled.extend(self.granted.get(name).map(|token| (*name, *token)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cause: Fact, reason: &'static str, at: f64) -> Found {
        let events = [
            (50.0, Fact::Granted(1, 0, 10)),
            (50.0, Fact::Trusts(1, 0, 10, Duration::from_millis(64_250))),
            (50.0, cause),
            (at, Fact::Stopping(1, 0, 10, reason)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn each_has_its_cause() {
        let nothing = Fact::Hinted(1, None);
        for (cause, reason) in [
            (Fact::Resigns(1, 0, 10), "resigned"),
            (Fact::Leaving(1), "shut down"),
            (Fact::Disabled(0), "disabled"),
            (Fact::StartEnded(1, 0, 10), "failed"),
            (Fact::Freed(0, 10), "lost"),
            (Fact::Cut(1), "heartbeats failed"),
        ] {
            assert!(found(cause.clone(), reason, 58.0).is_ok(), "{reason}");
            assert!(found(nothing.clone(), reason, 58.0).is_err(), "{reason}");
            assert!(found(cause, "something else", 58.0).is_err());
        }
        assert!(found(nothing, "lost", 65.0).is_ok());
    }

    #[test]
    fn heartbeats_that_were_not_all_tried() {
        assert!(found(Fact::Mishap(1), "heartbeats failed", 56.8).is_ok());
        assert!(found(Fact::Mishap(1), "heartbeats failed", 56.7).is_err());
        assert!(found(Fact::Mishap(2), "heartbeats failed", 58.0).is_err());
    }
}
