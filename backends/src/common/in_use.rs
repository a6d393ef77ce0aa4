//! A connection while a call uses it.

use sqlx::pool::PoolConnection;
use tokio::sync::OwnedSemaphorePermit;

use super::abandoned::Admission;
use super::own_connections::OwnConnection;
use super::server::Server;

/// Where a connection comes from.
pub(super) enum Source<DB: Server> {
    Heartbeats(OwnConnection<DB>, Option<OwnedSemaphorePermit>),
    Calls(OwnConnection<DB>),
    Pool(PoolConnection<DB>),
}

/// A connection in use. If it is dropped midway, it waits for the answer in the background and is
/// then closed.
pub(super) struct InUse<DB: Server> {
    source: Option<Source<DB>>,
    admission: Option<Admission>,
}

impl<DB: Server> InUse<DB> {
    pub(super) fn new(source: Source<DB>, admission: Admission) -> Self {
        Self { source: Some(source), admission: Some(admission) }
    }

    pub(super) fn connection(&mut self) -> Option<&mut DB::Connection> {
        Some(match self.source.as_mut()? {
            Source::Heartbeats(lent, _) | Source::Calls(lent) => lent.connection(),
            Source::Pool(connection) => connection,
        })
    }

    /// Returns whether the connection was used before, as far as is known.
    pub(super) fn is_reused(&self) -> bool {
        match &self.source {
            Some(Source::Heartbeats(lent, _) | Source::Calls(lent)) => lent.is_reused,
            _ => true,
        }
    }

    pub(super) fn is_own(&self) -> bool {
        !matches!(self.source, Some(Source::Pool(_)))
    }

    pub(super) fn is_heartbeat(&self) -> bool {
        matches!(self.source, Some(Source::Heartbeats(..)))
    }

    pub(super) fn give_back(&mut self) {
        match self.source.take() {
            Some(Source::Heartbeats(lent, _) | Source::Calls(lent)) => lent.give_back(),
            Some(Source::Pool(connection)) => drop(connection),
            None => {}
        }
    }

    /// Closes the connection. Skips the orderly close, which could hang.
    pub(super) fn close(&mut self) {
        drop(self.detach());
    }

    fn detach(&mut self) -> Option<DB::Connection> {
        Some(match self.source.take()? {
            Source::Heartbeats(lent, _) | Source::Calls(lent) => lent.into_connection(),
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
