//! The fence for diesel, on PostgreSQL, MySQL, MariaDB and SQLite.
//!
//! It works with every connection of such a backend, a pooled one too. Calls block, so run them
//! where blocking is allowed. For diesel-async, run the statements of [`crate::sql`].
//!
//! diesel does not hand on the codes of errors, so what an error means is read from its text, which
//! the server must write in English.
//!
#![cfg_attr(feature = "diesel-sqlite", doc = "```")]
#![cfg_attr(not(feature = "diesel-sqlite"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use diesel::connection::SimpleConnection;
//! use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};
//! use leasehold_fence::diesel::FenceTable;
//! use leasehold_fence::{FencingToken, LockName, Namespace, Schema, Term};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let mut connection = SqliteConnection::establish(":memory:")?;
//! connection.batch_execute("CREATE TABLE ledger (entry TEXT)")?;
//!
//! // At start:
//! let table = FenceTable::<diesel::sqlite::Sqlite>::open(
//!     &mut connection,
//!     &Namespace::default(),
//!     Schema::Create,
//! )?;
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
//! // Another instance leads now. This one was paused, and wakes:
//! let newer = table.fence(&Term::new(&name, FencingToken::new(8)?));
//! newer.raise(&mut connection, Duration::from_secs(10))?;
//! let late = connection.transaction::<_, Failure, _>(|connection| Ok(fence.check(connection)?));
//! assert!(late.is_err());
//! # Ok(()) }
//! ```

use std::fmt;
use std::future::ready;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::connection::{LoadConnection, TransactionManager};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Nullable, Text};
use leasehold_core::Namespace;

use crate::error::Result;
use crate::schema::Schema;
use crate::sql::failure::Failure;
use crate::sql::protocol;
use crate::sql::session::{Session, run};
use crate::sql::{Database, Statement, Statements, Value, Values};
use crate::term::Term;

/// The table of a namespace's fences on a backend of diesel's, which was found to be there.
pub struct FenceTable<DB> {
    statements: Arc<Statements>,
    backend: PhantomData<fn() -> DB>,
}

/// The fence of one term on a backend of diesel's.
pub struct Fence<DB> {
    statements: Arc<Statements>,
    term: Term,
    backend: PhantomData<fn() -> DB>,
}

impl<DB> FenceTable<DB> {
    /// Returns the fence of a term, without a call.
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

/// A connection of a backend runs a fence's statements.
struct DieselSession<'a, DB, C> {
    connection: &'a mut C,
    backend: PhantomData<fn() -> DB>,
}

impl<'a, DB, C> DieselSession<'a, DB, C> {
    fn new(connection: &'a mut C) -> Self {
        Self { connection, backend: PhantomData }
    }
}

/// A statement with its values, whose rows have one column of that type. Unlike `sql_query` it is
/// prepared once per connection, so that a check is one round trip.
struct FenceQuery<'a, ST> {
    statement: &'a Statement,
    values: Vec<Value<'a>>,
    column: PhantomData<ST>,
}

impl<'a, ST> FenceQuery<'a, ST> {
    fn new(statement: &'a Statement, values: Values<'a>) -> Self {
        Self { statement, values: statement.values(values).collect(), column: PhantomData }
    }
}

impl<ST> Query for FenceQuery<'_, ST> {
    type SqlType = ST;
}

impl<ST> QueryId for FenceQuery<'_, ST> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST, C> RunQueryDsl<C> for FenceQuery<'_, ST> {}

