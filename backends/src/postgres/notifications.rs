//! The task that listens for all watches of a store, and the names to poll if it cannot listen.

use std::sync::Weak;

use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinHandle;

use super::polled_names::PolledNames;
use crate::{Hint, LockName};

/// The state that all watches of a store share.
#[derive(Default)]
pub(super) struct Notifications {
    pub(super) listening: Mutex<Weak<ListenTask>>,
    pub(super) polled_names: PolledNames,
}

/// A task that listens for as long as a stream needs it.
pub(super) struct ListenTask {
    /// New streams subscribe to this receiver; nothing reads from it.
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
