//! A raise uses a connection of the application's pool, and returns it only if it can be reused.

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

use super::session::SqlxSession;
use crate::error::{Error, Result};
use crate::sql;

/// This connection of a pool is closed when it is dropped, unless it is kept: a raise whose future
/// was dropped may have left it in an unknown state.
pub(super) struct CheckedOut<DB: Database> {
    connection: PoolConnection<DB>,
    is_kept: bool,
}

impl<DB: Database> CheckedOut<DB> {
    pub(super) fn new(connection: PoolConnection<DB>) -> Self {
        Self { connection, is_kept: false }
    }

    /// Returns the connection.
    pub(super) fn get(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }

    /// Lets the pool use the connection again.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl<DB: Database> Drop for CheckedOut<DB> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.connection.close_on_drop();
        }
    }
}

/// Returns whether the pool may use the connection of a raise again.
///
/// The pool must not keep a connection whose server no longer accepts writes, or whose session
/// still has the settings of the raise. On SQLite it is kept, because a database in memory ends
/// with its connection.
pub(super) fn can_be_reused(database: sql::Database, raised: &Result<()>) -> bool {
    database == sql::Database::Sqlite || !matches!(raised, Err(Error::Datastore(_)))
}

/// Returns a connection of the pool.
pub(super) async fn acquire<DB>(pool: &Pool<DB>) -> Result<PoolConnection<DB>>
where
    DB: Database,
    DB::Connection: SqlxSession,
{
    // The failure shows whether the database refused the login or did not answer.
    Ok(pool.acquire().await.map_err(|error| DB::Connection::failure(error).error)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use leasehold_core::{Error as CoreError, ErrorKind, FencingToken, LockName};

    use super::*;
    use crate::error::Blocked;

    #[test]
    fn a_connection_whose_server_accepts_no_writes_is_closed() {
        use sql::Database::{MySql, Postgres, Sqlite};
        let demoted = CoreError::new(ErrorKind::Unavailable, "the server accepts no writes");
        let demoted = Err(Error::Datastore(demoted));
        let name = LockName::new("ledger").unwrap();
        let waited = Duration::from_secs(1);
        let blocked = Blocked::new(&name, FencingToken::new(7).unwrap(), waited, Vec::new());
        let blocked = Err(Error::Blocked(blocked));
        for (database, kept) in [(Postgres, false), (MySql, false), (Sqlite, true)] {
            assert_eq!(can_be_reused(database, &demoted), kept, "{database:?}");
            assert!(can_be_reused(database, &Ok(())) && can_be_reused(database, &blocked));
        }
    }
}