/// Implements a fence for a backend: its database, and how it binds a name.
macro_rules! backend {
    ($backend:ty, $database:expr, $name_type:ty, |$name:ident| $bind:expr) => {
        impl<ST> QueryFragment<$backend> for FenceQuery<'_, ST> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                let mut values = self.values.iter();
                for (at, piece) in self.statement.pieces().enumerate() {
                    if at > 0 {
                        match values.next() {
                            Some(Value::Name($name)) => {
                                out.push_bind_param::<$name_type, _>($bind)?;
                            }
                            Some(Value::Number(number)) => {
                                out.push_bind_param::<BigInt, _>(number)?;
                            }
                            None => {}
                        }
                    }
                    out.push_sql(piece);
                }
                Ok(())
            }
        }

        impl<C: LoadConnection<Backend = $backend>> DieselSession<'_, $backend, C> {
            fn query_number(
                connection: &mut C,
                statement: &Statement,
                values: Values<'_>,
            ) -> QueryResult<Option<i64>> {
                if !statement.returns_rows() {
                    let command = FenceQuery::<Nullable<BigInt>>::new(statement, values);
                    return command.execute(connection).map(|_| None);
                }
                let query = FenceQuery::<Nullable<BigInt>>::new(statement, values);
                let rows = query.load::<Option<i64>>(connection)?;
                Ok(rows.into_iter().next().flatten())
            }

            fn run_transaction(
                &mut self,
                script: Option<&str>,
                statements: &[Statement],
                values: Values<'_>,
            ) -> QueryResult<Option<i64>> {
                self.connection.transaction(|connection| {
                    if let Some(script) = script {
                        connection.batch_execute(script)?;
                    }
                    let mut number = None;
                    for statement in statements {
                        number = Self::query_number(connection, statement, values)?;
                    }
                    Ok(number)
                })
            }
        }

        impl<C: LoadConnection<Backend = $backend>> Session for DieselSession<'_, $backend, C> {
            const DATABASE: Database = $database;

            fn in_transaction(&mut self) -> bool {
                let connection = &mut *self.connection;
                <C::TransactionManager as TransactionManager<C>>::transaction_manager_status_mut(
                    connection,
                )
                .transaction_depth()
                .is_ok_and(|depth| depth.is_some())
            }

            fn run_script(
                &mut self,
                script: &str,
            ) -> impl Future<Output = Result<(), Failure>> + Send {
                ready(self.connection.batch_execute(script).map_err(|it| failure($database, it)))
            }

            fn number(
                &mut self,
                statement: &Statement,
                values: Values<'_>,
            ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
                let number = Self::query_number(&mut *self.connection, statement, values);
                ready(number.map_err(|error| failure($database, error)))
            }

            fn texts(
                &mut self,
                statement: &Statement,
                values: Values<'_>,
            ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send {
                let query = FenceQuery::<Text>::new(statement, values);
                let texts = query.load::<String>(&mut *self.connection);
                ready(texts.map_err(|error| failure($database, error)))
            }

            fn transact(
                &mut self,
                script: Option<&str>,
                statements: &[Statement],
                values: Values<'_>,
            ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
                let number = self.run_transaction(script, statements, values);
                ready(number.map_err(|error| failure($database, error)))
            }
        }

        impl FenceTable<$backend> {
            /// Finds the table, or creates it if that is allowed.
            ///
            /// # Errors
            /// This fails with a [`Datastore`](crate::Error::Datastore) error if the table is missing
            /// and may not be created, or is not as this crate creates it.
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
            /// limit. The connection must not be in a transaction.
            ///
            /// # Errors
            /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence,
            /// and with [`Blocked`](crate::Error::Blocked) after the limit.
            pub fn raise<C>(&self, connection: &mut C, limit: Duration) -> Result<()>
            where
                C: LoadConnection<Backend = $backend>,
            {
                let mut session = DieselSession::<$backend, C>::new(connection);
                run(protocol::raise(&mut session, &self.statements, &self.term, limit))
            }

            /// Checks as the first statement of a transaction that this term may still write.
            ///
            /// Transactions of one term do not wait for each other.
            ///
            /// # Errors
            /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence,
            /// or has announced it: roll back. After a [`Conflict`](crate::Error::Conflict) run the
            /// whole transaction again.
            pub fn check<C>(&self, connection: &mut C) -> Result<()>
            where
                C: LoadConnection<Backend = $backend>,
            {
                let mut session = DieselSession::<$backend, C>::new(connection);
                run(protocol::check(&mut session, &self.statements, &self.term))
            }

            /// Says why a statement with a [guard](Self::guard) changed nothing: it fails if this
            /// term may not write, and otherwise the statement's other conditions were false.
            ///
            /// # Errors
            /// It fails as [`check`](Self::check) does.
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
backend!(diesel::pg::Pg, Database::Postgres, Text, |name| *name);

// As bytes, so that no character set matters.
#[cfg(feature = "diesel-mysql")]
backend!(diesel::mysql::Mysql, Database::MySql, diesel::sql_types::Binary, |name| name.as_bytes());

#[cfg(feature = "diesel-sqlite")]
backend!(diesel::sqlite::Sqlite, Database::Sqlite, Text, |name| *name);

fn failure(database: Database, error: DieselError) -> Failure {
    let code = code(&error);
    Failure::new(database, code, error)
}

/// Returns the code that the database gave an error, as far as its text tells; empty for another
/// one, and `None` if there was no answer.
fn code(error: &DieselError) -> Option<&'static str> {
    let (kind, text) = match error {
        DieselError::DatabaseError(kind, information) => (kind, information.message()),
        DieselError::RollbackErrorOnCommit { commit_error, .. } => return code(commit_error),
        DieselError::BrokenTransactionManager => return None,
        _ => return Some(""),
    };
    match kind {
        DatabaseErrorKind::SerializationFailure => return Some("40001"),
        DatabaseErrorKind::ReadOnlyTransaction => return Some("25006"),
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            return None;
        }
        _ => {}
    }
    TEXTS.iter().find(|(part, _)| text.contains(part)).map_or(Some(""), |(_, code)| *code)
}

/// These are parts of the texts of errors, with their codes.
const TEXTS: [(&str, Option<&str>); 16] = [
    ("due to statement timeout", Some("57014")),
    ("due to user request", Some("57014")),
    ("due to lock timeout", Some("55P03")),
    ("deadlock detected", Some("40P01")),
    ("permission denied", Some("42501")),
    ("no schema has been selected", Some("3F000")),
    ("current transaction is aborted", Some("25P02")),
    ("Lock wait timeout exceeded", Some("1205")),
    ("Deadlock found", Some("1213")),
    ("command denied", Some("1142")),
    ("No database selected", Some("1046")),
    ("gone away", None),
    ("Lost connection", None),
    ("database is locked", Some("5")),
    ("database table is locked", Some("6")),
    ("readonly database", Some("8")),
];

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
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_error_tells_a_wait_from_a_refusal() {
        let error = |kind, text: &str| DieselError::DatabaseError(kind, Box::new(text.to_owned()));
        let unknown = |text| code(&error(DatabaseErrorKind::Unknown, text));
        assert_eq!(unknown("canceling statement due to statement timeout"), Some("57014"));
        assert_eq!(unknown("Lock wait timeout exceeded; try restarting"), Some("1205"));
        assert_eq!(unknown("database is locked"), Some("5"));
        assert_eq!(unknown("something else"), Some(""));
        assert_eq!(unknown("MySQL server has gone away"), None);
        assert_eq!(code(&error(DatabaseErrorKind::SerializationFailure, "x")), Some("40001"));
    }
}
