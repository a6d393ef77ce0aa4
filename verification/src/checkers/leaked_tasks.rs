//! After everything is shut down, no task is left, and so no timer.

use super::found::Found;
use crate::history::{Event, History};

pub(super) fn check(history: &History) -> Found {
    for (now, event) in &history.events {
        if let Event::Ended { tasks: 1.. } = event {
            return Err((*now, format!("{event:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaked_task_is_found() {
        let found = |tasks| check(&History::of(&[(9.0, Event::Ended { tasks })]).unwrap());
        assert!(found(0).is_ok());
        assert!(found(1).is_err());
    }
}
