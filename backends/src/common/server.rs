//! What the calls of the SQL stores need to know of their database server.

use sqlx::{Connection, Database};

/// A database server, and what its errors say of a connection.
pub(crate) trait Server: Database {
    /// What a store remembers of how its sessions are opened.
    type Session: Send + Sync;

    /// Opens a connection of the store's own, with limits on how long its statements wait.
    fn open(
        options: &ConnectOptions<Self>,
        session: &Self::Session,
    ) -> impl Future<Output = sqlx::Result<Self::Connection>> + Send;

    /// What an error that the server sent says of the connection that it came on.
    fn health(error: &sqlx::Error) -> Health;

    /// Whether a write that failed like this may have been committed.
    fn leaves_doubt(error: &sqlx::Error) -> bool;

    /// Whether the session may not use the table, which another session may see or be allowed to.
    fn lacks_access(error: &sqlx::Error) -> bool;
}

/// The options by which a server's connections are opened.
pub(crate) type ConnectOptions<DB> = <<DB as Database>::Connection as Connection>::Options;

/// Which connections an error leaves usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// The connection can be used again.
    Usable,
    /// The connection is to be closed.
    Unusable,
    /// The server shuts down or takes no writes any longer: all connections to it are to be closed,
    /// and the next one follows the address.
    AllUnusable,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The call changes nothing.
    Read,
    /// The call asks for a lease; the lease's id makes it repeatable.
    Acquire,
    /// The call changes what is kept of a name, and its answer tells whether it did.
    Change,
    /// The call extends leases.
    Renew,
    /// The call ends a lease.
    Release,
    /// The call makes an instance known, or no longer known.
    Presence,
}

impl Purpose {
    /// Whether the call may be sent twice: the second answer is as good as the first.
    pub(crate) fn is_repeatable(self) -> bool {
        match self {
            Self::Read | Self::Acquire | Self::Renew | Self::Presence => true,
            Self::Change | Self::Release => false,
        }
    }

    /// Whether a lease or its prompt end depends on the call.
    pub(crate) fn is_heartbeat(self) -> bool {
        matches!(self, Self::Renew | Self::Release)
    }
}
