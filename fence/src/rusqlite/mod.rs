//! The fence for rusqlite.
//!
//! Calls block, so run them where blocking is allowed.
//!
//! ```
//! use std::time::Duration;
//!
//! use leasehold_fence::rusqlite::FenceTable;
//! use leasehold_fence::{FencingToken, LockName, Namespace, Schema, Term};
//! use rusqlite::{Connection, TransactionBehavior};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut connection = Connection::open_in_memory()?;
//! connection.execute_batch("CREATE TABLE ledger (entry TEXT)")?;
//!
//! // At start:
//! let table = FenceTable::open(&connection, &Namespace::default(), Schema::Create)?;
//!
//! // Once a term, with the name and the token of the lock:
//! let name = LockName::new("ledger")?;
//! let fence = table.fence(&Term::new(&name, FencingToken::new(7)?));
//! fence.raise(&connection, Duration::from_secs(10))?;
//!
//! // First in each transaction, which should be an immediate one: a deferred one fails later if
//! // another connection writes in between.
//! let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
//! fence.check(&transaction)?;
//! transaction.execute("INSERT INTO ledger VALUES ('first')", [])?;
//! transaction.commit()?;
//!
//! // Another instance leads now. This one was paused, and resumes:
//! let newer = table.fence(&Term::new(&name, FencingToken::new(8)?));
//! newer.raise(&connection, Duration::from_secs(10))?;
//! let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
//! let error = fence.check(&transaction).unwrap_err();
//! assert!(error.is_stale());
//! # Ok(()) }
//! ```

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Namespace;
use rusqlite::types::Value as SqliteValue;
use rusqlite::{Connection, OptionalExtension, Transaction, params_from_iter};

use crate::error::Result;
use crate::schema::Schema;
use crate::sql::blocking::run;
use crate::sql::failure::Failure;
use crate::sql::protocol;
use crate::sql::raising;
use crate::sql::session::Session;
use crate::sql::{Database, Statement, Statements, Value, Values};
use crate::term::Term;

/// A fence table creates the fences of a namespace, whose table was found or created.
#[derive(Clone, Debug)]
pub struct FenceTable {
    statements: Arc<Statements>,
}

/// A fence belongs to one term, which raises it once and checks it in each transaction.
#[derive(Clone, Debug)]
pub struct Fence {
    statements: Arc<Statements>,
    term: Term,
}

impl FenceTable {
    /// Finds the fence's table, or creates it if it is missing and `schema` allows it.
    ///
    /// # Errors
    /// This fails with a [`Datastore`](crate::Error::Datastore) error if the table is missing and
    /// may not be created, or is not as this crate creates it, and if the connection is in a
    /// transaction.
    pub fn open(connection: &Connection, namespace: &Namespace, schema: Schema) -> Result<Self> {
        let mut session = SqliteSession(connection);
        let statements = run(protocol::open(&mut session, namespace, schema))?;
        Ok(Self { statements: Arc::new(statements) })
    }

    /// Returns the fence of a term, without a call to the database.
    #[must_use]
    pub fn fence(&self, term: &Term) -> Fence {
        Fence { statements: Arc::clone(&self.statements), term: term.clone() }
    }
}

impl Fence {
    /// Raises the fence, once a term and before its first write: afterwards no transaction of an
    /// older term can commit.
    ///
    /// It waits for other connections that write, up to the limit. The connection must not be in a
    /// transaction. Its `busy_timeout` is restored; a `busy_handler` cannot be restored, so set it
    /// again.
    ///
    /// # Errors
    /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence,
    /// and with [`Blocked`](crate::Error::Blocked) after the limit. It fails with a
    /// [`Datastore`](crate::Error::Datastore) error if the connection is in a transaction.
    pub fn raise(&self, connection: &Connection, limit: Duration) -> Result<()> {
        let mut session = SqliteSession(connection);
        run(raising::raise(&mut session, &self.statements, &self.term, limit))
    }

