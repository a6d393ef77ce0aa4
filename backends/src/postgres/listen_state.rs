//! A watch remembers this state from one connection to the next.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// After this many connections in a row without a notification, the watch polls.
const MAX_SILENT_CONNECTIONS: u32 = 3;

/// A watch that polls for that reason tries to listen again after this long: the reason may pass.
const RELISTEN_INTERVAL: Duration = Duration::from_secs(600);

/// Decides whether the watch of a store listens or polls.
#[derive(Default)]
pub(super) struct ListenState(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// This counts the connections in a row on which no notification arrived.
    silent_connections: u32,
    /// A watch that polls tries to listen again at this moment, unless it polls because of a
    /// pooler.
    listen_again: Option<Instant>,
}

impl ListenState {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// Returns whether it is time to try to listen again.
    pub(super) fn is_due(&self) -> bool {
        self.inner().listen_again.is_some_and(|again| Instant::now() >= again)
    }

    /// Notes that notifications arrive.
    pub(super) fn heard(&self) {
        *self.inner() = Inner::default();
    }

    /// Notes a connection on which no notification arrived, and returns whether the watch polls
    /// from now on.
    pub(super) fn silent(&self) -> bool {
        let mut inner = self.inner();
        inner.silent_connections += 1;
        inner.silent_connections >= MAX_SILENT_CONNECTIONS
    }

    /// Makes the watch try to listen again after a while.
    pub(super) fn listen_later(&self) {
        self.inner().listen_again = Some(Instant::now() + RELISTEN_INTERVAL);
    }

    /// Makes the watch poll for good, since a pooler shares the server's sessions.
    pub(super) fn poll_for_good(&self) {
        self.inner().listen_again = None;
    }
}
