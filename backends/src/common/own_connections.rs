//! A store's own connections: as few as the calls need, closed when they are idle.
//!
//! The connection that was used last is used first, so that the others become idle and are closed.
//! A connection is used only in the runtime that opened it: in another runtime it would hang while
//! the first is not driven, and fail once that is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::{Connection, Pool};
use tokio::runtime::{self, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::server::Server;
use crate::{Clock, Moment, SystemClock};

/// A call waits this long for a permit, and then this long for a new connection.
const LIMIT: Duration = Duration::from_secs(5);

/// A test of a connection may take this long.
const TEST_LIMIT: Duration = Duration::from_secs(2);

/// An orderly close may take this long.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A connection is replaced at this age, so that changes of the address and password take effect.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The pauses between attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Opens, lends and closes connections.
pub(crate) struct OwnConnections<DB: Server>(Arc<Inner<DB>>);

struct Inner<DB: Server> {
    /// The pool's options say how to connect; a closed pool closes these connections too.
    pool: Pool<DB>,
    session: Arc<DB::Session>,
    turns: Arc<Semaphore>,
    most: usize,
    /// An idle connection is kept this long.
    keep: Duration,
    state: Mutex<State<DB>>,
}

struct State<DB: Server> {
    /// The connection used last comes last.
    idle: Vec<Idle<DB>>,
    /// Closes connections that are not used.
    closer: Option<AbortHandle>,
}

struct Idle<DB: Server> {
    live: Live<DB>,
    since: Moment,
}

struct Live<DB: Server> {
    connection: DB::Connection,
    opened: Moment,
    home: runtime::Id,
}

/// A connection that is in use.
pub(crate) struct OwnConnection<DB: Server> {
    live: Live<DB>,
    owner: Arc<Inner<DB>>,
    _turn: OwnedSemaphorePermit,
    /// This is true if the connection was used before.
    pub(crate) is_reused: bool,
}

impl<DB: Server> OwnConnections<DB> {
    pub(crate) fn new(
        pool: Pool<DB>,
        session: Arc<DB::Session>,
        most: usize,
        keep: Duration,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(most));
        let state = Mutex::new(State { idle: Vec::new(), closer: None });
        Self(Arc::new(Inner { pool, session, turns, most, keep, state }))
    }

    /// Lends a connection. One that was idle for at least `test_after` is tested first.
    pub(crate) async fn lend(&self, test_after: Duration) -> sqlx::Result<OwnConnection<DB>> {
        let inner = &self.0;
        let turn = timeout(LIMIT, Arc::clone(&inner.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(sqlx::Error::PoolTimedOut) };
        if inner.pool.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let lent = |live, is_reused| OwnConnection {
            live,
            owner: Arc::clone(inner),
            _turn: turn,
            is_reused,
        };
        let home = Handle::current().id();
        while let Some(Idle { mut live, since }) = inner.idle_of(home) {
            let idle_for = SystemClock.now().saturating_since(since);
            if idle_for < test_after
                || matches!(timeout(TEST_LIMIT, live.connection.ping()).await, Ok(Ok(())))
            {
                return Ok(lent(live, true));
            }
        }
        inner.make_room();
        let connection = timeout(LIMIT, inner.open()).await;
        let connection = connection.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        Ok(lent(Live { connection, opened: SystemClock.now(), home }, false))
    }

    /// Returns whether this runtime has an idle connection.
    pub(crate) fn has_idle(&self) -> bool {
        let home = Handle::current().id();
        self.0.state().idle.iter().any(|idle| idle.live.home == home)
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.0.state().idle);
        drop(idle);
    }
}

impl<DB: Server> Inner<DB> {
    fn state(&self) -> MutexGuard<'_, State<DB>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle_of(&self, home: runtime::Id) -> Option<Idle<DB>> {
        let mut state = self.state();
        let at = state.idle.iter().rposition(|idle| idle.live.home == home)?;
        Some(state.idle.remove(at))
    }

    /// Closes idle connections of other runtimes until the limit is kept.
    fn make_room(&self) {
        let in_use = self.most.saturating_sub(self.turns.available_permits());
        let mut state = self.state();
        let surplus = (state.idle.len() + in_use).saturating_sub(self.most);
        let surplus = surplus.min(state.idle.len());
        let surplus: Vec<_> = state.idle.drain(..surplus).collect();
        drop(state);
        drop(surplus);
    }

    /// Connects, and retries while the server starts or accepts no more connections.
    async fn open(&self) -> sqlx::Result<DB::Connection> {
        let mut pause = PAUSES.0;
        loop {
            let options = self.pool.connect_options();
            match DB::open(&options, &self.session).await {
                Err(error) if is_passing(&error) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                opened => return opened,
            }
        }
    }

    /// Takes out the connections that were idle for too long, and returns when the next one will
    /// be. Ends the closer if no connection is idle.
    fn expired(&self) -> (Vec<Live<DB>>, Option<Duration>) {
        let now = SystemClock.now();
        let idle_for = |idle: &Idle<DB>| now.saturating_since(idle.since);
        let mut state = self.state();
        let expired = state.idle.extract_if(.., |idle| idle_for(idle) >= self.keep);
        let expired = expired.map(|idle| idle.live).collect();
        let longest = state.idle.iter().map(idle_for).max();
        if longest.is_none() {
            state.closer = None;
        }
        (expired, longest.map(|longest| self.keep.saturating_sub(longest)))
    }
}

/// Returns whether the server is starting or accepts no more connections for now.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(cause) => cause.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
        _ => false,
    }
}

impl<DB: Server> OwnConnection<DB> {
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.live.connection
    }

    /// Returns the connection to the idle ones; no answer may be outstanding on it.
    pub(crate) fn give_back(self) {
        let Self { live, owner, _turn, .. } = self;
        let now = SystemClock.now();
        if owner.pool.is_closed() || now.saturating_since(live.opened) > MAX_AGE {
            return;
        }
        let mut state = owner.state();
        state.idle.push(Idle { live, since: now });
        // The closer may have ended with its runtime.
        if state.closer.as_ref().is_none_or(AbortHandle::is_finished)
            && let Ok(runtime) = Handle::try_current()
        {
            let closer = runtime.spawn(close_unused(Arc::downgrade(&owner)));
            state.closer = Some(closer.abort_handle());
        }
    }

    /// Takes the connection out, which frees its permit.
    pub(crate) fn into_connection(self) -> DB::Connection {
        self.live.connection
    }
}

/// Closes connections that are not used, until there are none.
async fn close_unused<DB: Server>(owner: Weak<Inner<DB>>) {
    let Some(mut closed) = owner.upgrade().map(|owner| owner.pool.close_event()) else { return };
    loop {
        let Some(inner) = owner.upgrade() else { return };
        let (expired, next) = inner.expired();
        drop(inner);
        close(expired).await;
        let Some(next) = next else { return };
        tokio::select! {
            () = sleep(next) => {}
            () = &mut closed => break,
        }
    }
    let Some(inner) = owner.upgrade() else { return };
    let idle = {
        let mut state = inner.state();
        state.closer = None;
        std::mem::take(&mut state.idle)
    };
    close(idle.into_iter().map(|idle| idle.live).collect()).await;
}

/// Closes connections in an orderly way, except those of other runtimes, where that could hang.
async fn close<DB: Server>(connections: Vec<Live<DB>>) {
    let home = Handle::current().id();
    for live in connections {
        if live.home == home {
            _ = timeout(CLOSE_LIMIT, live.connection.close()).await;
        }
    }
}
