//! A call uses a checked-out connection.

use sqlx::pool::PoolConnection;
use tokio::sync::OwnedSemaphorePermit;

use super::abandoned::CallPermit;
use super::own_connections::OwnConnection;
use super::server::Server;

/// A connection comes from one of these places.
pub(super) enum ConnectionSource<DB: Server> {
    Heartbeats(OwnConnection<DB>, Option<NonRenewalPermit>),
    Calls(OwnConnection<DB>),
    Pool(PoolConnection<DB>),
}

/// This is the right to use a connection for heartbeats for another call than a renewal.
pub(super) struct NonRenewalPermit {
    _permit: OwnedSemaphorePermit,
    _borrowed: Option<OwnedSemaphorePermit>,
}

impl NonRenewalPermit {
    pub(super) fn new(
        permit: OwnedSemaphorePermit,
        borrowed: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { _permit: permit, _borrowed: borrowed }
    }
}

/// This is a connection in use. If it is dropped midway, it waits for the answer in the background
/// and is then closed.
pub(super) struct CheckedOut<DB: Server> {
    source: Option<ConnectionSource<DB>>,
    permit: Option<CallPermit>,
}

impl<DB: Server> CheckedOut<DB> {
    pub(super) fn new(source: ConnectionSource<DB>, permit: CallPermit) -> Self {
        Self { source: Some(source), permit: Some(permit) }
    }

    pub(super) fn connection(&mut self) -> Option<&mut DB::Connection> {
        Some(match self.source.as_mut()? {
            ConnectionSource::Heartbeats(connection, _) | ConnectionSource::Calls(connection) => {
                connection.connection()
            }
            ConnectionSource::Pool(connection) => connection,
        })
    }

    /// Returns whether the connection was used before, as far as is known.
    pub(super) fn is_reused(&self) -> bool {
        match &self.source {
            Some(
                ConnectionSource::Heartbeats(connection, _) | ConnectionSource::Calls(connection),
            ) => connection.is_reused,
            _ => true,
        }
    }

    pub(super) fn is_own(&self) -> bool {
        !matches!(self.source, Some(ConnectionSource::Pool(_)))
    }

    pub(super) fn is_heartbeat(&self) -> bool {
        matches!(self.source, Some(ConnectionSource::Heartbeats(..)))
    }

    pub(super) fn return_to_pool(&mut self) {
        match self.source.take() {
            Some(
                ConnectionSource::Heartbeats(connection, _) | ConnectionSource::Calls(connection),
            ) => connection.return_to_pool(),
            Some(ConnectionSource::Pool(connection)) => drop(connection),
            None => {}
        }
    }

    /// Closes the connection. Skips the orderly close, which could hang.
    pub(super) fn close(&mut self) {
        drop(self.detach());
    }

    fn detach(&mut self) -> Option<DB::Connection> {
        Some(match self.source.take()? {
            ConnectionSource::Heartbeats(connection, _) | ConnectionSource::Calls(connection) => {
                connection.into_connection()
            }
            ConnectionSource::Pool(connection) => connection.detach(),
        })
    }
}

impl<DB: Server> Drop for CheckedOut<DB> {
    fn drop(&mut self) {
        if let (Some(connection), Some(permit)) = (self.detach(), self.permit.take()) {
            permit.abandon::<DB>(connection);
        }
    }
}
