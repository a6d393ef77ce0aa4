//! This trait has what the calls of the SQL stores need to know about their database server.

use sqlx::database::HasStatementCache;
use sqlx::{Connection, Database};

use crate::sql::ErrorCodes;

/// This describes a database server, and what its errors mean for a connection.
pub(crate) trait Server: ErrorCodes + HasStatementCache {
    /// A store opens its sessions with these settings.
    type Session: Send + Sync;

    /// Opens a connection of the store's own, with limits on how long its statements wait.
    fn open(
        options: &ConnectOptions<Self>,
        session: &Self::Session,
    ) -> impl Future<Output = sqlx::Result<Self::Connection>> + Send;

    /// Returns whether the statement with this result did something.
    fn did_work(result: &Self::QueryResult) -> bool;

    /// Tells what an error from the server means for the connection on which it came.
    fn health(error: &sqlx::Error) -> Health;

    /// Returns whether this session cannot see or may not use the table, although another session
    /// may.
    fn lacks_privilege(error: &sqlx::Error) -> bool;

    /// Returns whether the session or the server accepts no writes.
    fn is_read_only(error: &sqlx::Error) -> bool;
}

/// A server's connections are opened by these options.
pub(crate) type ConnectOptions<DB> = <<DB as Database>::Connection as Connection>::Options;

/// Tells which connections are still usable after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// The connection can be used again.
    Usable,
    /// The connection must be closed.
    Unusable,
    /// The server is shutting down or accepts no more writes: all connections to it must be closed,
    /// and the next one resolves the address again.
    AllUnusable,
}
