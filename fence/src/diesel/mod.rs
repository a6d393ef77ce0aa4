//! The fence for diesel, on PostgreSQL, MySQL, MariaDB and SQLite.
//!
//! It works with every connection of such a backend, a pooled one too. Calls block, so run them
//! where blocking is allowed. For diesel-async, run the statements of [`crate::sql`].
//!
//! The tests run it on PostgreSQL and SQLite. For MySQL and MariaDB they compare what diesel sends with
//! what sqlx sends, which is tested on these servers; how diesel reads their replies is not tested.
//!
//! diesel does not return the codes of errors, so this module finds out what an error means from
//! its text, which the server must write in English.
//!
//! In a test transaction (`begin_test_transaction`) the application's transactions are savepoints.
//! A fence that was raised before can be checked in them, except on PostgreSQL, where a check in a
//! savepoint is refused. In a test transaction the table cannot be opened, and no fence raised.
//!
#![cfg_attr(feature = "diesel-sqlite", doc = "```")]
#![cfg_attr(not(feature = "diesel-sqlite"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use diesel::connection::SimpleConnection;
//! use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};
//! use leasehold_fence::diesel::SqliteFenceTable;
//! use leasehold_fence::{FencingToken, LockName, Namespace, Schema, Term};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let mut connection = SqliteConnection::establish(":memory:")?;
//! connection.batch_execute("CREATE TABLE ledger (entry TEXT)")?;
//!
//! // At start:
//! let table = SqliteFenceTable::open(&mut connection, &Namespace::default(), Schema::Create)?;
//!
//! // Once a term, with the name and the token of the lock:
//! let name = LockName::new("ledger")?;
//! let fence = table.fence(&Term::new(&name, FencingToken::new(7)?));
//! fence.raise(&mut connection, Duration::from_secs(10))?;
//!
//! // First in each transaction:
//! type Failure = Box<dyn std::error::Error + Send + Sync>;
//! connection.transaction::<_, Failure, _>(|connection| {
//!     fence.check(connection)?;
//!     sql_query("INSERT INTO ledger VALUES ('first')").execute(connection)?;
//!     Ok(())
//! })?;
//!
//! // Another instance leads now. This one was paused, and resumes:
//! let newer = table.fence(&Term::new(&name, FencingToken::new(8)?));
//! newer.raise(&mut connection, Duration::from_secs(10))?;
//! let late = connection.transaction::<_, Failure, _>(|connection| Ok(fence.check(connection)?));
//! assert!(late.is_err());
//! # Ok(()) }
//! ```

mod error_text;
mod query;
mod session;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::LoadConnection;
use leasehold_core::Namespace;

use self::session::DieselSession;
use crate::error::Result;
use crate::schema::Schema;
use crate::sql::blocking::run;
use crate::sql::protocol;
use crate::sql::raising;
use crate::sql::{Statement, Statements};
use crate::term::Term;

/// This is the fence table on PostgreSQL.
#[cfg(feature = "diesel-postgres")]
pub type PgFenceTable = FenceTable<diesel::pg::Pg>;
/// This is the fence of one term on PostgreSQL.
#[cfg(feature = "diesel-postgres")]
pub type PgFence = Fence<diesel::pg::Pg>;
/// This is the fence table on MySQL or MariaDB.
#[cfg(feature = "diesel-mysql")]
pub type MysqlFenceTable = FenceTable<diesel::mysql::Mysql>;
/// This is the fence of one term on MySQL or MariaDB.
#[cfg(feature = "diesel-mysql")]
pub type MysqlFence = Fence<diesel::mysql::Mysql>;
/// This is the fence table on SQLite.
#[cfg(feature = "diesel-sqlite")]
pub type SqliteFenceTable = FenceTable<diesel::sqlite::Sqlite>;
/// This is the fence of one term on SQLite.
#[cfg(feature = "diesel-sqlite")]
pub type SqliteFence = Fence<diesel::sqlite::Sqlite>;

/// A fence table creates the fences of a namespace, whose tables were found or created.
pub struct FenceTable<DB> {
    statements: Arc<Statements>,
    backend: PhantomData<fn() -> DB>,
}

/// A fence belongs to one term, which raises it once and checks it in each transaction.
pub struct Fence<DB> {
    statements: Arc<Statements>,
    term: Term,
    backend: PhantomData<fn() -> DB>,
}

impl<DB> FenceTable<DB> {
    /// Returns the fence of a term, without a call to the database.
    #[must_use]
    pub fn fence(&self, term: &Term) -> Fence<DB> {
        Fence { statements: Arc::clone(&self.statements), term: term.clone(), backend: PhantomData }
    }
}

