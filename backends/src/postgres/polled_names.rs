//! Remembers the names that this process has asked about, for a watch that must poll.

use std::collections::{BTreeMap, HashMap};

use parking_lot::{Mutex, MutexGuard};

use crate::LockName;

/// At most this many names are polled. If there are more, those that were asked about longest ago
/// are left out; their waiters ask when the lease in force should have ended.
const MAX_NAMES: usize = 1000;

/// These names were asked about most recently; they are kept while a watch polls.
#[derive(Default)]
pub(super) struct PolledNames {
    state: Mutex<NamesByAge>,
}

#[derive(Default)]
struct NamesByAge {
    /// Notifications do not arrive, so the watch polls.
    polled: bool,
    /// The value says when each name was last asked about, as a number that grows.
    times: HashMap<LockName, u64>,
    /// These are the entries of `times`, by time.
    names: BTreeMap<u64, LockName>,
    next: u64,
}

impl PolledNames {
    fn state(&self) -> MutexGuard<'_, NamesByAge> {
        self.state.lock()
    }

    /// Remembers a name, if a watch polls.
    pub(super) fn add(&self, name: &LockName) {
        let mut state = self.state();
        if !state.polled {
            return;
        }
        let time = state.next;
        state.next += 1;
        if let Some(before) = state.times.insert(name.clone(), time) {
            state.names.remove(&before);
        }
        state.names.insert(time, name.clone());
        if state.names.len() > MAX_NAMES
            && let Some((_, oldest)) = state.names.pop_first()
        {
            state.times.remove(&oldest);
        }
    }

    /// Makes the store remember names from now on.
    pub(super) fn poll(&self) {
        self.state().polled = true;
    }

    /// Forgets the names, since notifications arrive.
    pub(super) fn stop(&self) {
        *self.state() = NamesByAge::default();
    }

    /// Returns whether the watch must poll.
    pub(super) fn is_polling(&self) -> bool {
        self.state().polled
    }

    pub(super) fn names(&self) -> Vec<LockName> {
        self.state().names.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_names_are_polled() {
        let names = PolledNames::default();
        let name = |number: usize| LockName::new(format!("job {number}")).unwrap();
        names.add(&name(0));
        assert!(!names.is_polling() && names.names().is_empty(), "nobody polls");
        names.poll();
        for number in 0..MAX_NAMES {
            names.add(&name(number));
        }
        names.add(&name(0));
        names.add(&name(MAX_NAMES));
        let kept = names.names();
        assert_eq!(kept.len(), MAX_NAMES);
        assert!(kept.contains(&name(0)) && !kept.contains(&name(1)));
        assert_eq!(names.state().times.len(), MAX_NAMES);
    }
}
