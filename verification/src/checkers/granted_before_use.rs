//! No instance leads or holds a name that the store has not granted to it.

use std::collections::HashSet;

use super::found::Found;
use crate::history::{Event, History};

pub(super) fn check(history: &History) -> Found {
    let mut granted = HashSet::new();
    for (now, event) in &history.events {
        match event {
            Event::Granted(process, name, token) => {
                granted.insert((process, name, token));
            }
            Event::Started(process, name, token)
            | Event::TrustExtended(process, name, token, _)
                if !granted.contains(&(process, name, token)) =>
            {
                return Err((
                    *now,
                    format!("{process} leads with {token} of {name}, which it was not granted"),
                ));
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
    fn a_leader_without_a_grant_is_found() {
        let started = (2.0, Event::Started(1, 0, 10));
        let elect = |process, name, token| (1.0, Event::Granted(process, name, token));
        let found = |granted| check(&History::of(&[granted, started.clone()]).unwrap());
        assert!(found(elect(1, 0, 10)).is_ok());
        assert!(found(elect(2, 0, 10)).is_err());
        assert!(found(elect(1, 1, 10)).is_err());
        assert!(found(elect(1, 0, 9)).is_err());
    }
}
