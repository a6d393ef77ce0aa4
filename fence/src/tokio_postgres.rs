//! The fence for tokio-postgres.
//!
//! A check is one round trip and prepares nothing, so that it also works behind a pooler.
//!
//! ```
//! use std::time::Duration;
//!
//! use leasehold_fence::tokio_postgres::{Fence, FenceTable};
//! use leasehold_fence::{LockName, FencingToken, Namespace, Schema, Term};
//! use tokio_postgres::Client;
//!
//! # type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//! /// Once a term, with the name and the token of the lock.
//! async fn start(client: &mut Client, name: &LockName, token: FencingToken) -> Result<Fence> {
//!     let table = FenceTable::open(client, &Namespace::default(), Schema::Create).await?;
//!     let fence = table.fence(&Term::new(name, token));
//!     fence.raise(client, Duration::from_secs(10)).await?;
//!     Ok(fence)
//! }
//!
//! /// First in each transaction.
//! async fn enter(client: &mut Client, fence: &Fence, entry: &str) -> Result<()> {
//!     let transaction = client.transaction().await?;
//!     fence.check(&transaction).await?;
//!     transaction.execute("INSERT INTO ledger VALUES ($1)", &[&entry]).await?;
//!     transaction.commit().await?;
//!     Ok(())
//! }
//! ```

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Namespace;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

use crate::error::Result;
use crate::schema::Schema;
use crate::sql::failure::{Class, Failure};
use crate::sql::protocol;
use crate::sql::raising;
use crate::sql::session::Session;
use crate::sql::{Database, Statement, Statements, Value, Values};
use crate::term::Term;

/// A fence table creates the fences of a namespace, whose tables were found or created.
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
    /// Finds the fence's tables, or creates those that are missing if `schema` allows it.
    ///
    /// The client must not be in a transaction that was begun with a raw `BEGIN`: rolling it back
    /// would remove tables that this has created.
    ///
    /// # Errors
    /// This fails with a [`Datastore`](crate::Error::Datastore) error if a table is missing and may
    /// not be created, or is not as this crate creates it.
    ///
    /// # Cancel safety
    /// If the future is dropped, some tables may have been created; open them again.
    pub async fn open(client: &mut Client, namespace: &Namespace, schema: Schema) -> Result<Self> {
        let mut session = PgSession::Exclusive(client);
        let statements = protocol::open(&mut session, namespace, schema).await?;
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
    /// It waits for the transactions of older terms that have passed a check, up to the limit.
    ///
    /// The client must not be in a transaction that was begun with a raw `BEGIN`, which would be
    /// committed.
    ///
    /// The limit does not bound the wait for a server that is gone or for a synchronous standby: wrap
    /// the call in a timeout, and then raise the fence again.
    ///
    /// # Errors
    /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence,
    /// and with [`Blocked`](crate::Error::Blocked) after the limit.
    ///
    /// # Cancel safety
    /// If the future is dropped, the fence is raised or not; raise it again. The client's next call
    /// waits until the server has ended this one.
    pub async fn raise(&self, client: &mut Client, limit: Duration) -> Result<()> {
        let mut session = PgSession::Exclusive(client);
        raising::raise(&mut session, &self.statements, &self.term, limit).await
    }

    /// Checks as the first statement of a transaction that this term may still write.
    ///
    /// Transactions of one term do not wait for each other.
    ///
    /// Do not check in a nested transaction, which is a savepoint: if it is rolled back, the check's
    /// lock is released.
    ///
    /// # Errors
    /// This fails with [`Stale`](crate::Error::Stale) if a newer term has raised its fence, or has
    /// set its intent, and with [`NotRaised`](crate::Error::NotRaised) if this term has not raised
    /// its own: roll back. After a [`Conflict`](crate::Error::Conflict) run the whole transaction
    /// again.
    ///
    /// # Cancel safety
    /// If the future is dropped, it is not known whether the term may write; roll back.
    pub async fn check(&self, transaction: &Transaction<'_>) -> Result<()> {
        let mut session = PgSession::Shared(transaction.client());
        protocol::check(&mut session, &self.statements, &self.term).await
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
    pub async fn verify(&self, client: &Client) -> Result<()> {
        let mut session = PgSession::Shared(client);
        protocol::verify(&mut session, &self.statements, &self.term).await
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

/// A client runs a fence's statements.
enum PgSession<'a> {
    /// No transaction is open, since it would borrow the client.
    Exclusive(&'a mut Client),
    /// A transaction may be open.
    Shared(&'a Client),
}

impl PgSession<'_> {
    fn client(&self) -> &Client {
        match self {
            Self::Exclusive(client) => client,
            Self::Shared(client) => client,
        }
    }
}

impl Session for PgSession<'_> {
    const DATABASE: Database = Database::Postgres;

    fn in_transaction(&mut self) -> bool {
        matches!(self, Self::Shared(_))
    }

    async fn run_script(&mut self, script: &str) -> Result<(), Failure> {
        self.client().batch_execute(script).await.map_err(failure)
    }

    async fn number(
        &mut self,
        statement: &Statement,
        values: Values<'_>,
    ) -> Result<Option<i64>, Failure> {
        number(self.client(), statement, values).await
    }

    async fn texts(
        &mut self,
        statement: &Statement,
        values: Values<'_>,
    ) -> Result<Vec<String>, Failure> {
        let rows = rows(self.client(), statement, values).await?;
        rows.iter().map(|row| row.try_get::<_, String>(0).map_err(Failure::corrupt)).collect()
    }

    async fn transact(
        &mut self,
        first: Option<&str>,
        statements: &[Statement],
        values: Values<'_>,
        last: Option<&str>,
    ) -> Result<Option<i64>, Failure> {
        let Self::Exclusive(client) = self else {
            let error = leasehold_core::Error::invalid("a transaction is open");
            return Err(Failure { class: Class::Refused, error });
        };
        let transaction = client.transaction().await.map_err(failure)?;
        if let Some(script) = first {
            transaction.batch_execute(script).await.map_err(failure)?;
        }
        let mut returned = None;
        for statement in statements {
            returned = number(transaction.client(), statement, values).await?;
        }
        if let Some(script) = last {
            transaction.batch_execute(script).await.map_err(failure)?;
        }
        transaction.commit().await.map_err(failure)?;
        Ok(returned)
    }

    async fn pause(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

async fn number(
    client: &Client,
    statement: &Statement,
    values: Values<'_>,
) -> Result<Option<i64>, Failure> {
    match rows(client, statement, values).await?.first() {
        Some(row) => row.try_get::<_, Option<i64>>(0).map_err(Failure::corrupt),
        None => Ok(None),
    }
}

async fn rows(
    client: &Client,
    statement: &Statement,
    values: Values<'_>,
) -> Result<Vec<Row>, Failure> {
    let values = statement.values(values).collect::<Vec<_>>();
    let parameters = values.iter().map(parameter).collect::<Vec<_>>();
    client.query_typed(statement.sql(), &parameters).await.map_err(failure)
}

fn parameter<'a>(value: &'a Value<'_>) -> (&'a (dyn ToSql + Sync), Type) {
    match value {
        Value::Name(name) => (name as &(dyn ToSql + Sync), Type::TEXT),
        Value::Number(number) => (number as &(dyn ToSql + Sync), Type::INT8),
    }
}

fn failure(error: tokio_postgres::Error) -> Failure {
    let code = error.code().map(|code| code.code().to_owned());
    Failure::new(Database::Postgres, code.as_deref(), error)
}
