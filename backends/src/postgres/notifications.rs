//! The listener that all watches of a store share, and the names that it polls without one.

use std::sync::Weak;

use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinHandle;

use super::asked::Asked;
use crate::{Hint, LockName};

/// Where the watches of a store meet.
#[derive(Default)]
pub(super) struct Hub {
    pub(super) listening: Mutex<Weak<Listening>>,
    pub(super) asked: Asked,
}

/// A task that listens for as long as a stream needs it.
pub(super) struct Listening {
    /// Never read from, only subscribed to.
    pub(super) hints: Receiver<Hint>,
    pub(super) task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hub {
    /// Notes that this process asked about a name, and may wait for it.
    pub(super) fn asked(&self, name: &LockName) {
        self.asked.note(name);
    }

    /// Returns the names that a watch which polls must read.
    pub(super) fn asked_names(&self) -> Vec<LockName> {
        self.asked.names()
    }
}
