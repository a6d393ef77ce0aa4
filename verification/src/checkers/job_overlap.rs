//! The job of one term has ended before that of the next begins, on instances that were not frozen
//! in between: no lease can stop a job that wakes too late. In an election of several leaders, at
//! most as many jobs as it has leaders run at a time.

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
                let others = terms.iter().filter(|((_, led, _), term)| {
                    led == name && (term.start || term.stop) && !term.frozen
                });
                let others: Vec<_> =
                    others.map(|((holder, _, before), _)| (*holder, *before)).collect();
                let most = usize::try_from(history.kind(*name).capacity()).unwrap_or(usize::MAX);
                if others.len() >= most {
                    let what = format!(
                        "{process} starts {token} of {name} while these have not ended, by \
                         instance and token: {others:?}"
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
    use leasehold_core::LockKind;

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

    #[test]
    fn as_many_jobs_run_as_there_are_leaders() {
        let found = |leaders| {
            let terms = (1..4).map(|process| (1.0, Event::Started(process, 0, 10)));
            let history = History::of(&terms.collect::<Vec<_>>()).unwrap();
            check(&history.with_kinds(&[LockKind::leaders(leaders).unwrap()]))
        };
        assert!(found(3).is_ok());
        assert!(found(2).is_err());
    }
}
