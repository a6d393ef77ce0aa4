//! A store may use a connection only with a permit.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::checked_out::{ConnectionSource, NonRenewalPermit};
use super::own_connections::OwnConnections;
use super::server::Server;
use crate::common::timeout::CALL_LIMIT;

/// At most this many of the connections for heartbeats serve other calls than renewals, which
/// therefore do not wait for those.
const MAX_NON_RENEWALS: usize = 2;

/// At most this many of them serve acquires and reads. Releases and announcements therefore do not
/// wait for those.
const MAX_BORROWED: usize = 1;

/// A call that either group serves looks after each such time whether a connection of the
/// application's pool is idle. It does not wait in the pool's queue, because the pool closes a
/// connection that it tests for a caller that no longer waits: a pool that is busy would open one
/// connection after the other.
const POOL_AFTER: Duration = Duration::from_millis(100);

/// One of these groups of connections serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionClass {
    /// The connections for heartbeats serve it.
    Heartbeats,
    /// The connections for calls serve it: the store's own or the application's pool.
    Calls,
    /// The connection that is free first serves it; at most a few of those for heartbeats do. One of an
    /// application's pool does if it is idle, and the call would wait long for another.
    Either,
    /// A connection for calls serves it if one is free, or else the connection that is free first.
    CallsFirst,
    /// A connection for heartbeats that is idle serves it, or else one for calls.
    IdleHeartbeat,
}

/// This is the right to use a connection.
pub(super) enum Permit<DB: Server> {
    Heartbeats(OwnedSemaphorePermit, Option<NonRenewalPermit>),
    Calls(OwnedSemaphorePermit),
    Pool(PoolConnection<DB>),
}

/// These are the permits for all connections of a store.
pub(super) struct ConnectionPermits<DB: Server> {
    pub(super) pool: Pool<DB>,
    /// The store has these connections of its own for calls; if `None`, calls use the application's
    /// pool.
    calls: Option<OwnConnections<DB>>,
    pub(super) heartbeats: OwnConnections<DB>,
    non_renewals: Arc<Semaphore>,
    borrowed: Arc<Semaphore>,
}

impl<DB: Server> ConnectionPermits<DB> {
    pub(super) fn new(
        pool: Pool<DB>,
        calls: Option<OwnConnections<DB>>,
        heartbeats: OwnConnections<DB>,
    ) -> Self {
        let non_renewals = Arc::new(Semaphore::new(MAX_NON_RENEWALS));
        let borrowed = Arc::new(Semaphore::new(MAX_BORROWED));
        Self { pool, calls, heartbeats, non_renewals, borrowed }
    }

    /// Waits for the right to use a connection.
    pub(super) async fn acquire_permit(&self, class: ConnectionClass) -> sqlx::Result<Permit<DB>> {
        match class {
            ConnectionClass::Heartbeats => {
                Ok(Permit::Heartbeats(self.heartbeats.acquire_permit().await?, None))
            }
            ConnectionClass::Calls => self.call_permit().await,
            ConnectionClass::Either if self.calls.is_none() => {
                self.heartbeat_or_idle_permit().await
            }
            ConnectionClass::Either => {
                tokio::select! {
                    biased;
                    permit = self.either_permit() => permit,
                    // The other class may take longer and succeed.
                    Ok(permit) = self.call_permit() => Ok(permit),
                }
            }
            ConnectionClass::CallsFirst => {
                tokio::select! {
                    biased;
                    Ok(permit) = self.call_permit() => Ok(permit),
                    permit = self.either_permit() => permit,
                }
            }
            ConnectionClass::IdleHeartbeat => match self.borrow_permit() {
                Some(permit) => Ok(permit),
                None => self.call_permit().await,
            },
        }
    }

    /// Waits for the right to use a connection for heartbeats. If that takes long, it uses one of the
    /// application's pool that is idle.
    async fn heartbeat_or_idle_permit(&self) -> sqlx::Result<Permit<DB>> {
        let mut heartbeat = pin!(self.either_permit());
        loop {
            if let Ok(permit) = timeout(POOL_AFTER, &mut heartbeat).await {
                return permit;
            }
            if let Some(connection) = self.pool.try_acquire() {
                return Ok(Permit::Pool(connection));
            }
        }
    }

    async fn either_permit(&self) -> sqlx::Result<Permit<DB>> {
        let permit = timeout(CALL_LIMIT, Arc::clone(&self.non_renewals).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut)?;
        let permit = NonRenewalPermit::new(permit, None);
        Ok(Permit::Heartbeats(self.heartbeats.acquire_permit().await?, Some(permit)))
    }

    /// Returns the right to use a connection for heartbeats, if one is idle and that is possible
    /// without waiting.
    fn borrow_permit(&self) -> Option<Permit<DB>> {
        if !self.heartbeats.has_idle() {
            return None;
        }
        let borrowed = Arc::clone(&self.borrowed).try_acquire_owned().ok()?;
        let permit = Arc::clone(&self.non_renewals).try_acquire_owned().ok()?;
        let permit = NonRenewalPermit::new(permit, Some(borrowed));
        Some(Permit::Heartbeats(self.heartbeats.try_acquire_permit()?, Some(permit)))
    }

    async fn call_permit(&self) -> sqlx::Result<Permit<DB>> {
        match &self.calls {
            Some(calls) => calls.acquire_permit().await.map(Permit::Calls),
            None => match timeout(CALL_LIMIT, self.pool.acquire()).await {
                Ok(acquired) => acquired.map(Permit::Pool),
                Err(_) => Err(sqlx::Error::PoolTimedOut),
            },
        }
    }

    /// Returns the connection that the permit allows.
    pub(super) async fn check_out(
        &self,
        permit: Permit<DB>,
        test_after: Duration,
    ) -> sqlx::Result<ConnectionSource<DB>> {
        match (permit, &self.calls) {
            (Permit::Heartbeats(permit, other), _) => {
                let checked_out =
                    self.heartbeats.check_out(permit, test_after, !self.has_idle()).await?;
                Ok(ConnectionSource::Heartbeats(checked_out, other))
            }
            (Permit::Calls(permit), Some(calls)) => {
                calls.check_out(permit, test_after, true).await.map(ConnectionSource::Calls)
            }
            (Permit::Calls(_), None) => Err(sqlx::Error::PoolClosed),
            (Permit::Pool(connection), _) => Ok(ConnectionSource::Pool(connection)),
        }
    }

    /// Adds a connection that is open already to those for calls, if these are the store's own.
    pub(super) fn adopt(&self, connection: DB::Connection) {
        if let Some(calls) = &self.calls {
            calls.adopt(connection);
        }
    }

    /// Returns whether calls have connections of the store's own.
    pub(super) fn has_own_calls(&self) -> bool {
        self.calls.is_some()
    }

    /// Returns whether a connection for calls is available.
    pub(super) fn has_idle(&self) -> bool {
        match &self.calls {
            Some(calls) => calls.has_idle(),
            None => self.pool.size() > 0,
        }
    }

    /// Closes the store's own idle connections.
    pub(super) fn close_own(&self) {
        self.heartbeats.close_idle();
        if let Some(calls) = &self.calls {
            calls.close_idle();
        }
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        self.close_own();
        if self.calls.is_none() {
            for _ in 0..self.pool.num_idle() {
                let Some(connection) = self.pool.try_acquire() else { break };
                drop(connection.detach());
            }
        }
    }
}
