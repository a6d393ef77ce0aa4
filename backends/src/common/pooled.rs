//! Runs one call on a connection that is returned clean or not at all.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;
use tokio::sync::watch;
use tokio::time::timeout;

use super::abandoned::{AbandonedCalls, Admission};
use super::in_use::{InUse, Source};
use super::limit::CALL_LIMIT;
use super::own_connections::OwnConnections;
use super::pool_fallback::PoolFallback;
use super::server::{Health, Purpose, Server};
use super::turns::{Turn, Turns, Way};
use crate::{Clock, SystemClock};

/// The most connections that a store opens for its calls, beside those for heartbeats and hints.
pub(crate) const MOST_CALLS: u32 = 4;

/// The most connections for heartbeats. As many renewals of a lease as the engine has under way do
/// not wait for each other, nor for releases; more than one connection is opened only for that.
const MOST_HEARTBEATS: usize = 6;

/// Once this many calls, or heartbeats, are abandoned, further ones are tried one at a time.
const MOST_ABANDONED: usize = 3;
const MOST_ABANDONED_HEARTBEATS: usize = 4;

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
    turns: Turns<DB>,
    abandoned_calls: AbandonedCalls,
    abandoned_heartbeats: AbandonedCalls,
    fallback: PoolFallback,
    /// Changes when a call found that all connections to the server must be closed.
    left: watch::Sender<()>,
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
        let own_connections =
            |most, keep| OwnConnections::new(pool.clone(), Arc::clone(&session), most, keep);
        let calls = own.then(|| own_connections(most, KEEP));
        let heartbeats = own_connections(MOST_HEARTBEATS, KEEP_HEARTBEATS);
        Self {
            turns: Turns::new(pool, calls, heartbeats),
            abandoned_calls: AbandonedCalls::new(MOST_ABANDONED),
            abandoned_heartbeats: AbandonedCalls::new(MOST_ABANDONED_HEARTBEATS),
            fallback: PoolFallback::default(),
            left: watch::Sender::new(()),
        }
    }

    /// Returns a receiver that is told when all connections to the server must be closed.
    pub(crate) fn left(&self) -> watch::Receiver<()> {
        self.left.subscribe()
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
        let mut unsuitable = None;
        loop {
            let way = self.way(purpose, unsuitable.is_some());
            let in_use = self.connection_for(way, purpose).await;
            let mut in_use = in_use.map_err(|error| doubt.keep::<DB>(error))?;
            let Some(connection) = in_use.connection() else {
                return Err(doubt.keep::<DB>(CallError::NotSent(sqlx::Error::PoolClosed)));
            };
            let error = match timeout(CALL_LIMIT, work()(connection)).await {
                Ok(Ok(value)) => {
                    in_use.give_back();
                    if let Some(error) = unsuitable {
                        self.fallback.worked(&error);
                    }
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(CallError::Unanswered),
            };
            let from_server = error.as_database_error().is_some();
            let health = if from_server { DB::health(&error) } else { Health::Unusable };
            let (is_reused, is_own) = (in_use.is_reused(), in_use.is_own());
            if unsuitable.is_none() && from_server && self.is_unsuitable(&in_use, &error) {
                in_use.close();
                unsuitable = Some(error);
                continue;
            }
            match health {
                Health::Usable => in_use.give_back(),
                Health::Unusable => in_use.close(),
                Health::AllUnusable => {
                    in_use.close();
                    self.turns.close_idle();
                    self.left.send_replace(());
                }
            }
            // If one connection broke, so did the other idle ones, as after a restart or an idle
            // timeout.
            if !from_server && is_own {
                self.turns.close_own();
            }
            // Each of the pool's other connections may be dead too; after those the pool opens a
            // new one.
            let most = if is_own { 1 } else { (self.turns.pool.size() + 1).min(MOST_TRIES) };
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

    /// Returns which connections serve the purpose.
    fn way(&self, purpose: Purpose, on_pool: bool) -> Way {
        match purpose {
            _ if on_pool || self.fallback.is_on() => Way::Calls,
            Purpose::Renew => Way::Heartbeats,
            Purpose::Release => Way::Either,
            Purpose::Presence if self.turns.heartbeats.has_idle() => Way::Either,
            _ => Way::Calls,
        }
    }

    /// Returns a connection for the purpose.
    async fn connection_for(&self, mut way: Way, purpose: Purpose) -> Result<InUse<DB>, CallError> {
        let test_after = if purpose.is_repeatable() { Duration::MAX } else { TEST_AFTER };
        let first = match way {
            Way::Calls => &self.abandoned_calls,
            Way::Heartbeats | Way::Either => &self.abandoned_heartbeats,
        };
        let mut admission = Some(admit(first).await?);
        loop {
            let turn = self.turns.turn(way).await.map_err(|error| self.not_sent(error))?;
            let is_heartbeat = matches!(turn, Turn::Heartbeats(..));
            let abandoned =
                if is_heartbeat { &self.abandoned_heartbeats } else { &self.abandoned_calls };
            // Calls may have been abandoned while this one waited for its turn.
            let valid = admission.take().filter(|admission| abandoned.still_admits(admission));
            let Some(admitted) = valid.or_else(|| abandoned.admit_now()) else {
                drop(turn);
                admission = Some(admit(abandoned).await?);
                continue;
            };
            let error = match self.turns.lend(turn, test_after).await {
                Ok(source) => return Ok(InUse::new(source, admitted)),
                Err(error) => self.not_sent(error),
            };
            // The server may accept no more connections.
            if !is_heartbeat || !self.turns.has_idle() {
                return Err(error);
            }
            tracing::debug!(?error, "cannot open a separate connection for heartbeats");
            way = Way::Calls;
        }
    }

    fn not_sent(&self, error: sqlx::Error) -> CallError {
        // Where nothing can be reached, the connections of abandoned calls are dead as well.
        if is_unreachable(&error) {
            self.abandoned_calls.forget();
            self.abandoned_heartbeats.forget();
        }
        CallError::NotSent(error)
    }

    /// Returns whether this connection, which was opened in place of one of the application's pool,
    /// lacks what the pool may do to its connections, such as `SET ROLE`.
    fn is_unsuitable(&self, in_use: &InUse<DB>, error: &sqlx::Error) -> bool {
        in_use.is_heartbeat()
            && !self.turns.has_own_calls()
            && (DB::lacks_access(error) || !in_use.is_reused() && DB::is_read_only(error))
    }
}

/// Returns whether the server could not be reached. Trouble of this process, such as too many open
/// files or a name that is not found, does not show that.
fn is_unreachable(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let sqlx::Error::Io(error) = error else { return false };
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::UnexpectedEof
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::TimedOut
    )
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
