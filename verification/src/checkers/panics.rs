//! Nothing panics. (Jobs that fail in this way unwind without raising a panic.)

use super::found::Found;
use crate::history::{Event, History};

pub(super) fn check(history: &History) -> Found {
    for (now, event) in &history.events {
        if let Event::Panicked(message) = event {
            return Err((*now, message.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_task_is_found() {
        let found = |event| check(&History::of(&[(1.0, event)]).unwrap());
        assert!(found(Event::Panicked("index out of bounds".to_owned())).is_err());
        assert!(found(Event::Left(1)).is_ok());
    }
}
