//! No instance stands in its own way: while it waits for a name, it is not refused it because of a
//! lease that an attempt of its own, in the same waiting, was granted without its knowing. Such an
//! attempt is to be tried again, as whatever else is asked for is kept out by it until it runs out.
//!
//! No weather excuses that. What may be in the way is what was granted in an earlier waiting, given
//! up, and before the name was disabled: either is given back, but that may get lost.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use crate::history::{Answer, Attempt, Fact, History, Name, Process};

pub(super) fn check(history: &History) -> Found {
    // Attempts that may have been granted, as far as those who wait by them were told.
    let mut open: HashMap<Attempt, (Process, Name)> = HashMap::new();
    // Those who wait for a lock; whoever asks for one and does not gave up as the request went out.
    let mut waiting: HashSet<(Process, Name)> = HashSet::new();
    let locks: HashSet<Name> = history.events.iter().filter_map(waited_for).collect();
    for (now, fact) in &history.events {
        match fact {
            Fact::Waits(process, name) => {
                waiting.insert((*process, *name));
            }
            Fact::Asks(process, name, attempt)
                if !locks.contains(name) || waiting.contains(&(*process, *name)) =>
            {
                open.insert(*attempt, (*process, *name));
            }
            Fact::Told(_, _, attempt, Answer::Granted | Answer::Disabled) => {
                open.remove(attempt);
            }
            // A waiting that is over, also with a request under way.
            Fact::WaitsNoMore(process, name) => {
                waiting.remove(&(*process, *name));
                open.retain(|_, of| *of != (*process, *name));
            }
            Fact::Crashed(gone) => open.retain(|_, (process, _)| process != gone),
            // Both of this waiting: a request of an earlier one may arrive yet.
            Fact::InTheWay(process, name, attempt, other)
                if [attempt, other].iter().all(|it| open.get(it) == Some(&(*process, *name))) =>
            {
                let what = format!(
                    "{process} asks for {name} by attempt {attempt}, and its own {other} is in the \
                     way, granted without its knowing"
                );
                return Err((*now, what));
            }
            _ => {}
        }
    }
    Ok(())
}

fn waited_for((_, fact): &(Duration, Fact)) -> Option<Name> {
    match fact {
        Fact::Waits(_, name) => Some(*name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attempt is granted unheard, and then another of the same instance is made.
    fn found(then: Fact) -> Found {
        let events = [
            (1.0, Fact::Waits(1, 0)),
            (1.0, Fact::Asks(1, 0, 5)),
            (2.0, Fact::Granted(1, 0, 10)),
            (9.0, Fact::Told(1, 0, 5, Answer::Unknown)),
            (9.0, then),
            (9.5, Fact::Asks(1, 0, 6)),
            (9.6, Fact::InTheWay(1, 0, 6, 5)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn one_that_tries_under_another_id() {
        assert!(found(Fact::Hinted(1, None)).is_err());
        for trouble in [Fact::Mishap(1), Fact::Cut(1), Fact::Froze(1), Fact::Thawed(1)] {
            assert!(found(trouble).is_err(), "no weather is an excuse");
        }
        assert!(found(Fact::GivesBack(1, 0, 5)).is_err(), "that may get lost");
        assert!(found(Fact::Told(1, 0, 5, Answer::Refused)).is_err(), "of another request");
        assert!(found(Fact::WaitsNoMore(2, 0)).is_err());
        assert!(found(Fact::WaitsNoMore(1, 1)).is_err());
    }

    #[test]
    fn what_may_be_in_the_way() {
        assert!(found(Fact::WaitsNoMore(1, 0)).is_ok());
        assert!(found(Fact::Crashed(1)).is_ok());
        assert!(found(Fact::Told(1, 0, 5, Answer::Disabled)).is_ok());
        assert!(found(Fact::Told(1, 0, 5, Answer::Granted)).is_ok(), "it knows");
    }

    #[test]
    fn a_request_of_an_earlier_waiting() {
        let found = |asker, holder| {
            let events = [
                (1.0, Fact::Waits(1, 0)),
                (1.0, Fact::Asks(1, 0, 4)),
                (2.0, Fact::WaitsNoMore(1, 0)),
                (2.0, Fact::Asks(1, 0, 5)),
                (3.0, Fact::Waits(1, 0)),
                (3.0, Fact::Asks(1, 0, 6)),
                (4.0, Fact::Granted(1, 0, 10)),
                (5.0, Fact::InTheWay(1, 0, asker, holder)),
            ];
            check(&History::of(&events).unwrap())
        };
        for (asker, holder) in [(4, 6), (5, 6), (6, 4), (6, 5)] {
            assert!(found(asker, holder).is_ok());
        }
    }

    #[test]
    fn another_is_in_the_way() {
        let events = [
            (1.0, Fact::Asks(1, 0, 5)),
            (1.0, Fact::Asks(2, 0, 6)),
            (2.0, Fact::Granted(1, 0, 10)),
            (3.0, Fact::InTheWay(2, 0, 6, 5)),
        ];
        assert!(check(&History::of(&events).unwrap()).is_ok());
    }
}
