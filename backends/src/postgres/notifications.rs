//! The listener that all watches of a store share, and the names that it polls without one.

use std::sync::Weak;

use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinHandle;

use super::polled_names::PolledNames;
use crate::{Hint, LockName};

/// Where the watches of a store meet.
#[derive(Default)]
pub(super) struct Notifications {
    pub(super) listening: Mutex<Weak<ListenTask>>,
    pub(super) polled_names: PolledNames,
}

/// A task that listens for as long as a stream needs it.
pub(super) struct ListenTask {
    /// Never read from, only subscribed to.
    pub(super) hints: Receiver<Hint>,
    pub(super) task: JoinHandle<()>,
}

impl Drop for ListenTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Notifications {
    /// Notes that this process asked about a name, and may wait for it.
    pub(super) fn note(&self, name: &LockName) {
        self.polled_names.add(name);
    }

    /// Returns the names that a watch which polls must read.
    pub(super) fn polled_names(&self) -> Vec<LockName> {
        self.polled_names.names()
    }
}
