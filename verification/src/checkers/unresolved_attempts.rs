//! No attempt is forgotten, whatever the weather: one that may have been granted unheard is tried
//! again or given back, within the pause that may come in between, and what was granted is used or
//! given back at once. So nothing is held for the rest of a ttl that nobody knows of.
//!
//! (`orphans` judges what became of that at the store, in fair weather alone.)

use std::collections::HashMap;
use std::time::Duration;

use super::faults::Trouble;
use super::found::Found;
use crate::history::{Answer, Attempt, Fact, History, Name, Process};

/// What a timer may be off, and a task may take, far beyond what is usual.
const SOON: Duration = Duration::from_secs(1);

/// An attempt whose lease may be in force.
#[derive(Debug)]
struct Open {
    process: Process,
    name: Name,
    /// A call of it may have been granted, or may be yet.
    in_doubt: bool,
    /// Since when something is to be done about it, and how soon; not while a call is under way.
    due: Option<(Duration, Duration)>,
}

pub(super) fn check(history: &History) -> Found {
    let timing = &history.timing;
    // The longest pause with its jitter; the last tenth is for drift.
    let pause = timing.poll_interval.mul_f64(1.5 * 1.1) + SOON;
    let mut trouble = Trouble::default();
    let mut open: HashMap<Attempt, Open> = HashMap::new();
    for (now, fact) in &history.events {
        let forgotten = open.iter().find(|(_, Open { process, due, .. })| {
            let thawed = trouble.last_thaw(*process);
            let late = |(since, within): (Duration, Duration)| *now > since.max(thawed) + within;
            !trouble.is_frozen(*process) && due.is_some_and(late)
        });
        if let Some((attempt, Open { process, name, due, .. })) = forgotten {
            let what = format!("{process} has forgotten its attempt {attempt} at {name}: {due:?}");
            return Err((*now, what));
        }
        trouble.see(*now, fact);
        match fact {
            Fact::Asks(process, name, attempt) => {
                let (process, name) = (*process, *name);
                let first = Open { process, name, in_doubt: false, due: None };
                open.entry(*attempt).or_insert(first).due = None;
            }
            Fact::Told(_, _, attempt, answer) => {
                let Some(it) = open.get_mut(attempt) else { continue };
                it.in_doubt |= *answer == Answer::Unknown;
                let within = if *answer == Answer::Granted { SOON } else { pause };
                it.due = Some((*now, within));
                if matches!(answer, Answer::Refused | Answer::Disabled) && !it.in_doubt {
                    open.remove(attempt);
                }
            }
            Fact::GivesBack(_, _, attempt) => {
                open.remove(attempt);
            }
            // It has come of the attempt that was under way.
            Fact::Started(process, name, _) | Fact::Took(process, name, _) => {
                open.retain(|_, it| (it.process, it.name) != (*process, *name));
            }
            Fact::Crashed(gone) => open.retain(|_, it| it.process != *gone),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attempt is told that much at 2 s, and the rest is silence.
    fn found(told: Answer, then: (f64, Fact), until: f64) -> Found {
        let events = [
            (1.0, Fact::Asks(1, 0, 5)),
            (2.0, Fact::Told(1, 0, 5, told)),
            then,
            (until, Fact::Hinted(2, None)),
        ];
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn one_that_may_have_been_granted() {
        let nothing = (2.0, Fact::Mishap(1));
        // Polls are 5 s apart.
        assert!(found(Answer::Unknown, nothing.clone(), 11.2).is_ok());
        assert!(found(Answer::Unknown, nothing.clone(), 11.3).is_err());
        assert!(found(Answer::Refused, nothing.clone(), 60.0).is_ok());
        assert!(found(Answer::Disabled, nothing, 60.0).is_ok());
        for excuse in [Fact::Asks(1, 0, 5), Fact::GivesBack(1, 0, 5), Fact::Froze(1)] {
            assert!(found(Answer::Unknown, (9.0, excuse), 60.0).is_ok());
        }
        assert!(found(Answer::Unknown, (9.0, Fact::Asks(1, 0, 6)), 12.0).is_err());
        assert!(found(Answer::Unknown, (9.0, Fact::Thawed(1)), 18.2).is_ok());
        assert!(found(Answer::Unknown, (9.0, Fact::Thawed(1)), 18.3).is_err());
    }

    #[test]
    fn one_that_was_refused_after_it_may_have_been_granted() {
        let found = |then| {
            let events = [
                (1.0, Fact::Asks(1, 0, 5)),
                (2.0, Fact::Told(1, 0, 5, Answer::Unknown)),
                (3.0, Fact::Asks(1, 0, 5)),
                (3.0, Fact::Told(1, 0, 5, Answer::Refused)),
                (4.0, then),
                (60.0, Fact::Hinted(2, None)),
            ];
            check(&History::of(&events).unwrap())
        };
        assert!(found(Fact::Asks(1, 0, 6)).is_err());
        assert!(found(Fact::Asks(1, 0, 5)).is_ok());
        assert!(found(Fact::GivesBack(1, 0, 5)).is_ok());
    }

    #[test]
    fn one_that_was_granted() {
        let nothing = (2.0, Fact::Mishap(1));
        assert!(found(Answer::Granted, nothing.clone(), 2.9).is_ok());
        assert!(found(Answer::Granted, nothing, 3.1).is_err());
        let use_of_it = [Fact::Started(1, 0, 10), Fact::Took(1, 0, 10), Fact::GivesBack(1, 0, 5)];
        for then in use_of_it {
            assert!(found(Answer::Granted, (2.0, then), 60.0).is_ok());
        }
        assert!(found(Answer::Granted, (2.0, Fact::Started(1, 1, 10)), 60.0).is_err());
    }
}
