//! Runs one call on a connection that is returned clean or not at all.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Pool};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::abandoned::AbandonedCalls;
use super::call_error::CallError;
use super::checked_out::CheckedOut;
use super::connection_permits::ConnectionPermits;
use super::own_connections::OwnConnections;
use super::pool_fallback::PoolFallback;
use super::possible_effect::PossibleEffect;
use super::server::{Health, Server};
use crate::common::timeout::CALL_LIMIT;
use crate::sql::error::{self, may_have_committed};
use crate::sql::purpose::Purpose;
use crate::{Clock, SystemClock};

/// A store opens at most this many connections for its calls, beside those for heartbeats and
/// hints.
pub(super) const MAX_CALL_CONNECTIONS: u32 = 4;

/// A store opens at most this many connections for heartbeats. As many renewals of a lease as the
/// engine has under way do not wait for each other, nor for releases; more than one connection is
/// opened only for that.
const MAX_HEARTBEAT_CONNECTIONS: usize = 6;

/// Once this many calls, or heartbeats, are abandoned, further ones are tried one at a time.
const MAX_ABANDONED: usize = 3;
const MAX_ABANDONED_HEARTBEATS: usize = 4;

/// A call is repeated only within this time; after a longer wait it fails.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);

/// A statement that the server rolled back for the sake of another is repeated for this long.
pub(crate) const CONFLICT_LIMIT: Duration = Duration::from_secs(5);

/// A call tries at most this many dead connections of the store's own, one of each group.
const MAX_DEAD_OWN_CONNECTIONS: u32 = 2;

/// A call tries at most this many dead connections of an application's pool.
const MAX_DEAD_CONNECTIONS: u32 = 10;

