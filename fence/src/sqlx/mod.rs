//! The fence for sqlx, on PostgreSQL, MySQL, MariaDB and SQLite.
//!
#![cfg_attr(feature = "sqlx-sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlx-sqlite"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use leasehold_fence::sqlx::SqliteFenceTable;
//! use leasehold_fence::{FencingToken, LockName, Namespace, Schema, Term};
//! use sqlx::sqlite::SqlitePoolOptions;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
//! sqlx::raw_sql("CREATE TABLE ledger (entry TEXT)").execute(&pool).await?;
//!
//! // At start:
//! let table = SqliteFenceTable::open(&pool, &Namespace::default(), Schema::Create).await?;
//!
//! // Once a term, with the name and the token of the lock:
//! let name = LockName::new("ledger")?;
//! let fence = table.fence(&Term::new(&name, FencingToken::new(7)?));
//! fence.raise(&pool, Duration::from_secs(10)).await?;
//!
//! // First in each transaction:
//! let mut transaction = pool.begin().await?;
//! fence.check(&mut transaction).await?;
//! sqlx::query("INSERT INTO ledger VALUES ('first')").execute(&mut *transaction).await?;
//! transaction.commit().await?;
//!
//! // Another instance leads now. This one was paused, and resumes:
//! let newer = table.fence(&Term::new(&name, FencingToken::new(8)?));
//! newer.raise(&pool, Duration::from_secs(10)).await?;
//! let mut transaction = pool.begin().await?;
//! let error = fence.check(&mut transaction).await.unwrap_err();
//! assert!(error.is_stale());
//! # Ok(()) }
//! ```

mod session;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::{ErrorKind, Namespace};
use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool, Transaction};
use tokio::time::timeout;

pub(crate) use self::session::SqlxSession;
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::sql::session::Session;
use crate::sql::{self, Statement, Statements, protocol, raising};
use crate::term::Term;

/// A raise waits up to this long for a connection of the pool, even if its limit is shorter.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// This is the fence table on PostgreSQL.
#[cfg(feature = "sqlx-postgres")]
pub type PgFenceTable = FenceTable<sqlx::Postgres>;
/// This is the fence of one term on PostgreSQL.
#[cfg(feature = "sqlx-postgres")]
pub type PgFence = Fence<sqlx::Postgres>;
/// This is the fence table on MySQL or MariaDB.
#[cfg(feature = "sqlx-mysql")]
pub type MySqlFenceTable = FenceTable<sqlx::MySql>;
/// This is the fence of one term on MySQL or MariaDB.
#[cfg(feature = "sqlx-mysql")]
pub type MySqlFence = Fence<sqlx::MySql>;
/// This is the fence table on SQLite.
#[cfg(feature = "sqlx-sqlite")]
pub type SqliteFenceTable = FenceTable<sqlx::Sqlite>;
/// This is the fence of one term on SQLite.
#[cfg(feature = "sqlx-sqlite")]
pub type SqliteFence = Fence<sqlx::Sqlite>;

/// A fence table creates the fences of a namespace, whose tables were found or created.
pub struct FenceTable<DB> {
    statements: Arc<Statements>,
    database: PhantomData<fn() -> DB>,
}

/// A fence belongs to one term, which raises it once and checks it in each transaction.
pub struct Fence<DB> {
    statements: Arc<Statements>,
    term: Term,
    database: PhantomData<fn() -> DB>,
}

#[allow(private_bounds, reason = "the databases are those of this module")]
impl<DB> FenceTable<DB>
where
    DB: Database,
    DB::Connection: SqlxSession,
{
    /// Finds the fence's tables, or creates those that are missing if `schema` allows it.
    ///
    /// # Errors
    /// This fails with a [`Datastore`](crate::Error::Datastore) error if a table is missing and may
    /// not be created, or is not as this crate creates it.
    ///
    /// # Cancel safety
    /// If the future is dropped, some tables may have been created; open them again.
    pub async fn open(pool: &Pool<DB>, namespace: &Namespace, schema: Schema) -> Result<Self> {
        let mut connection = acquire(pool).await?;
        Self::open_on(&mut connection, namespace, schema).await
    }

    /// Finds the fence's tables, or creates those that are missing, on this connection.
    ///
    /// # Errors
    /// This fails as [`open`](Self::open) does, and if the connection is in a transaction.
    ///
    /// # Cancel safety
    /// If the future is dropped, some tables may have been created; open them again.
    pub async fn open_on(
        connection: &mut DB::Connection,
        namespace: &Namespace,
        schema: Schema,
    ) -> Result<Self> {
        let statements = protocol::open(connection, namespace, schema).await?;
        Ok(Self { statements: Arc::new(statements), database: PhantomData })
    }
}

impl<DB> FenceTable<DB> {
    /// Returns the fence of a term, without a call to the database.
    #[must_use]
    pub fn fence(&self, term: &Term) -> Fence<DB> {
        Fence {
            statements: Arc::clone(&self.statements),
            term: term.clone(),
            database: PhantomData,
        }
    }
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
        let mut checked_out = CheckedOut { connection, done: false };
        let left = limit.saturating_sub(began.elapsed());
        let raised = self.raise_on(&mut checked_out.connection, left).await;
        // A server that accepts no writes any longer must not keep its connection in the pool. A
        // database in memory ends with its connection.
        let failed = matches!(&raised, Err(Error::Datastore(_)));
        checked_out.done = !failed || matches!(DB::Connection::DATABASE, sql::Database::Sqlite);
        raised
    }

    /// Raises the fence on this connection, which must not be in a transaction.
    ///
    /// sqlx does not detect a transaction that was begun with a raw `BEGIN`: raising the fence
    /// would commit it.
    ///
    /// # Errors
    /// This fails as [`raise`](Self::raise) does, and if the connection is in a transaction.
    ///
    /// # Cancel safety
    /// If the future is dropped, the fence is raised or not. Close the connection, because on MySQL
    /// and SQLite its own limit on waits may not have been restored, and raise the fence again.
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
    /// If it succeeds, the statement's other conditions were false.
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

/// This connection of a pool is closed if the call that uses it is dropped.
struct CheckedOut<DB: Database> {
    connection: PoolConnection<DB>,
    done: bool,
}

impl<DB: Database> Drop for CheckedOut<DB> {
    fn drop(&mut self) {
        if !self.done {
            self.connection.close_on_drop();
        }
    }
}

async fn acquire<DB>(pool: &Pool<DB>) -> Result<PoolConnection<DB>>
where
    DB: Database,
    DB::Connection: SqlxSession,
{
    // The failure shows whether the database refused the login or did not answer.
    Ok(pool.acquire().await.map_err(|error| DB::Connection::failure(error).error)?)
}

impl<DB> Clone for FenceTable<DB> {
    fn clone(&self) -> Self {
        Self { statements: Arc::clone(&self.statements), database: PhantomData }
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

impl<DB> fmt::Debug for FenceTable<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FenceTable").field("database", &self.statements.database).finish()
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

#[cfg(feature = "sqlx-sqlite")]
#[cfg(test)]
mod tests;
