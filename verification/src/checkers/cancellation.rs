//! A job is told by its leadership that its term is to end at the moment at which `stop` is called,
//! and at no other.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Fact, History, Name, Process};

pub(super) fn check(history: &History) -> Found {
    // Terms of which the one has been seen and not yet the other.
    let mut half: HashMap<(Process, Name, u64), Duration> = HashMap::new();
    for (now, fact) in &history.events {
        if let Some((term, since)) = half.iter().find(|(_, since)| *since < now) {
            let what =
                format!("{term:?} is either cancelled or stopped at {since:?}, but not both");
            return Err((*now, what));
        }
        match fact {
            Fact::Cancelled(process, name, token) | Fact::Stopping(process, name, token, _) => {
                let term = (*process, *name, *token);
                if half.remove(&term).is_none() {
                    half.insert(term, *now);
                }
            }
            Fact::Crashed(gone) => half.retain(|(process, ..), _| process != gone),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_without_the_other() {
        let cancelled = |at| (at, Fact::Cancelled(1, 0, 10));
        let stopping = |at| (at, Fact::Stopping(1, 0, 10, "resigned"));
        let found = |facts: &[_]| {
            check(&History::of(&[facts, &[(9.0, Fact::Mishap(1))]].concat()).unwrap())
        };
        assert!(found(&[cancelled(1.0), stopping(1.0)]).is_ok());
        assert!(found(&[stopping(1.0), cancelled(1.0)]).is_ok());
        assert!(found(&[cancelled(1.0), stopping(2.0)]).is_err());
        assert!(found(&[stopping(1.0)]).is_err());
        assert!(found(&[cancelled(1.0), (1.0, Fact::Crashed(1))]).is_ok());
    }
}