/// A store has these connections: those for calls, and those for heartbeats, which wait for no
/// call.
pub(crate) struct Connections<DB: Server> {
    pub(super) permits: ConnectionPermits<DB>,
    pub(super) abandoned_calls: AbandonedCalls,
    pub(super) abandoned_heartbeats: AbandonedCalls,
    pub(super) fallback: PoolFallback,
    /// Changes when a call found that all connections to the server must be closed.
    close_all: watch::Sender<()>,
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
        let own_connections = |most, preferred: Option<&OwnConnections<DB>>| {
            OwnConnections::new(pool.clone(), Arc::clone(&session), most, preferred)
        };
        let heartbeats = own_connections(MAX_HEARTBEAT_CONNECTIONS, None);
        let calls = own.then(|| own_connections(most, Some(&heartbeats)));
        Self {
            permits: ConnectionPermits::new(pool, calls, heartbeats),
            abandoned_calls: AbandonedCalls::new(MAX_ABANDONED),
            abandoned_heartbeats: AbandonedCalls::new(MAX_ABANDONED_HEARTBEATS),
            fallback: PoolFallback::default(),
            close_all: watch::Sender::new(()),
        }
    }

    /// Uses the connection that opened the store for the first call too. It must have the session's
    /// settings.
    pub(crate) fn adopt(&self, connection: DB::Connection) {
        self.permits.adopt(connection);
    }

    /// Returns a receiver that changes when all connections to the server must be closed.
    pub(crate) fn close_all_signal(&self) -> watch::Receiver<()> {
        self.close_all.subscribe()
    }

    /// Runs the future that `work` returns on a connection.
    ///
    /// When a call is dropped, times out or fails midway, its connection is not reused, because an
    /// answer is still outstanding on it. The next call would wait for that answer as long as the
    /// server hangs or the network drops packets.
    ///
    /// If a connection that was used before turns out to be dead, the call runs again on another
    /// one, provided that nothing was done or that doing it twice does no harm. `did_work` tells
    /// from a reply whether its statement did something.
    async fn call<T, W>(
        &self,
        purpose: Purpose,
        work: impl Fn() -> W,
        did_work: fn(&T) -> bool,
    ) -> Result<T, CallError>
    where
        W: AsyncFnOnce(&mut DB::Connection) -> sqlx::Result<T>,
    {
        let give_up = SystemClock.now() + REPEAT_LIMIT;
        // The application's connections may be dead as well as the store's own.
        let (mut tries_on_own, mut tries_on_pool) = (None, None);
        let mut doubt = PossibleEffect(None);
        let mut unsuitable = None;
        loop {
            let class = self.class_for(purpose, unsuitable.is_some());
            let checked_out = self.connection_for(class, purpose).await;
            let mut checked_out = checked_out.map_err(|error| doubt.or_earlier::<DB>(error))?;
            let Some(connection) = checked_out.connection() else {
                return Err(doubt.or_earlier::<DB>(CallError::NotSent(sqlx::Error::PoolClosed)));
            };
            let call = async {
                match work()(&mut *connection).await {
                    Err(error) if DB::is_stale_statement(&error) => {
                        connection.clear_cached_statements().await?;
                        work()(&mut *connection).await
                    }
                    done => done,
                }
            };
            let error = match timeout(CALL_LIMIT, call).await {
                Ok(Ok(value)) => {
                    checked_out.return_to_pool();
                    if let Some(error) = unsuitable {
                        self.fallback.record_success(&error);
                    }
                    let found_nothing = purpose.repeat_may_find_nothing() && !did_work(&value);
                    return match doubt.0.take() {
                        Some(error) if found_nothing => Err(CallError::Failed(error)),
                        _ => Ok(value),
                    };
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(CallError::Unanswered),
            };
            let from_server = error.as_database_error().is_some();
            let health = if from_server { DB::health(&error) } else { Health::Unusable };
            let (is_reused, is_own) = (checked_out.is_reused(), checked_out.is_own());
            if unsuitable.is_none() && from_server && self.is_unsuitable(&checked_out, &error) {
                checked_out.close();
                unsuitable = Some(error);
                continue;
            }
            match health {
                Health::Usable => checked_out.return_to_pool(),
                Health::Unusable => checked_out.close(),
                Health::AllUnusable => {
                    checked_out.close();
                    self.permits.close_idle();
                    self.close_all.send_replace(());
                }
            }
            // If one connection broke, so did the other idle ones, as after a restart or an idle
            // timeout.
            if !from_server && is_own {
                self.permits.close_own();
            }
            // Each of the pool's other connections may be dead too; after those the pool opens a
            // new one.
            let tries_left = if is_own {
                tries_on_own.get_or_insert(MAX_DEAD_OWN_CONNECTIONS)
            } else {
                let most = (self.permits.pool.size() + 1).min(MAX_DEAD_CONNECTIONS);
                tries_on_pool.get_or_insert(most)
            };
            let harmless = purpose.is_repeatable() || !may_have_committed::<DB>(&error);
            let in_time = SystemClock.now() < give_up;
            if health == Health::Usable || !is_reused || !harmless || !in_time || *tries_left == 0 {
                return Err(doubt.or_earlier::<DB>(CallError::Failed(error)));
            }
            *tries_left -= 1;
            if may_have_committed::<DB>(&error) {
                doubt = PossibleEffect(Some(error));
            }
        }
    }

    /// Runs a write. One that the server rolled back for the sake of another is repeated.
    pub(super) async fn write<T, W>(
        &self,
        purpose: Purpose,
        work: impl Fn() -> W,
        did_work: fn(&T) -> bool,
    ) -> crate::Result<T>
    where
        W: AsyncFnOnce(&mut DB::Connection) -> sqlx::Result<T>,
    {
        let give_up = SystemClock.now() + CONFLICT_LIMIT;
        let mut tries = 0;
        loop {
            match self.call(purpose, &work, did_work).await {
                Err(CallError::Failed(error))
                    if DB::is_conflict(&error) && SystemClock.now() < give_up =>
                {
                    // At once at first; then later, and never in step with others.
                    sleep(Duration::from_millis(fastrand::u64(0..1 << tries))).await;
                    tries = (tries + 1).min(6);
                }
                done => return done.map_err(error::writing::<DB>),
            }
        }
    }

    /// Runs a read.
    pub(super) async fn read<T, W>(
        &self,
        purpose: Purpose,
        work: impl Fn() -> W,
    ) -> crate::Result<T>
    where
        W: AsyncFnOnce(&mut DB::Connection) -> sqlx::Result<T>,
    {
        self.call(purpose, work, |_| true).await.map_err(error::reading::<DB>)
    }

    /// Returns whether this connection, which was opened in place of one of the application's pool,
    /// lacks what the pool may do to its connections, such as `SET ROLE`.
    fn is_unsuitable(&self, checked_out: &CheckedOut<DB>, error: &sqlx::Error) -> bool {
        checked_out.is_heartbeat()
            && !self.permits.has_own_calls()
            && (DB::lacks_privilege(error) || !checked_out.is_reused() && DB::is_read_only(error))
    }
}
