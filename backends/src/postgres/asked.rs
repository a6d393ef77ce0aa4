//! Remembers the names that this process has asked about, for a watch that must poll.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::LockName;

/// At most this many names are polled. If there are more, those that were asked about longest ago
/// are left out; their waiters poll at their own interval.
const MOST: usize = 1000;

/// The names that were asked about most recently, kept while a watch polls.
#[derive(Clone, Default)]
pub(super) struct Asked {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Notifications do not arrive, so the watch polls.
    polled: bool,
    /// When each name was last asked about, as a number that grows.
    times: HashMap<LockName, u64>,
    /// The same entries, by time.
    names: BTreeMap<u64, LockName>,
    next: u64,
}

impl Asked {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a name, if a watch polls.
    pub(super) fn note(&self, name: &LockName) {
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
        if state.names.len() > MOST
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
        *self.state() = State::default();
    }

    /// Returns whether the watch must poll.
    pub(super) fn polled(&self) -> bool {
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
    fn the_names_asked_about_last_are_kept_and_no_more_than_the_most() {
        let asked = Asked::default();
        let name = |number: usize| LockName::new(format!("job {number}")).unwrap();
        asked.note(&name(0));
        assert!(!asked.polled() && asked.names().is_empty(), "nobody polls");
        asked.poll();
        for number in 0..MOST {
            asked.note(&name(number));
        }
        asked.note(&name(0));
        asked.note(&name(MOST));
        let names = asked.names();
        assert_eq!(names.len(), MOST);
        assert!(names.contains(&name(0)) && !names.contains(&name(1)));
        assert_eq!(asked.state().times.len(), MOST);
    }
}
