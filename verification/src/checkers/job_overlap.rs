//! The job of one term has ended before that of the next begins, on instances that were not frozen
//! in between: no lease can stop a job that wakes too late.

use std::collections::HashMap;

use super::found::Found;
use crate::history::{Event, History, InstanceId, NameId};

/// This is a term whose job runs: the tasks that have not ended, and whether its instance was
/// frozen.
#[derive(Debug, Default)]
struct RunningTerm {
    start: bool,
    stop: bool,
    frozen: bool,
}

pub(super) fn check(history: &History) -> Found {
    let mut terms: HashMap<(InstanceId, NameId, u64), RunningTerm> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::Started(process, name, token) => {
                let other = terms.iter().find(|((_, led, _), term)| {
                    led == name && (term.start || term.stop) && !term.frozen
                });
                if let Some(((holder, _, before), _)) = other {
                    let what = format!(
                        "{process} starts {token} of {name} while {holder} has not ended {before}"
                    );
                    return Err((*now, what));
                }
                let term = RunningTerm { start: true, stop: true, frozen: false };
                terms.insert((*process, *name, *token), term);
            }
            Event::StartEnded(process, name, token) => {
                if let Some(term) = terms.get_mut(&(*process, *name, *token)) {
                    term.start = false;
                }
            }
            Event::Stopped(process, name, token) => {
                if let Some(term) = terms.get_mut(&(*process, *name, *token)) {
                    term.stop = false;
                }
            }
            Event::Frozen(frozen) => {
                let its = terms.iter_mut().filter(|((process, ..), _)| process == frozen);
                its.for_each(|(_, term)| term.frozen = true);
            }
            Event::Crashed(crashed) => terms.retain(|(process, ..), _| process != crashed),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(between: &[Event]) -> Found {
        let mut events = vec![(1.0, Event::Started(1, 0, 10))];
        events.extend(between.iter().map(|event| (2.0, event.clone())));
        events.push((3.0, Event::Started(2, 0, 11)));
        check(&History::of(&events).unwrap())
    }

    #[test]
    fn overlapping_jobs_are_found() {
        let (start, stop) = (Event::StartEnded(1, 0, 10), Event::Stopped(1, 0, 10));
        assert!(found(&[]).is_err());
        assert!(found(std::slice::from_ref(&start)).is_err());
        assert!(found(std::slice::from_ref(&stop)).is_err());
        assert!(found(&[start, stop]).is_ok());
        assert!(found(&[Event::Frozen(1)]).is_ok());
        assert!(found(&[Event::Crashed(1)]).is_ok());
    }
}
