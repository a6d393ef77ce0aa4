//! The lease of a term whose job was aborted is not released. The job's work may continue, so the
//! lease must expire before another instance leads.

use std::collections::HashSet;

use super::found::Found;
use crate::history::{Event, History, NameId};

pub(super) fn check(history: &History) -> Found {
    let mut aborted: HashSet<(NameId, u64)> = HashSet::new();
    for (now, event) in &history.events {
        match event {
            Event::Aborted(_, name, token) => {
                aborted.insert((*name, *token));
            }
            Event::Released(name, token) if aborted.contains(&(*name, *token)) => {
                let what = format!("{token} of {name} is released although its job was aborted");
                return Err((*now, what));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_after_an_abort_is_found() {
        let found = |aborted| {
            let events = [(1.0, Event::Aborted(1, 0, aborted)), (2.0, Event::Released(0, 10))];
            check(&History::of(&events).unwrap())
        };
        assert!(found(10).is_err());
        assert!(found(9).is_ok());
    }
}
