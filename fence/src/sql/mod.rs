//! All drivers share these statements of a fence on SQL databases.
//!
//! An application whose driver has no module in this crate runs [`Statements`] itself, on the
//! tables that [`schema`] creates:
//!
//! 1. To raise the fence, once a term and before its first write, outside of any transaction:
//!    1. Run [`set_intent`](Statements::set_intent) in a transaction, and commit it before you go on:
//!       an intent that is not committed refuses no check. If it returns more than the token, the
//!       term is stale; otherwise what it returns is the floor for the statements that follow. On
//!       SQLite there is no such statement.
//!    2. Run [`raised`](Statements::raised) by itself. If it returns at least that floor, the fence is
//!       raised already; the next step would wait for this term's own transactions.
//!    3. Run [`raise`](Statements::raise) in a second transaction, and commit it. If it returns more
//!       than the token, the term is stale. Once the commit has succeeded, the fence is raised.
//! 2. To check it: run [`check`](Statements::check) first in each transaction, before any savepoint.
//!    If it returns no row, roll back. On SQLite begin the transaction with `BEGIN IMMEDIATE`.
//!
//! Limit how long each statement of a raise may wait, and repeat its whole transaction until a
//! limit of your own expires. If one of these limits expires, older terms may still commit:
//!
//! * on PostgreSQL `SET LOCAL statement_timeout`, because a `lock_timeout` begins again with each
//!   transaction for which a statement waits;
//! * on MySQL and MariaDB `innodb_lock_wait_timeout` and `lock_wait_timeout`; a session without
//!   `autocommit` must end the transaction that each read begins;
//! * on SQLite `busy_timeout`: a few milliseconds until the statement has returned, and then all
//!   the time that is left until the commit has.
//!
//! A commit without a reply may have raised the fence: raise it again.
//!
//! ```
//! use leasehold_fence::Namespace;
//! use leasehold_fence::sql::{Database, Parameter, Statements};
//!
//! let statements = Statements::new(Database::Postgres, &Namespace::default());
//! let values = statements.check.parameters().iter().map(|parameter| match parameter {
//!     Parameter::Name => "the name of the lock",
//!     Parameter::Floor => "the term's floor",
//!     _ => "the term's token",
//! });
//! println!("{} with {:?}", statements.check.sql(), values.collect::<Vec<_>>());
//!
//! let mut transactions = vec![&statements.set_intent, &statements.raise];
//! transactions.retain(|statements| !statements.is_empty());
//! for statements in transactions {
//!     println!("BEGIN");
//!     for statement in statements {
//!         println!("{}", statement.sql());
//!     }
//!     println!("COMMIT");
//! }
//! ```

#[cfg(any(
    feature = "diesel-mysql",
    feature = "diesel-postgres",
    feature = "diesel-sqlite",
    feature = "rusqlite"
))]
pub(crate) mod blocking;
#[cfg(feature = "_sql-driver")]
mod description;
#[cfg(feature = "_sql-driver")]
pub(crate) mod failure;
#[cfg(feature = "_sql-driver")]
mod installed_table;
#[cfg(feature = "_sql-driver")]
mod limit;
#[cfg(feature = "_sql-driver")]
mod may_write;
#[cfg(feature = "_sql-driver")]
pub(crate) mod protocol;
#[cfg(feature = "_sql-driver")]
pub(crate) mod raising;
#[cfg(feature = "_sql-driver")]
pub(crate) mod session;
mod statement;
mod statements;
mod table;
#[cfg(feature = "_sql-driver")]
mod values;

pub use statement::{Database, Parameter, Statement};
pub use statements::Statements;
pub use table::schema;
#[cfg(feature = "_sql-driver")]
pub(crate) use values::{Value, Values};
