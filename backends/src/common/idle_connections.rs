//! The idle connections of a store, and how they are opened and tested.
//!
//! A network that loses all packets of a connection tells neither end. So while one connection does
//! not answer, others that were not used since are tested, and are replaced if they do not answer.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
const HEAD_START: Duration = Duration::from_millis(250);

/// A connection that has not answered for this long makes older idle ones suspect.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// A connection is replaced at about this age, so that changes of the address and password take
/// effect.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The pauses between attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What the owner of the connections and the task that closes them share.
pub(super) struct Inner<DB: Server> {
    /// The pool's options say how to connect; a closed pool closes these connections too.
    pub(super) pool: Pool<DB>,
    session: Arc<DB::Session>,
    pub(super) turns: Arc<Semaphore>,
    most: usize,
    /// The connection that was used last is kept this long when it is idle.
    pub(super) keep: Duration,
    state: Mutex<State<DB>>,
}

/// The idle connections, and those in use as far as they tell which idle ones to test.
pub(super) struct State<DB: Server> {
    /// The connection used last comes last.
    pub(super) idle: Vec<Idle<DB>>,
    /// Closes connections that are not used.
    pub(super) closer: Option<AbortHandle>,
    /// When each connection in use was lent.
    pub(super) lent: HashMap<u64, Moment>,
    pub(super) last: u64,
    /// Idle connections that were not used since then are tested first.
    pub(super) suspect: Option<Moment>,
}

/// A connection that is not in use.
pub(super) struct Idle<DB: Server> {
    pub(super) live: Live<DB>,
    pub(super) since: Moment,
}

/// An open connection.
pub(super) struct Live<DB: Server> {
    pub(super) connection: DB::Connection,
    /// From then on the connection is replaced when it is idle.
    pub(super) old_at: Moment,
    pub(super) home: runtime::Id,
}

impl<DB: Server> Inner<DB> {
    pub(super) fn new(
        pool: Pool<DB>,
        session: Arc<DB::Session>,
        most: usize,
        keep: Duration,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(most));
        let (idle, lent) = (Vec::new(), HashMap::new());
        let state = Mutex::new(State { idle, closer: None, lent, last: 0, suspect: None });
        Self { pool, session, turns, most, keep, state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<DB>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle);
    }

    /// Takes the connection that was used last, and tells whether it can be used without a test.
    pub(super) fn take_idle(
        &self,
        home: runtime::Id,
        test_after: Duration,
    ) -> Option<(Live<DB>, bool)> {
        let now = SystemClock.now();
        let mut state = self.state();
        let at = state.idle.iter().rposition(|idle| idle.live.home == home)?;
        let Idle { live, since } = state.idle.remove(at);
        let is_old = now.saturating_since(since) >= test_after;
        Some((live, !is_old && state.suspect(now).is_none_or(|suspect| since >= suspect)))
    }

    /// Returns the connection if it answers, and otherwise a new one. Where one connection is dead,
    /// the other idle ones are too, so they are closed untested.
    pub(super) async fn tested_or_new(
        &self,
        mut live: Live<DB>,
        patient: bool,
    ) -> sqlx::Result<(Live<DB>, bool)> {
        let new = {
            let ping = async { timeout(TEST_LIMIT, live.connection.ping()).await };
            let mut answers = pin!(async { matches!(ping.await, Ok(Ok(()))) });
            match timeout(HEAD_START, &mut answers).await {
                Ok(true) => None,
                Ok(false) => Some(self.open(patient).await),
                Err(_) => {
                    let mut open = pin!(self.open(patient));
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
        let in_use = self.most.saturating_sub(self.turns.available_permits());
        let mut state = self.state();
        let surplus = (state.idle.len() + in_use).saturating_sub(self.most);
        let surplus = surplus.min(state.idle.len());
        let surplus: Vec<_> = state.idle.drain(..surplus).collect();
        drop(state);
        drop(surplus);
    }

    /// Connects. If `patient`, it retries while the server starts or accepts no more connections,
    /// and when an attempt takes so long that the address may have changed.
    pub(super) async fn open(&self, patient: bool) -> sqlx::Result<Live<DB>> {
        let give_up = SystemClock.now() + FIRST_ATTEMPT + LIMIT;
        let (mut limit, mut pause) = (FIRST_ATTEMPT, PAUSES.0);
        loop {
            let options = self.pool.connect_options();
            let error = match timeout(limit, DB::open(&options, &self.session)).await {
                Ok(Ok(connection)) => return Ok(Live::new(connection)),
                Ok(Err(error)) if !is_passing(&error) => return Err(error),
                Ok(Err(error)) => error,
                // One short attempt shows only that the server is slow, not that it is gone.
                Err(_) => {
                    let kind = if patient { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
                    io::Error::new(kind, "connecting took too long").into()
                }
            };
            if !patient || SystemClock.now() + pause >= give_up {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            limit = give_up.saturating_since(SystemClock.now());
        }
    }
}

impl<DB: Server> State<DB> {
    /// Returns the moment since when a connection must have been used to be trusted, while another
    /// one does not answer.
    fn suspect(&self, now: Moment) -> Option<Moment> {
        let slow = self.lent.values().map(|since| *since + SLOW).filter(|slow| *slow <= now);
        slow.chain(self.suspect).max()
    }
}

impl<DB: Server> Live<DB> {
    fn new(connection: DB::Connection) -> Self {
        // The connections of many processes are not replaced at the same time.
        let age = MAX_AGE.mul_f64(0.9 + fastrand::f64() / 5.0);
        Self { connection, old_at: SystemClock.now() + age, home: Handle::current().id() }
    }
}

/// Returns whether the server is starting or accepts no more connections for now.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(cause) => cause.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
        _ => false,
    }
}
