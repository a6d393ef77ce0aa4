//! A store opens these connections for itself and does not use them at the moment.
//!
//! A network that loses all packets of a connection tells neither end. So while one connection does
//! not answer, others that were not used since are tested, and are replaced if they do not answer.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use sqlx::{Connection, Pool};
use tokio::runtime::{self, Handle};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::server::Server;
use crate::{Clock, Moment, SystemClock};

/// A call waits this long for a permit, and then this long for a new connection, beside the first
/// attempt to connect.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// The first attempt to connect may take this long; the next one resolves the address again.
const FIRST_ATTEMPT: Duration = Duration::from_secs(2);

/// A test of a connection may take this long.
const TEST_LIMIT: Duration = Duration::from_secs(2);

/// If a test takes longer than this, a new connection is opened beside it.
const TEST_HEAD_START: Duration = Duration::from_millis(250);

/// A connection that has not answered for this long makes older idle ones suspect.
pub(super) const SLOW_ANSWER: Duration = Duration::from_secs(1);

/// A connection is replaced at about this age, so that changes of the address and password take
/// effect.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// Attempts to connect have these pauses, at first and at most.
const CONNECT_BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The owner of the connections and the task that closes them share this.
pub(super) struct Inner<DB: Server> {
    /// The pool's options say how to connect; a closed pool closes these connections too.
    pub(super) pool: Pool<DB>,
    session: Arc<DB::Session>,
    pub(super) permits: Arc<Semaphore>,
    most: usize,
    /// Calls use an idle connection of this group first.
    preferred: Option<Arc<Self>>,
    state: Mutex<PoolState<DB>>,
}

/// This has the idle connections, and when those in use were checked out.
pub(super) struct PoolState<DB: Server> {
    /// The connection used last comes last.
    pub(super) idle: Vec<IdleConnection<DB>>,
    /// Closes connections that are not used.
    pub(super) reaper: Option<AbortHandle>,
    /// Each connection in use was checked out at its moment.
    pub(super) checked_out: HashMap<u64, Moment>,
    pub(super) last: u64,
    /// Idle connections that were not used since then are tested first.
    pub(super) test_if_unused_since: Option<Moment>,
}

/// This is a connection that is not in use.
pub(super) struct IdleConnection<DB: Server> {
    pub(super) live: OpenConnection<DB>,
    pub(super) since: Moment,
}

/// This is an open connection.
pub(super) struct OpenConnection<DB: Server> {
    pub(super) connection: DB::Connection,
    /// From then on the connection is replaced when it is idle.
    pub(super) replace_at: Moment,
    pub(super) runtime: runtime::Id,
}