    /// Checks as the first statement of a transaction that this term may still write.
    ///
    /// # Errors
    /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence, and
    /// with [`NotRaised`](crate::Error::NotRaised) if this term has not raised its own: roll back.
    /// After a [`Conflict`](crate::Error::Conflict) run the whole transaction again.
    pub fn check(&self, transaction: &Transaction<'_>) -> Result<()> {
        run(protocol::check(&mut SqliteSession(transaction), &self.statements, &self.term))
    }

    /// Fails if this term may not write: call it if a statement with a [guard](Self::guard) changed
    /// no row.
    ///
    /// If it succeeds, the statement's other conditions were false. Call it outside of a transaction,
    /// whose snapshot may be older than the statement.
    ///
    /// # Errors
    /// This fails as [`check`](Self::check) does.
    pub fn verify(&self, connection: &Connection) -> Result<()> {
        run(protocol::verify(&mut SqliteSession(connection), &self.statements, &self.term))
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

/// A connection runs a fence's statements.
struct SqliteSession<'a>(&'a Connection);

impl SqliteSession<'_> {
    fn query_number(
        &self,
        statement: &Statement,
        values: Values<'_>,
    ) -> rusqlite::Result<Option<i64>> {
        let mut prepared = self.0.prepare(statement.sql())?;
        let number = prepared
            .query_row(params_from_iter(bound_values(statement, values)), |row| {
                row.get::<_, Option<i64>>(0)
            })
            .optional()?;
        Ok(number.flatten())
    }

    fn query_texts(
        &self,
        statement: &Statement,
        values: Values<'_>,
    ) -> rusqlite::Result<Vec<String>> {
        let mut prepared = self.0.prepare(statement.sql())?;
        let rows = prepared
            .query_map(params_from_iter(bound_values(statement, values)), |row| {
                row.get::<_, String>(0)
            })?;
        rows.collect()
    }

    fn run_transaction(
        &self,
        first: Option<&str>,
        statements: &[Statement],
        values: Values<'_>,
        last: Option<&str>,
    ) -> rusqlite::Result<Option<i64>> {
        let transaction = self.0.unchecked_transaction()?;
        if let Some(script) = first {
            transaction.execute_batch(script)?;
        }
        let mut number = None;
        for statement in statements {
            number = SqliteSession(&transaction).query_number(statement, values)?;
        }
        if let Some(script) = last {
            transaction.execute_batch(script)?;
        }
        transaction.commit()?;
        Ok(number)
    }
}

impl Session for SqliteSession<'_> {
    const DATABASE: Database = Database::Sqlite;

    fn in_transaction(&mut self) -> bool {
        !self.0.is_autocommit()
    }

    fn run_script(&mut self, script: &str) -> impl Future<Output = Result<(), Failure>> + Send {
        ready(self.0.execute_batch(script).map_err(failure))
    }

    fn number(
        &mut self,
        statement: &Statement,
        values: Values<'_>,
    ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
        ready(self.query_number(statement, values).map_err(failure))
    }

    fn texts(
        &mut self,
        statement: &Statement,
        values: Values<'_>,
    ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send {
        ready(self.query_texts(statement, values).map_err(failure))
    }

    fn transact(
        &mut self,
        first: Option<&str>,
        statements: &[Statement],
        values: Values<'_>,
        last: Option<&str>,
    ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
        ready(self.run_transaction(first, statements, values, last).map_err(failure))
    }

    fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        std::thread::sleep(time);
        ready(())
    }
}

fn bound_values<'a>(
    statement: &Statement,
    values: Values<'a>,
) -> impl Iterator<Item = SqliteValue> + use<'a> {
    statement.values(values).map(|value| match value {
        Value::Name(name) => SqliteValue::Text(name.to_owned()),
        Value::Number(number) => SqliteValue::Integer(number),
    })
}

fn failure(error: rusqlite::Error) -> Failure {
    // An error that is not SQLite's own is about a value or a column.
    match error.sqlite_error().map(|error| error.extended_code.to_string()) {
        Some(code) => Failure::new(Database::Sqlite, Some(&code), error),
        None => Failure::corrupt(error),
    }
}

#[cfg(test)]
mod tests;
