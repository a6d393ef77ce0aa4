//! Remembers the names in whose queues this store has entries.
//!
//! When an entry leaves such a queue, the store reads which entries hold the lock now, so that only
//! those of its waiters ask that hold it. A change of any other queue costs no read.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Clock, LockName, Moment, SystemClock};

/// Below this number, names are not removed when the entries have expired.
const MIN_PRUNE: usize = 1024;

/// The names, with the time until which an entry may be live that this store made or renewed.
#[derive(Debug, Default)]
pub(super) struct OwnQueues(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    until: HashMap<LockName, Moment>,
    /// When there are this many names, those whose entries have expired are removed.
    prune_at: usize,
}

impl OwnQueues {
    /// Notes that an entry of the name is made or renewed for that time from now.
    pub(super) fn note(&self, name: &LockName, ttl: Duration) {
        let now = SystemClock.now();
        // A call may take a while until etcd decides.
        let until = now + ttl * 2;
        let mut names = self.0.lock();
        if let Some(known) = names.until.get_mut(name) {
            *known = (*known).max(until);
            return;
        }
        if names.until.len() >= names.prune_at {
            names.until.retain(|_, until| now < *until);
            names.prune_at = (names.until.len() * 2).max(MIN_PRUNE);
        }
        names.until.insert(name.clone(), until);
    }

    /// Returns whether an entry of this store may be in the queue of the name.
    pub(super) fn has_entry(&self, name: &LockName) -> bool {
        self.0.lock().until.get(name).is_some_and(|until| SystemClock.now() < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_remembered_until_its_entries_have_expired() {
        let (queues, name) = (OwnQueues::default(), LockName::new("job").unwrap());
        assert!(!queues.has_entry(&name));
        queues.note(&name, Duration::from_secs(3600));
        assert!(queues.has_entry(&name));
        queues.note(&name, Duration::ZERO);
        assert!(queues.has_entry(&name), "another entry is live");
        let other = LockName::new("other").unwrap();
        queues.note(&other, Duration::ZERO);
        assert!(!queues.has_entry(&other));
    }

    #[test]
    fn the_number_of_names_follows_that_of_the_live_entries() {
        let queues = OwnQueues::default();
        for number in 0..10 * MIN_PRUNE {
            queues.note(&LockName::new(number.to_string()).unwrap(), Duration::ZERO);
        }
        assert!(queues.0.lock().until.len() <= MIN_PRUNE);
    }
}
