//! A floor keeps a fixed number of warm connections, and does not test them before use.

use std::ops::{Deref, DerefMut};

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

/// These are the connections of a floor.
pub(super) struct Connections<C> {
    connections: Vec<Mutex<C>>,
    permits: Semaphore,
}

/// One task uses this connection alone. The connection is returned before the permit, for which the
/// next task waits.
pub(super) struct AcquiredConnection<'a, C> {
    connection: MutexGuard<'a, C>,
    _permit: SemaphorePermit<'a>,
}

impl<C> Connections<C> {
    pub(super) fn new(connections: Vec<C>) -> Self {
        let permits = Semaphore::new(connections.len());
        Self { connections: connections.into_iter().map(Mutex::new).collect(), permits }
    }

    /// Waits for a free connection. A single task always gets the first one.
    pub(super) async fn acquire(&self) -> Result<AcquiredConnection<'_, C>> {
        let permit = self.permits.acquire().await?;
        loop {
            // There are as many permits as connections, so one is free. This misses it only if
            // another task acquires and returns connections during the search.
            let mut free = self.connections.iter().filter_map(|it| it.try_lock().ok());
            if let Some(connection) = free.next() {
                return Ok(AcquiredConnection { connection, _permit: permit });
            }
            drop(free);
            tokio::task::yield_now().await;
        }
    }
}

impl<C> Deref for AcquiredConnection<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C> DerefMut for AcquiredConnection<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}
