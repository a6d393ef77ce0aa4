//! Remembers names that were recently held by others, or disabled.
//!
//! An attempt to acquire such a name reads it first, which takes one command instead of two. The
//! read can only refuse the attempt. If the name is free, the attempt is sent as usual.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{AcquireOutcome, Clock, LockName, Moment, SystemClock};

/// The most names that are remembered.
const MAX_NAMES: usize = 10_000;

/// For this long after a name was found disabled, attempts at it are expected to be refused.
const DISABLED_RECHECK: Duration = Duration::from_secs(60);

/// The names, with the time until which each is expected to be refused.
#[derive(Debug, Default)]
pub(crate) struct RecentRefusals {
    names: Mutex<HashMap<LockName, Moment>>,
}

impl RecentRefusals {
    /// Returns whether an attempt at the name is expected to be refused.
    pub(crate) fn is_expected(&self, name: &LockName) -> bool {
        let names = self.names.lock();
        names.get(name).is_some_and(|until| SystemClock.now() < *until)
    }

    /// Notes the outcome of an attempt at the name.
    pub(crate) fn note(&self, name: &LockName, outcome: &AcquireOutcome) {
        match outcome {
            // An entry is made for each attempt that waits, so the next one is not refused either.
            AcquireOutcome::Granted(_) | AcquireOutcome::Queued(_) => self.forget(name),
            AcquireOutcome::Held(held) => self.add(name, held.left),
            AcquireOutcome::Disabled(_) => self.add(name, DISABLED_RECHECK),
        }
    }

    fn add(&self, name: &LockName, left: Duration) {
        let now = SystemClock.now();
        let mut names = self.names.lock();
        if names.len() >= MAX_NAMES && !names.contains_key(name) {
            names.retain(|_, until| now < *until);
            if names.len() >= MAX_NAMES {
                names.clear();
            }
        }
        names.insert(name.clone(), now + left);
    }

    /// Forgets a name that may be free now, so that the next attempt at it is sent without a read.
    pub(crate) fn forget(&self, name: &LockName) {
        self.names.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_name_is_remembered_until_its_lease_ends() {
        let (refused, name) = (RecentRefusals::default(), LockName::new("job").unwrap());
        assert!(!refused.is_expected(&name));
        refused.add(&name, Duration::from_secs(3600));
        assert!(refused.is_expected(&name));
        refused.forget(&name);
        assert!(!refused.is_expected(&name));
        refused.add(&name, Duration::ZERO);
        assert!(!refused.is_expected(&name));
    }

    #[test]
    fn the_number_of_remembered_names_is_limited() {
        let refused = RecentRefusals::default();
        for number in 0..=MAX_NAMES {
            let name = LockName::new(number.to_string()).unwrap();
            refused.add(&name, Duration::from_secs(3600));
        }
        assert!(refused.names.lock().len() <= MAX_NAMES);
    }
}
