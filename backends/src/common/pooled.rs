//! Runs one call on a connection that is returned clean or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use tokio::time::timeout;

use super::abandoned::{AbandonedCalls, Admission};

use super::limit::CALL_LIMIT;
use super::own_connections::{OwnConnection, OwnConnections};
use super::server::{Health, Purpose, Server};
use crate::{Clock, SystemClock};

/// The most connections that a store opens for its calls, beside those for heartbeats and hints.
pub(crate) const MOST_CALLS: u32 = 4;

/// The most connections for heartbeats: the second is used while the first has no answer.
const MOST_HEARTBEATS: usize = 2;

/// Once this many calls, or heartbeats, are abandoned, further ones are tried one at a time.
const MOST_ABANDONED: usize = 3;
const MOST_ABANDONED_HEARTBEATS: usize = 2;

/// An idle connection for calls is kept this long.
const KEEP: Duration = Duration::from_secs(10);

/// The connection for heartbeats is kept this long when there are no leases to renew.
const KEEP_HEARTBEATS: Duration = Duration::from_secs(60);

/// A connection that was idle for so long is tested before a call that may not be repeated.
const TEST_AFTER: Duration = Duration::from_secs(2);

/// A call is repeated only within this time; after a longer wait it fails.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);

/// A call tries at most this many dead connections of an application's pool.
const MOST_TRIES: u32 = 10;

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// There was no connection to ask on: nothing was sent.
    NotSent(sqlx::Error),
    /// This many earlier calls were abandoned and are unanswered, so nothing was sent.
    TooManyAbandoned(usize),
    /// The server refused, or the connection failed on the way.
    Failed(sqlx::Error),
    /// Nothing came back within [`CALL_LIMIT`].
    Unanswered,
}

/// The connections of a store: those for calls, and those for heartbeats, which wait for no call.
pub(crate) struct Connections<DB: Server> {
    pool: Pool<DB>,
    /// The store's own connections for calls; if `None`, calls use the application's pool.
    calls: Option<OwnConnections<DB>>,
    heartbeats: OwnConnections<DB>,
    abandoned_calls: AbandonedCalls,
    abandoned_heartbeats: AbandonedCalls,
    /// This is true if heartbeats must use the application's pool, which prepares its sessions.
    needs_pool: AtomicBool,
}

impl<DB: Server> Connections<DB> {
    /// Creates the connections of a store that opens its own, with the options of the pool.
    pub(crate) fn own(pool: Pool<DB>, session: DB::Session) -> Self {
        Self::new(pool, session, true)
    }

    /// Creates the connections of a store on the application's pool.
    pub(crate) fn of_application(pool: Pool<DB>, session: DB::Session) -> Self {
        Self::new(pool, session, false)
    }

    fn new(pool: Pool<DB>, session: DB::Session, own: bool) -> Self {
        let session = Arc::new(session);
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let calls =
            own.then(|| OwnConnections::new(pool.clone(), Arc::clone(&session), most, KEEP));
        Self {
            heartbeats: OwnConnections::new(
                pool.clone(),
                session,
                MOST_HEARTBEATS,
                KEEP_HEARTBEATS,
            ),
            pool,
            calls,
            abandoned_calls: AbandonedCalls::new(MOST_ABANDONED),
            abandoned_heartbeats: AbandonedCalls::new(MOST_ABANDONED_HEARTBEATS),
            needs_pool: AtomicBool::new(false),
        }
    }

