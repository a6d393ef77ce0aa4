//! When everything is shut down, no task is left, and so no timer.

use super::found::Found;
use crate::history::{Fact, History};

pub(super) fn check(history: &History) -> Found {
    for (now, fact) in &history.events {
        if let Fact::Ended { tasks: 1.. } = fact {
            return Err((*now, format!("{fact:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_stays() {
        let found = |tasks| check(&History::of(&[(9.0, Fact::Ended { tasks })]).unwrap());
        assert!(found(0).is_ok());
        assert!(found(1).is_err());
    }
}
