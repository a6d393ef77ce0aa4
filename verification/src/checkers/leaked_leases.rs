//! No lease is left behind: what was granted to an instance that does not use it, such as one that
//! gave up waiting half-way, and what it uses no more, is given back as soon as nothing is in the
//! way.
//!
//! A call that timed out has unknown effect to the instance, which must then expect the grant; so
//! what counts here is what the store did, and not what anybody was told.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use crate::history::{Fact, History, Name, Process};

/// What an answer and a release take together, far beyond what is usual.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn check(history: &History) -> Found {
    // Grants that nobody has relied on, and since when that is for no other reason.
    let mut unused: HashMap<Name, (Process, u64, Duration)> = HashMap::new();
    let mut mishap: HashMap<Process, Duration> = HashMap::new();
    let (mut out, mut cut) = (HashSet::new(), HashSet::new());
    // A retry is granted what is left of the same lease.
    let mut seen = HashSet::new();
    let mut trusted: HashMap<(Name, u64), Duration> = HashMap::new();
    // Their leases run out by themselves.
    let mut aborted = HashSet::new();
    for (now, fact) in &history.events {
        let orphan = unused.iter().find(|(_, (.., since))| *now > *since + SOON);
        if let Some((name, (process, token, since))) = orphan {
            let what =
                format!("{process} neither uses nor releases {token} of {name} since {since:?}");
            return Err((*now, what));
        }
        match fact {
            // What is late on its way there is late on its way back.
            Fact::Granted(process, name, token) if mishap.get(process) == Some(now) => {
                seen.insert((*name, *token));
            }
            // Nor does one use it in time that is frozen, cut off or gone.
            Fact::Granted(process, name, token)
                if out.contains(process) || cut.contains(process) =>
            {
                seen.insert((*name, *token));
            }
            Fact::Granted(process, name, token) if seen.insert((*name, *token)) => {
                unused.insert(*name, (*process, *token, *now));
            }
            Fact::Distrusts(process, name, token) => {
                let runs_on = trusted.get(&(*name, *token)).is_some_and(|until| until > now);
                let expires = aborted.contains(&(*name, *token));
                if runs_on && !expires && !out.contains(process) && !cut.contains(process) {
                    unused.insert(*name, (*process, *token, *now));
                }
            }
            Fact::Trusts(_, name, token, until) => {
                trusted.insert((*name, *token), *until);
                unused.retain(|held, (_, term, _)| held != name || term != token);
            }
            Fact::Aborted(_, name, token) => {
                aborted.insert((*name, *token));
            }
            Fact::Freed(name, token) => {
                trusted.remove(&(*name, *token));
                unused.remove(name);
            }
            // A crash leaves its leases to run out, and what goes wrong for an instance excuses
            // it, and no other.
            Fact::Crashed(process) | Fact::Froze(process) => {
                out.insert(*process);
                unused.retain(|_, (granted, ..)| granted != process);
            }
            Fact::Cut(process) => {
                cut.insert(*process);
                unused.retain(|_, (granted, ..)| granted != process);
            }
            Fact::Thawed(process) => {
                out.remove(process);
            }
            Fact::Mended(process) => {
                cut.remove(process);
            }
            Fact::Mishap(process) => {
                mishap.insert(*process, *now);
                unused.retain(|_, (granted, ..)| granted != process);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(then: Fact) -> Found {
        let events = [(1.0, Fact::Granted(1, 0, 10)), (1.5, then), (3.0, Fact::Hinted(1, None))];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn a_lease_that_nobody_uses() {
        assert!(found(Fact::Hinted(1, None)).is_err());
        assert!(found(Fact::Freed(1, 10)).is_err());
        assert!(found(Fact::Freed(0, 10)).is_ok());
        assert!(found(Fact::Trusts(1, 0, 10, Duration::from_secs(9))).is_ok());
        for excuse in [Fact::Crashed, Fact::Froze, Fact::Cut, Fact::Mishap] {
            assert!(found(excuse(1)).is_ok());
            assert!(found(excuse(2)).is_err(), "another's trouble is no excuse");
        }
    }

    #[test]
    fn a_lease_that_is_used_no_more() {
        let found = |until, then| {
            let events = [
                (1.0, Fact::Trusts(1, 0, 10, Duration::from_secs(until))),
                (2.0, Fact::Distrusts(1, 0, 10)),
                (2.5, then),
                (4.0, Fact::Hinted(1, None)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(9, Fact::Hinted(1, None)).is_err());
        assert!(found(2, Fact::Hinted(1, None)).is_ok());
        assert!(found(9, Fact::Freed(0, 10)).is_ok());
        let aborted = [
            (1.0, Fact::Trusts(1, 0, 10, Duration::from_secs(9))),
            (2.0, Fact::Aborted(1, 0, 10)),
            (2.0, Fact::Distrusts(1, 0, 10)),
            (4.0, Fact::Hinted(1, None)),
        ];
        assert!(check(&History::of(&aborted).unwrap()).is_ok());
    }
}