impl<DB> Fence<DB> {
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

/// Implements a fence for a backend.
macro_rules! backend {
    ($backend:ty) => {
        impl FenceTable<$backend> {
            /// Finds the fence's tables, or creates those that are missing if `schema` allows it.
            ///
            /// # Errors
            /// This fails with a [`Datastore`](crate::Error::Datastore) error if a table is missing
            /// and may not be created, or is not as this crate creates it, and if the connection is
            /// in a transaction.
            pub fn open<C>(
                connection: &mut C,
                namespace: &Namespace,
                schema: Schema,
            ) -> Result<Self>
            where
                C: LoadConnection<Backend = $backend>,
            {
                let mut session = DieselSession::<$backend, C>::new(connection);
                let statements = run(protocol::open(&mut session, namespace, schema))?;
                Ok(Self { statements: Arc::new(statements), backend: PhantomData })
            }
        }

        impl Fence<$backend> {
            /// Raises the fence, once a term and before its first write: afterwards no transaction
            /// of an older term can commit.
            ///
            /// It waits for the transactions of older terms that have passed a check, up to the
            /// limit. The connection must not be in a transaction, not even in one that was begun
            /// with a raw `BEGIN`: raising would commit it, and on SQLite fails.
            ///
            /// The limit does not bound the wait for a server that is gone, nor on PostgreSQL the wait
            /// for a synchronous standby: set a timeout on the connection (`tcp_user_timeout`), and
            /// raise the fence again on another one.
            ///
            /// # Errors
            /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence,
            /// and with [`Blocked`](crate::Error::Blocked) after the limit. It fails with a
            /// [`Datastore`](crate::Error::Datastore) error if the connection is in a transaction.
            /// After any other error of that kind close the connection: its server may no longer
            /// accept writes, or on MySQL the connection's own settings may not have been restored.
            pub fn raise<C>(&self, connection: &mut C, limit: Duration) -> Result<()>
            where
                C: LoadConnection<Backend = $backend>,
            {
                let mut session = DieselSession::<$backend, C>::new(connection);
                run(raising::raise(&mut session, &self.statements, &self.term, limit))
            }

            /// Checks as the first statement of a transaction that this term may still write.
            ///
            /// Transactions of one term do not wait for each other. On PostgreSQL the check is refused
            /// in a nested transaction, which is a savepoint.
            ///
            /// # Errors
            /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence,
            /// or has set its intent, and with [`NotRaised`](crate::Error::NotRaised) if this term
            /// has not raised its own: roll back. After a [`Conflict`](crate::Error::Conflict) run
            /// the whole transaction again; after a deadlock MySQL and MariaDB have rolled it back
            /// already. It fails with a [`Datastore`](crate::Error::Datastore) error outside of a
            /// transaction.
            pub fn check<C>(&self, connection: &mut C) -> Result<()>
            where
                C: LoadConnection<Backend = $backend>,
            {
                let mut session = DieselSession::<$backend, C>::new(connection);
                run(protocol::check(&mut session, &self.statements, &self.term))
            }

            /// Fails if this term may not write: call it if a statement with a
            /// [guard](Self::guard) changed no row.
            ///
            /// If it succeeds, the statement's other conditions were false. Call it outside of a
            /// transaction, whose snapshot may be older than the statement.
            ///
            /// # Errors
            /// This fails as `check` does, but needs no transaction.
            pub fn verify<C>(&self, connection: &mut C) -> Result<()>
            where
                C: LoadConnection<Backend = $backend>,
            {
                let mut session = DieselSession::<$backend, C>::new(connection);
                run(protocol::verify(&mut session, &self.statements, &self.term))
            }
        }
    };
}

#[cfg(feature = "diesel-postgres")]
backend!(diesel::pg::Pg);

#[cfg(feature = "diesel-mysql")]
backend!(diesel::mysql::Mysql);

#[cfg(feature = "diesel-sqlite")]
backend!(diesel::sqlite::Sqlite);

impl<DB> Clone for FenceTable<DB> {
    fn clone(&self) -> Self {
        Self { statements: Arc::clone(&self.statements), backend: PhantomData }
    }
}

impl<DB> Clone for Fence<DB> {
    fn clone(&self) -> Self {
        Self {
            statements: Arc::clone(&self.statements),
            term: self.term.clone(),
            backend: PhantomData,
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

#[cfg(test)]
mod tests;
