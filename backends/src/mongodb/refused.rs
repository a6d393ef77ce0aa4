//! Remembers names that were recently held by others, or disabled.
//!
//! An attempt to acquire such a name reads it first, which takes one command instead of two. The read
//! can only refuse the attempt. If the name is free, or held by the lease of this attempt, the
//! attempt is sent as usual: a read may show what no majority has, and a grant is reported only
//! after a majority acknowledged it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{Clock, LockName, Moment, SystemClock};

/// The most names that are remembered.
const REMEMBERED: usize = 10_000;

/// The names, with the time until which each is expected to be refused.
#[derive(Debug, Default)]
pub(super) struct RefusedNames {
    names: Mutex<HashMap<LockName, Moment>>,
}

impl RefusedNames {
    /// Returns whether an attempt at the name is expected to be refused.
    pub(super) fn is_expected(&self, name: &LockName) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name).is_some_and(|until| SystemClock.now() < *until)
    }

    /// Notes that the name was refused, and will be for that long unless something changes.
    pub(super) fn add(&self, name: &LockName, left: Duration) {
        let now = SystemClock.now();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= REMEMBERED && !names.contains_key(name) {
            names.retain(|_, until| now < *until);
            if names.len() >= REMEMBERED {
                names.clear();
            }
        }
        names.insert(name.clone(), now + left);
    }

    /// Notes that the name was granted.
    pub(super) fn remove(&self, name: &LockName) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_name_is_remembered_until_its_lease_ends() {
        let (refused, name) = (RefusedNames::default(), LockName::new("job").unwrap());
        assert!(!refused.is_expected(&name));
        refused.add(&name, Duration::from_secs(3600));
        assert!(refused.is_expected(&name));
        refused.remove(&name);
        assert!(!refused.is_expected(&name));
        refused.add(&name, Duration::ZERO);
        assert!(!refused.is_expected(&name));
    }

    #[test]
    fn no_more_names_are_remembered_than_fit() {
        let refused = RefusedNames::default();
        for number in 0..=REMEMBERED {
            let name = LockName::new(number.to_string()).unwrap();
            refused.add(&name, Duration::from_secs(3600));
        }
        assert!(refused.names.lock().unwrap().len() <= REMEMBERED);
    }
}