    /// Runs the future that `work` returns on a connection.
    ///
    /// When a call is dropped, times out or fails midway, its connection is not reused, because an
    /// answer is still outstanding on it. The next call would wait for that answer as long as the
    /// server hangs or the network drops packets.
    ///
    /// If a connection that was used before turns out to be dead, the call runs again on another
    /// one, provided that nothing was done or that doing it twice does no harm.
    pub(crate) async fn call<T, W>(
        &self,
        purpose: Purpose,
        work: impl Fn() -> W,
    ) -> Result<T, CallError>
    where
        W: AsyncFnOnce(&mut DB::Connection) -> sqlx::Result<T>,
    {
        let give_up = SystemClock.now() + REPEAT_LIMIT;
        let mut tries_left = None;
        let mut doubt = Doubt(None);
        loop {
            let mut in_use =
                self.connection_for(purpose).await.map_err(|error| doubt.keep::<DB>(error))?;
            let Some(connection) = in_use.connection() else {
                return Err(doubt.keep::<DB>(CallError::NotSent(sqlx::Error::PoolClosed)));
            };
            let error = match timeout(CALL_LIMIT, work()(connection)).await {
                Ok(Ok(value)) => {
                    in_use.give_back();
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(CallError::Unanswered),
            };
            let from_server = error.as_database_error().is_some();
            let health = if from_server { DB::health(&error) } else { Health::Unusable };
            let (is_reused, is_own) = (in_use.is_reused(), in_use.is_own());
            if from_server && DB::lacks_access(&error) && self.has_to_use_pool(&in_use) {
                in_use.give_back();
                tracing::warn!(
                    %error,
                    "heartbeats use the application's pool, because a connection that is opened \
                     by its options may not use the table of locks"
                );
                continue;
            }
            match health {
                Health::Usable => in_use.give_back(),
                Health::Unusable => in_use.close(),
                Health::AllUnusable => {
                    in_use.close();
                    self.close_idle();
                }
            }
            // If one connection broke, so did the other idle ones, as after a restart or an idle
            // timeout.
            if !from_server && is_own {
                self.close_own();
            }
            // Each of the pool's other connections may be dead too; after those the pool opens a
            // new one.
            let most = if is_own { 1 } else { (self.pool.size() + 1).min(MOST_TRIES) };
            let tries_left = tries_left.get_or_insert(most);
            let harmless = purpose.is_repeatable() || !DB::leaves_doubt(&error);
            let in_time = SystemClock.now() < give_up;
            if health == Health::Usable || !is_reused || !harmless || !in_time || *tries_left == 0 {
                return Err(doubt.keep::<DB>(CallError::Failed(error)));
            }
            *tries_left -= 1;
            if DB::leaves_doubt(&error) {
                doubt = Doubt(Some(error));
            }
        }
    }

    /// Returns a connection for the purpose.
    async fn connection_for(&self, purpose: Purpose) -> Result<InUse<DB>, CallError> {
        let test_after = if purpose.is_repeatable() { Duration::MAX } else { TEST_AFTER };
        let beats =
            purpose.is_heartbeat() || purpose == Purpose::Presence && self.heartbeats.has_idle();
        if beats && !self.needs_pool.load(Ordering::Relaxed) {
            let admission = admit(&self.abandoned_heartbeats).await?;
            match self.heartbeats.lend(test_after).await {
                Ok(lent) => return Ok(InUse::new(Source::Heartbeats(lent), admission)),
                // The server may accept no more connections.
                Err(error) if self.has_idle() => {
                    tracing::debug!(%error, "cannot open a separate connection for heartbeats");
                }
                Err(error) => return Err(CallError::NotSent(error)),
            }
        }
        let admission = admit(&self.abandoned_calls).await?;
        let source = match &self.calls {
            Some(calls) => calls.lend(test_after).await.map(Source::Calls),
            None => match timeout(CALL_LIMIT, self.pool.acquire()).await {
                Ok(acquired) => acquired.map(Source::Pool),
                Err(_) => Err(sqlx::Error::PoolTimedOut),
            },
        };
        Ok(InUse::new(source.map_err(CallError::NotSent)?, admission))
    }

    /// Returns whether a connection for calls is available.
    fn has_idle(&self) -> bool {
        match &self.calls {
            Some(calls) => calls.has_idle(),
            None => self.pool.size() > 0,
        }
    }

    /// Makes heartbeats use the application's pool, if this connection was opened in place of one
    /// of the pool's. Returns whether that is a change.
    fn has_to_use_pool(&self, in_use: &InUse<DB>) -> bool {
        let on_behalf =
            self.calls.is_none() && matches!(in_use.source, Some(Source::Heartbeats(_)));
        on_behalf && !self.needs_pool.swap(true, Ordering::Relaxed)
    }

    fn close_own(&self) {
        self.heartbeats.close_idle();
        if let Some(calls) = &self.calls {
            calls.close_idle();
        }
    }

    fn close_idle(&self) {
        self.close_own();
        if self.calls.is_none() {
            for _ in 0..self.pool.num_idle() {
                let Some(connection) = self.pool.try_acquire() else { break };
                drop(connection.detach());
            }
        }
    }
}

/// The error of an earlier try that may have taken effect.
struct Doubt(Option<sqlx::Error>);

impl Doubt {
    /// Returns the error of the later try. If that try certainly had no effect, returns the earlier
    /// error instead, since the call as a whole may have taken effect.
    fn keep<DB: Server>(&mut self, error: CallError) -> CallError {
        let certain = match &error {
            CallError::NotSent(_) | CallError::TooManyAbandoned(_) => true,
            CallError::Failed(error) => !DB::leaves_doubt(error),
            CallError::Unanswered => false,
        };
        match self.0.take() {
            Some(doubt) if certain => CallError::Failed(doubt),
            _ => error,
        }
    }
}

async fn admit(abandoned: &AbandonedCalls) -> Result<Admission, CallError> {
    abandoned.admit().await.map_err(CallError::TooManyAbandoned)
}

enum Source<DB: Server> {
    Heartbeats(OwnConnection<DB>),
    Calls(OwnConnection<DB>),
    Pool(PoolConnection<DB>),
}

/// A connection in use. If it is dropped midway, it waits for the answer in the background and is
/// then closed.
struct InUse<DB: Server> {
    source: Option<Source<DB>>,
    admission: Option<Admission>,
}

impl<DB: Server> InUse<DB> {
    fn new(source: Source<DB>, admission: Admission) -> Self {
        Self { source: Some(source), admission: Some(admission) }
    }

    fn connection(&mut self) -> Option<&mut DB::Connection> {
        Some(match self.source.as_mut()? {
            Source::Heartbeats(lent) | Source::Calls(lent) => lent.connection(),
            Source::Pool(connection) => connection,
        })
    }

    /// Returns whether the connection was used before, as far as is known.
    fn is_reused(&self) -> bool {
        match &self.source {
            Some(Source::Heartbeats(lent) | Source::Calls(lent)) => lent.is_reused,
            _ => true,
        }
    }

    fn is_own(&self) -> bool {
        !matches!(self.source, Some(Source::Pool(_)))
    }

    fn give_back(&mut self) {
        match self.source.take() {
            Some(Source::Heartbeats(lent) | Source::Calls(lent)) => lent.give_back(),
            Some(Source::Pool(connection)) => drop(connection),
            None => {}
        }
    }

    /// Closes the connection. Skips the orderly close, which could hang.
    fn close(&mut self) {
        drop(self.detach());
    }

    fn detach(&mut self) -> Option<DB::Connection> {
        Some(match self.source.take()? {
            Source::Heartbeats(lent) | Source::Calls(lent) => lent.into_connection(),
            Source::Pool(connection) => connection.detach(),
        })
    }
}

impl<DB: Server> Drop for InUse<DB> {
    fn drop(&mut self) {
        if let (Some(connection), Some(admission)) = (self.detach(), self.admission.take()) {
            admission.abandon::<DB>(connection);
        }
    }
}
