//! Remembers the names that this store has released, which are probably still free.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::LockName;

/// At most this many names are remembered. If there are more, all are forgotten.
const MAX_NAMES: usize = 10_000;

/// The next attempt on one of these names begins with a statement that does nothing but grant a
/// free name. Nothing depends on it: if the name is not free, the usual statement follows.
#[derive(Default)]
pub(crate) struct ReleasedNames {
    names: Mutex<HashSet<LockName>>,
}

impl ReleasedNames {
    /// Remembers a name that was released.
    pub(crate) fn add(&self, name: &LockName) {
        let mut names = self.names.lock();
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(name.clone());
    }

    /// Returns whether the name is remembered, and forgets it.
    pub(crate) fn take(&self, name: &LockName) -> bool {
        self.names.lock().remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> LockName {
        LockName::new(format!("job {number}")).unwrap()
    }

    #[test]
    fn a_name_is_taken_once() {
        let released = ReleasedNames::default();
        released.add(&name(1));
        assert!(!released.take(&name(2)));
        assert!(released.take(&name(1)));
        assert!(!released.take(&name(1)));
    }

    #[test]
    fn the_names_are_limited() {
        let released = ReleasedNames::default();
        for number in 0..=MAX_NAMES {
            released.add(&name(number));
        }
        assert!(!released.take(&name(0)));
        assert!(released.take(&name(MAX_NAMES)));
    }
}
