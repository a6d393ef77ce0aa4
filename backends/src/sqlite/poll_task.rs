//! The polling task that all watches of a store share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::{Receiver, Sender, WeakSender};

use crate::Hint;

/// The one polling task of a store, while it has watches.
#[derive(Default)]
pub(super) struct PollTask {
    hints: Mutex<Option<WeakSender<Hint>>>,
    /// The number of times that the database was read.
    #[cfg(test)]
    pub(super) reads: std::sync::atomic::AtomicUsize,
}

impl PollTask {
    /// Returns the sender of the running task, if there is one.
    pub(super) fn slot(&self) -> MutexGuard<'_, Option<WeakSender<Hint>>> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the polling task, if it is running.
    pub(super) fn join(&self) -> Option<Receiver<Hint>> {
        self.slot().as_ref()?.upgrade().map(|hints| hints.subscribe())
    }

    /// Returns whether the polling task may end because it has no watches left. This is decided
    /// under the lock, so that no watch joins a task that ends.
    pub(super) fn ends(&self, hints: &Sender<Hint>) -> bool {
        let mut slot = self.slot();
        let ends = hints.receiver_count() == 0;
        if ends {
            *slot = None;
        }
        ends
    }
}
