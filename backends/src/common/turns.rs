//! The connections that a store may use, and who waits for which.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::in_use::Source;
use super::limit::CALL_LIMIT;
use super::own_connections::OwnConnections;
use super::server::Server;

/// At most this many of the connections for heartbeats serve releases and announcements, so that
/// renewals do not wait for those.
const MOST_OTHERS: usize = 2;

/// The connections that serve a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Those for heartbeats.
    Heartbeats,
    /// Those for calls: the store's own or the application's pool.
    Calls,
    /// Whichever is free first; a few of those for heartbeats at most.
    Either,
}

/// The right to use a connection.
pub(super) enum Turn<DB: Server> {
    Heartbeats(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
    Calls(OwnedSemaphorePermit),
    Pool(PoolConnection<DB>),
}

/// All connections of a store.
pub(super) struct Turns<DB: Server> {
    pub(super) pool: Pool<DB>,
    /// The store's own connections for calls; if `None`, calls use the application's pool.
    calls: Option<OwnConnections<DB>>,
    pub(super) heartbeats: OwnConnections<DB>,
    others: Arc<Semaphore>,
}

impl<DB: Server> Turns<DB> {
    pub(super) fn new(
        pool: Pool<DB>,
        calls: Option<OwnConnections<DB>>,
        heartbeats: OwnConnections<DB>,
    ) -> Self {
        Self { pool, calls, heartbeats, others: Arc::new(Semaphore::new(MOST_OTHERS)) }
    }

    /// Waits for the right to use a connection.
    pub(super) async fn turn(&self, way: Way) -> sqlx::Result<Turn<DB>> {
        match way {
            Way::Heartbeats => Ok(Turn::Heartbeats(self.heartbeats.turn().await?, None)),
            Way::Calls => self.turn_for_call().await,
            Way::Either => {
                tokio::select! {
                    biased;
                    turn = self.turn_beside_heartbeats() => turn,
                    // The other way may take longer and succeed.
                    Ok(turn) = self.turn_for_call() => Ok(turn),
                }
            }
        }
    }

    async fn turn_beside_heartbeats(&self) -> sqlx::Result<Turn<DB>> {
        let permit = timeout(CALL_LIMIT, Arc::clone(&self.others).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut)?;
        Ok(Turn::Heartbeats(self.heartbeats.turn().await?, Some(permit)))
    }

    async fn turn_for_call(&self) -> sqlx::Result<Turn<DB>> {
        match &self.calls {
            Some(calls) => calls.turn().await.map(Turn::Calls),
            None => match timeout(CALL_LIMIT, self.pool.acquire()).await {
                Ok(acquired) => acquired.map(Turn::Pool),
                Err(_) => Err(sqlx::Error::PoolTimedOut),
            },
        }
    }

    /// Returns the connection for a turn.
    pub(super) async fn lend(
        &self,
        turn: Turn<DB>,
        test_after: Duration,
    ) -> sqlx::Result<Source<DB>> {
        match (turn, &self.calls) {
            (Turn::Heartbeats(turn, permit), _) => {
                let lent = self.heartbeats.lend(turn, test_after, !self.has_idle()).await?;
                Ok(Source::Heartbeats(lent, permit))
            }
            (Turn::Calls(turn), Some(calls)) => {
                calls.lend(turn, test_after, true).await.map(Source::Calls)
            }
            (Turn::Calls(_), None) => Err(sqlx::Error::PoolClosed),
            (Turn::Pool(connection), _) => Ok(Source::Pool(connection)),
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
