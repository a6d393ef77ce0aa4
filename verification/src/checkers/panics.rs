//! Nothing panics. (Jobs that are to fail so unwind without a panic being raised.)

use super::found::Found;
use crate::history::{Fact, History};

pub(super) fn check(history: &History) -> Found {
    for (now, fact) in &history.events {
        if let Fact::Panicked(words) = fact {
            return Err((*now, words.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_caught_by_its_task() {
        let found = |fact| check(&History::of(&[(1.0, fact)]).unwrap());
        assert!(found(Fact::Panicked("index out of bounds".to_owned())).is_err());
        assert!(found(Fact::Left(1)).is_ok());
    }
}