impl<DB: Server> Inner<DB> {
    pub(super) fn new(
        pool: Pool<DB>,
        session: Arc<DB::Session>,
        most: usize,
        preferred: Option<Arc<Self>>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(most));
        let (idle, checked_out) = (Vec::new(), HashMap::new());
        let state = Mutex::new(PoolState {
            idle,
            reaper: None,
            checked_out,
            last: 0,
            test_if_unused_since: None,
        });
        Self { pool, session, permits, most, preferred, state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, PoolState<DB>> {
        self.state.lock()
    }

    /// Returns whether this runtime has an idle connection.
    pub(super) fn has_idle(&self, runtime: runtime::Id) -> bool {
        self.state().idle.iter().any(|idle| idle.live.runtime == runtime)
    }

    /// Returns whether calls of this runtime use an idle connection of the preferred group.
    pub(super) fn has_preferred_idle(&self, runtime: runtime::Id) -> bool {
        self.preferred.as_ref().is_some_and(|other| other.has_idle(runtime))
    }

    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle);
    }

    /// Takes the connection that was used last, and tells whether it can be used without a test.
    pub(super) fn pop_idle(
        &self,
        runtime: runtime::Id,
        test_after: Duration,
    ) -> Option<(OpenConnection<DB>, bool)> {
        let now = SystemClock.now();
        let mut state = self.state();
        let at = state.idle.iter().rposition(|idle| idle.live.runtime == runtime)?;
        let IdleConnection { live, since } = state.idle.remove(at);
        let is_old = now.saturating_since(since) >= test_after;
        Some((live, !is_old && state.test_if_unused_since(now).is_none_or(|limit| since >= limit)))
    }

    /// Returns the connection if it answers, and otherwise a new one. Where one connection is dead,
    /// the other idle ones are too, so they are closed untested.
    pub(super) async fn tested_or_new(
        &self,
        mut live: OpenConnection<DB>,
        retry: bool,
    ) -> sqlx::Result<(OpenConnection<DB>, bool)> {
        let new = {
            let ping = async { timeout(TEST_LIMIT, live.connection.ping()).await };
            let mut answers = pin!(async { matches!(ping.await, Ok(Ok(()))) });
            match timeout(TEST_HEAD_START, &mut answers).await {
                Ok(true) => None,
                Ok(false) => Some(self.open(retry).await),
                Err(_) => {
                    let mut open = pin!(self.open(retry));
                    tokio::select! {
                        answers = &mut answers => {
                            if answers { None } else { Some(open.await) }
                        }
                        opened = &mut open => match opened {
                            Err(_) if (&mut answers).await => None,
                            opened => Some(opened),
                        },
                    }
                }
            }
        };
        match new {
            None => Ok((live, true)),
            Some(opened) => {
                self.close_idle();
                opened.map(|live| (live, false))
            }
        }
    }

    /// Closes idle connections of other runtimes until the limit is kept.
    pub(super) fn make_room(&self) {
        let in_use = self.most.saturating_sub(self.permits.available_permits());
        let mut state = self.state();
        let surplus = (state.idle.len() + in_use).saturating_sub(self.most);
        let surplus = surplus.min(state.idle.len());
        let surplus: Vec<_> = state.idle.drain(..surplus).collect();
        drop(state);
        drop(surplus);
    }

    /// Connects. If `retry` is true, it tries again while the server starts or accepts no more connections,
    /// and when an attempt takes so long that the address may have changed.
    pub(super) async fn open(&self, retry: bool) -> sqlx::Result<OpenConnection<DB>> {
        let give_up = SystemClock.now() + FIRST_ATTEMPT + LIMIT;
        let (mut limit, mut pause) = (FIRST_ATTEMPT, CONNECT_BACKOFF.0);
        loop {
            let options = self.pool.connect_options();
            let error = match timeout(limit, DB::open(&options, &self.session)).await {
                Ok(Ok(connection)) => return Ok(OpenConnection::new(connection)),
                Ok(Err(error)) if !is_transient(&error) => return Err(error),
                Ok(Err(error)) => error,
                // One short attempt shows only that the server is slow, not that it is gone.
                Err(_) => {
                    let kind = if retry { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
                    io::Error::new(kind, "connecting took too long").into()
                }
            };
            if !retry || SystemClock.now() + pause >= give_up {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(CONNECT_BACKOFF.1);
            limit = give_up.saturating_since(SystemClock.now());
        }
    }
}

impl<DB: Server> PoolState<DB> {
    /// Returns the moment since when a connection must have been used to be trusted, while another
    /// one does not answer.
    fn test_if_unused_since(&self, now: Moment) -> Option<Moment> {
        let slow =
            self.checked_out.values().map(|since| *since + SLOW_ANSWER).filter(|slow| *slow <= now);
        slow.chain(self.test_if_unused_since).max()
    }
}

impl<DB: Server> OpenConnection<DB> {
    pub(super) fn new(connection: DB::Connection) -> Self {
        // The connections of many processes are not replaced at the same time.
        let age = MAX_AGE.mul_f64(0.9 + fastrand::f64() / 5.0);
        Self { connection, replace_at: SystemClock.now() + age, runtime: Handle::current().id() }
    }
}

/// Returns whether the server is starting or accepts no more connections for now.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(cause) => cause.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
        _ => false,
    }
}
