//! A store has as few connections of its own as the calls need, and closes them when they are idle.
//!
//! The connection that was used last is used first, so that the others become idle and are closed.
//! A connection is used only in the runtime that opened it: in another runtime it would hang while
//! the first is not driven, and fail once that is gone.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::idle_connections::{IdleConnection, Inner, LIMIT, OpenConnection, SLOW_ANSWER};
use super::reaper;
use super::server::Server;
use crate::{Clock, SystemClock};

/// The reaper has this long to replace an old connection; after that the connection is closed when it
/// is returned.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(2 * 60);

/// Opens, checks out and closes connections.
pub(crate) struct OwnConnections<DB: Server>(Arc<Inner<DB>>);

/// This is a connection that is in use.
pub(crate) struct OwnConnection<DB: Server> {
    live: OpenConnection<DB>,
    checked_out: CheckOutGuard<DB>,
    /// This is true if the connection was used before.
    pub(crate) is_reused: bool,
}

impl<DB: Server> OwnConnections<DB> {
    /// Creates a group of connections. While a connection of the group `preferred` is idle, calls
    /// use it, and all idle ones of this group are spare.
    pub(crate) fn new(
        pool: Pool<DB>,
        session: Arc<DB::Session>,
        most: usize,
        preferred: Option<&Self>,
    ) -> Self {
        let preferred = preferred.map(|other| Arc::clone(&other.0));
        Self(Arc::new(Inner::new(pool, session, most, preferred)))
    }

    /// Waits until a connection may be used.
    pub(crate) async fn acquire_permit(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        let permit = timeout(LIMIT, Arc::clone(&self.0.permits).acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut)
    }

    /// Returns the right to use a connection, if that is possible without waiting.
    pub(crate) fn try_acquire_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.permits).try_acquire_owned().ok()
    }

    /// Checks a connection out. One that was idle for at least `test_after` is tested first. If there is
    /// another way for the call, `retry` is false, and connecting is tried once.
    pub(crate) async fn check_out(
        &self,
        permit: OwnedSemaphorePermit,
        test_after: Duration,
        retry: bool,
    ) -> sqlx::Result<OwnConnection<DB>> {
        let inner = &self.0;
        if inner.pool.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let runtime = Handle::current().id();
        let (live, is_reused) = match inner.pop_idle(runtime, test_after) {
            Some((live, true)) => (live, true),
            Some((live, false)) => inner.tested_or_new(live, retry).await?,
            None => {
                inner.make_room();
                (inner.open(retry).await?, false)
            }
        };
        Ok(OwnConnection {
            live,
            checked_out: CheckOutGuard::new(Arc::clone(inner), permit),
            is_reused,
        })
    }

    /// Adds a connection of this runtime, which was opened elsewhere, to the idle ones.
    pub(crate) fn adopt(&self, connection: DB::Connection) {
        add_idle(&self.0, OpenConnection::new(connection));
    }

    /// Returns whether this runtime has an idle connection.
    pub(crate) fn has_idle(&self) -> bool {
        self.0.has_idle(Handle::current().id())
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        self.0.close_idle();
    }
}

fn add_idle<DB: Server>(owner: &Arc<Inner<DB>>, live: OpenConnection<DB>) {
    let mut state = owner.state();
    state.idle.push(IdleConnection { live, since: SystemClock.now() });
    // The reaper may have ended with its runtime.
    if state.reaper.as_ref().is_none_or(AbortHandle::is_finished)
        && let Ok(runtime) = Handle::try_current()
    {
        let reaper = runtime.spawn(reaper::run(Arc::downgrade(owner)));
        state.reaper = Some(reaper.abort_handle());
    }
}

/// Counts a connection as in use until it is returned or dropped.
struct CheckOutGuard<DB: Server> {
    owner: Arc<Inner<DB>>,
    number: u64,
    has_answered: bool,
    _permit: OwnedSemaphorePermit,
}

impl<DB: Server> CheckOutGuard<DB> {
    fn new(owner: Arc<Inner<DB>>, permit: OwnedSemaphorePermit) -> Self {
        let number = {
            let mut state = owner.state();
            state.last += 1;
            let number = state.last;
            state.checked_out.insert(number, SystemClock.now());
            number
        };
        Self { owner, number, has_answered: false, _permit: permit }
    }
}

impl<DB: Server> Drop for CheckOutGuard<DB> {
    fn drop(&mut self) {
        let mut state = self.owner.state();
        let since = state.checked_out.remove(&self.number);
        if let Some(slow) = since.map(|since| since + SLOW_ANSWER)
            && !self.has_answered
            && slow <= SystemClock.now()
        {
            state.test_if_unused_since = state.test_if_unused_since.max(Some(slow));
        }
    }
}

impl<DB: Server> OwnConnection<DB> {
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.live.connection
    }

    /// Returns the connection to the idle ones; no answer may be outstanding on it.
    pub(crate) fn return_to_pool(self) {
        let Self { live, mut checked_out, .. } = self;
        checked_out.has_answered = true;
        let owner = &checked_out.owner;
        // One that the reaper has not replaced in time is of another runtime or is always in use.
        if owner.pool.is_closed() || live.replace_at + REPLACE_TIMEOUT <= SystemClock.now() {
            return;
        }
        add_idle(owner, live);
    }

    /// Takes the connection out, which frees its permit.
    pub(crate) fn into_connection(self) -> DB::Connection {
        self.live.connection
    }
}
