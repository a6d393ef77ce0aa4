//! The statements of a fence on SQL databases, which all drivers share.
//!
//! An application with a driver that this crate has no module for runs [`Statements`] itself, on the
//! tables that [`schema`] creates:
//!
//! 1. To raise the fence, once a term: run [`set_intent`](Statements::set_intent) in a transaction of
//!    its own; if it returns more than the token, the term is stale, otherwise this is the floor for
//!    what follows. Run [`raise`](Statements::raise) in a second transaction, with a limit on its
//!    time; if it returns more than the token, the term is stale.
//! 2. To check it, first in each transaction: run [`check`](Statements::check). If it returns no
//!    row, roll back.
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
pub(crate) mod protocol;
#[cfg(feature = "_sql-driver")]
pub(crate) mod session;
mod statement;
mod statements;
mod table;
#[cfg(feature = "_sql-driver")]
mod values;
#[cfg(feature = "_sql-driver")]
mod verdict;

pub use statement::{Database, Parameter, Statement};
pub use statements::Statements;
pub use table::schema;
#[cfg(feature = "_sql-driver")]
pub(crate) use values::{Value, Values};
