//! The fence of one term is raised and checked here.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::ErrorKind;
use sqlx::{Database, Pool, Transaction};
use tokio::time::timeout;

use super::pool::{CheckedOut, acquire, can_be_reused};
use super::session::SqlxSession;
use crate::error::{Error, Result};
use crate::sql::session::Session;
use crate::sql::{Statement, Statements, protocol, raising};
use crate::term::Term;

/// A raise waits up to this long for a connection of the pool, even if its limit is shorter.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// A fence belongs to one term, which raises it once and checks it in each transaction.
pub struct Fence<DB> {
    statements: Arc<Statements>,
    term: Term,
    database: PhantomData<fn() -> DB>,
}

#[allow(private_bounds, reason = "the databases are those of this module")]
impl<DB> Fence<DB>
where
    DB: Database,
    DB::Connection: SqlxSession,
{
    /// Raises the fence, once a term and before its first write: afterwards no transaction of an
    /// older term can commit.
    ///
    /// It waits for a connection of the pool, and then for the transactions of older terms that have
    /// passed a check, up to the limit in all; on MySQL up to a second longer.
    ///
    /// The limit does not bound the wait for a server that is gone, nor on PostgreSQL the wait for a
    /// synchronous standby: wrap the call in a timeout, and then raise the fence again.
    ///
    /// # Errors
    /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence,
    /// and with [`Blocked`](crate::Error::Blocked) after the limit. If there was no connection within
    /// the limit, or within a second if that is longer, it fails with a transient
    /// [`Datastore`](crate::Error::Datastore) error, and nothing was raised.
    ///
    /// # Cancel safety
    /// If the future is dropped, its connection is closed, and the fence is raised or not; raise it
    /// again.
    pub async fn raise(&self, pool: &Pool<DB>, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let acquired = timeout(limit.max(SHORTEST_WAIT), acquire(pool)).await;
        let connection = acquired.unwrap_or_else(|_| Err(self.no_connection(began.elapsed())))?;
        let mut connection = CheckedOut::new(connection);
        let left = limit.saturating_sub(began.elapsed());
        let raised = self.raise_on(connection.get(), left).await;
        if can_be_reused(DB::Connection::DATABASE, &raised) {
            connection.keep();
        }
        raised
    }

    /// Raises the fence on this connection, which must not be in a transaction.
    ///
    /// sqlx does not detect a transaction that was begun with a raw `BEGIN`, or on MySQL without
    /// `autocommit` by any statement: raising the fence would commit it, and on SQLite fails.
    ///
    /// # Errors
    /// This fails as [`raise`](Self::raise) does, and if the connection is in a transaction. After a
    /// [`Datastore`](crate::Error::Datastore) error close the connection: its server may no longer
    /// accept writes, or on MySQL the connection's own settings may not have been restored.
    ///
    /// # Cancel safety
    /// If the future is dropped, the fence is raised or not. Close the connection, because on MySQL
    /// and SQLite its own settings may not have been restored, and raise the fence again.
    pub async fn raise_on(&self, connection: &mut DB::Connection, limit: Duration) -> Result<()> {
        raising::raise(connection, &self.statements, &self.term, limit).await
    }

    /// Checks as the first statement of a transaction that this term may still write.
    ///
    /// Transactions of one term do not wait for each other.
    ///
    /// On PostgreSQL do not check in a nested transaction, which is a savepoint: if it is rolled back,
    /// the check's lock is released.
    ///
    /// # Errors
    /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence, or has
    /// set its intent, and with [`NotRaised`](crate::Error::NotRaised) if this term has not raised
    /// its own: roll back. After a [`Conflict`](crate::Error::Conflict) run the whole transaction
    /// again; after a deadlock MySQL and MariaDB have rolled it back already.
    ///
    /// # Cancel safety
    /// If the future is dropped, it is not known whether the term may write; roll back.
    pub async fn check(&self, transaction: &mut Transaction<'_, DB>) -> Result<()> {
        protocol::check(&mut **transaction, &self.statements, &self.term).await
    }

    /// Fails if this term may not write: call it if a statement with a [guard](Self::guard) changed
    /// no row.
    ///
    /// If it succeeds, the statement's other conditions were false. Call it outside of a transaction,
    /// whose snapshot may be older than the statement.
    ///
    /// # Errors
    /// This fails as [`check`](Self::check) does.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn verify(&self, connection: &mut DB::Connection) -> Result<()> {
        protocol::verify(connection, &self.statements, &self.term).await
    }
}

impl<DB> Fence<DB> {
    /// Creates the fence of a term on the tables of those statements.
    pub(super) fn new(statements: &Arc<Statements>, term: &Term) -> Self {
        Self { statements: Arc::clone(statements), term: term.clone(), database: PhantomData }
    }

    fn no_connection(&self, waited: Duration) -> Error {
        let message = format!("the pool had no free connection for {waited:?}");
        leasehold_core::Error::new(ErrorKind::Unavailable, message)
            .during("fence raise")
            .with_fix("raise it again, or allow the pool another connection")
            .for_lock(self.term.name())
            .into()
    }

    /// Returns the term.
    #[must_use]
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// Returns a condition for a single statement that is its own transaction: add it to the WHERE
    /// clause, and bind its [parameters](Statement::parameters), which are numbered from `first` on.
    #[must_use]
    pub fn guard(&self, first: usize) -> Statement {
        self.statements.guard(first)
    }
}

impl<DB> Clone for Fence<DB> {
    fn clone(&self) -> Self {
        Self {
            statements: Arc::clone(&self.statements),
            term: self.term.clone(),
            database: PhantomData,
        }
    }
}

impl<DB> fmt::Debug for Fence<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("database", &self.statements.database)
            .field("term", &self.term)
            .finish()
    }
}
