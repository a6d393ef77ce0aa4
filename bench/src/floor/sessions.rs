//! A fixed number of warm connections, which are neither tested nor swapped between two statements.

use std::ops::{Deref, DerefMut};

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

/// These are the connections of a floor.
pub(super) struct Sessions<C> {
    sessions: Vec<Mutex<C>>,
    permits: Semaphore,
}

/// One task has this connection for itself. It is returned before the permit, which the next task
/// waits for.
pub(super) struct Session<'a, C> {
    connection: MutexGuard<'a, C>,
    _permit: SemaphorePermit<'a>,
}

impl<C> Sessions<C> {
    pub(super) fn new(connections: Vec<C>) -> Self {
        let permits = Semaphore::new(connections.len());
        Self { sessions: connections.into_iter().map(Mutex::new).collect(), permits }
    }

    /// Waits for a free connection. A single task always gets the first one.
    pub(super) async fn take(&self) -> Result<Session<'_, C>> {
        let permit = self.permits.acquire().await?;
        loop {
            // As many tasks as there are connections have a permit, so one is free; it is missed
            // only if two tasks change places in between.
            let mut free = self.sessions.iter().filter_map(|session| session.try_lock().ok());
            if let Some(connection) = free.next() {
                return Ok(Session { connection, _permit: permit });
            }
            drop(free);
            tokio::task::yield_now().await;
        }
    }
}

impl<C> Deref for Session<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C> DerefMut for Session<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}
