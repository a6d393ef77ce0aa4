//! The state of a connection that calls share: which one the next call uses, how fast it answers,
//! and whether it is silent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared, ready};
use parking_lot::{Mutex, MutexGuard};

use super::liveness::{Activity, ReplacedConnections};
use super::topology::PrimaryConnection;
use crate::Result;

/// Resolves to a connection, for all calls that wait until it is open.
pub(super) type ConnectFuture = Shared<BoxFuture<'static, Result<OpenConnection>>>;

/// An open connection.
#[derive(Clone)]
pub(super) struct OpenConnection {
    pub(super) opened: PrimaryConnection,
    pub(super) generation: u64,
    pub(super) activity: Arc<Activity>,
}

/// The connection that the next call uses.
#[derive(Default)]
struct ConnectionSlot {
    generation: u64,
    opening: Option<ConnectFuture>,
    /// The latest generation so far: an earlier one may be in use again.
    latest: u64,
    /// This is set while the connection is silent although calls wait on it.
    silent: Option<Weak<Activity>>,
    /// The generation that was replaced last because it was silent.
    slow: Option<u64>,
    replaced: ReplacedConnections,
}

impl ConnectionSlot {
    fn discard(&mut self) {
        self.latest += 1;
        self.generation = self.latest;
        (self.opening, self.silent) = (None, None);
    }

    fn replace_silent(&mut self) {
        let Some(silent) = &self.silent else { return };
        if self.replaced.admit(silent) {
            self.slow = Some(self.generation);
            self.discard();
        }
    }

    /// Uses a silent connection again that has answered, unless its replacement is already open.
    fn restore(&mut self, connection: &OpenConnection) {
        let is_open = self.opening.as_ref().is_some_and(|opening| opening.peek().is_some());
        if self.slow == Some(connection.generation) && !is_open {
            (self.slow, self.silent) = (None, None);
            self.generation = connection.generation;
            self.opening = Some(ready(Ok(connection.clone())).boxed().shared());
            self.replaced.forget(&Arc::downgrade(&connection.activity));
        }
    }
}

/// The state that the calls on a shared connection change.
#[derive(Default)]
pub(super) struct ConnectionState {
    current: Mutex<ConnectionSlot>,
    /// The duration of the latest batch, in microseconds.
    latency: AtomicU64,
}

impl ConnectionState {
    /// Returns the duration of the latest batch.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        let micros = latency.as_micros().try_into().unwrap_or(u64::MAX);
        self.latency.store(micros, Ordering::Relaxed);
    }

    /// Returns the current connection and its generation, and opens it first if necessary.
    pub(super) fn opening(&self, open: impl FnOnce(u64) -> ConnectFuture) -> (u64, ConnectFuture) {
        let mut current = self.current();
        current.replace_silent();
        let generation = current.generation;
        (generation, current.opening.get_or_insert_with(|| open(generation)).clone())
    }

    /// Gives that connection to no further call. Calls that already wait on it keep it.
    pub(super) fn discard(&self, generation: u64) {
        let mut current = self.current();
        if current.slow == Some(generation) {
            current.slow = None;
        }
        if current.generation == generation {
            current.discard();
        }
    }

    /// Notes that a connection is silent. If it still is when the next call comes, it is replaced.
    pub(super) fn mark_silent(&self, connection: &OpenConnection) {
        let mut current = self.current();
        if current.generation == connection.generation {
            current.silent = Some(Arc::downgrade(&connection.activity));
        }
    }

    /// Notes that a connection has answered.
    pub(super) fn mark_answered(&self, connection: &OpenConnection) {
        connection.activity.answer();
        let mut current = self.current();
        if current.generation == connection.generation {
            current.silent = None;
        } else {
            current.restore(connection);
        }
    }

    fn current(&self) -> MutexGuard<'_, ConnectionSlot> {
        self.current.lock()
    }
}
