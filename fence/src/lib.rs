//! A fence makes sure that a leader whose term is over cannot commit.
//!
//! A lease cannot stop a process that was paused and resumes too late. The fencing token can, if
//! each write checks it where the data is, in the application's own transaction:
//!
//! * `raise`, once a term, before its first write: it refuses all older terms, and waits for those
//!   of their transactions that had passed a check, up to a limit.
//! * `check`, the first statement of each transaction: it fails with [`Error::Stale`] if a newer
//!   term has raised its fence.
//!
//! So once `raise` has returned, no transaction of an older term can commit. Transactions of one term
//! run side by side, except on SQLite, which has one writer at a time, and on MongoDB.
//!
//! In an SQL database a single statement needs no transaction: the fence's `guard` is a condition
//! for its WHERE clause. If the statement changed no row, `verify` fails if the term is over.
//!
//! The locks may be in another datastore than the data: a fence takes a [`Term`], which is a name
//! and a token.
//!
//! # Drivers
//!
//! Each driver is a module and a feature, and none is on by default. For other drivers of SQL
//! databases, the module [`sql`] has the statements.
//!
//! | module | features |
//! |---|---|
//! | `sqlx` | `sqlx-postgres`, `sqlx-mysql` (MariaDB too), `sqlx-sqlite` |
//! | `tokio_postgres` | `tokio-postgres` |
//! | `diesel` | `diesel-postgres`, `diesel-mysql`, `diesel-sqlite` |
//! | `rusqlite` | `rusqlite` |
//! | `redis` | `redis` (Valkey too) |
//! | `mongodb` | `mongodb` |
//! | `etcd` | `etcd` |
//!
//! [`raise_fn`] makes a fence for an election of Leasehold, and the module `url` (feature `url`)
//! opens one by its URL.
//!
//! # What it needs
//!
//! * A table beside the data, `<namespace>_fence`, which has the token that was raised last, and on
//!   servers `<namespace>_fence_intent`, which has the token that is being raised. They are created
//!   at start, or by the application's own migrations: [`sql::schema`] prints them. With the tables
//!   in place the application's user needs SELECT, INSERT and UPDATE on them.
//! * The check comes first in its transaction. On MySQL at REPEATABLE READ, the snapshot of an
//!   earlier read would show the data of an older term.
//! * The check's lock is kept until the commit: check before any savepoint, because PostgreSQL
//!   releases the lock if the savepoint is rolled back (only with diesel is such a check refused),
//!   and run no statement that commits by itself, as those that change tables do on MySQL.
//! * A pooler in transaction mode, such as PgBouncer, supports prepared statements if the driver
//!   prepares any, as sqlx does. The fence leaves nothing in a session.
//! * There is one primary. The servers of a cluster with several (Galera, group replication) do not
//!   see each other's shared locks: raise and check on the same one.
//! * Commits are durable. A crash or failover that loses the latest commits can lose a `raise`.
//! * On SQLite the data is in the same file. A deferred transaction that writes only to an attached
//!   one is not refused; begin it with `BEGIN IMMEDIATE`.
//! * On MySQL and MariaDB a check of an older term is not refused at once while a newer term waits in
//!   `raise`: the check waits until `raise` has ended, and is refused then.
//! * On MySQL and MariaDB at SERIALIZABLE a check locks the intent too. So after
//!   [`Error::Blocked`] older terms may still pass a check, until `raise` is called again.
//! * On MySQL and MariaDB a raise changes `autocommit`, `completion_type` and the limits of waits
//!   of its session, and restores them at the end. If it cannot restore them, it returns an error,
//!   and the connection must be closed; the raise itself closes a connection of sqlx's pool.
//! * At REPEATABLE READ and SERIALIZABLE the database ends some transactions that conflict
//!   ([`Error::Conflict`], or an error of the application's own statements): run those again as a
//!   whole, with their check. After a deadlock (error 1213) MySQL and MariaDB have rolled back the
//!   whole transaction, and each statement that follows takes effect by itself.
//!
//! # What it does not do
//!
//! It protects what the same transaction writes, in the same database. A message, a file or another
//! database needs a check of its own.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "diesel-mysql", feature = "diesel-postgres", feature = "diesel-sqlite"))]
pub mod diesel;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "mongodb")]
pub mod mongodb;
mod raise;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "rusqlite")]
pub mod rusqlite;
mod schema;
pub mod sql;
#[cfg(any(feature = "sqlx-mysql", feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
pub mod sqlx;
mod term;
#[cfg(feature = "tokio-postgres")]
pub mod tokio_postgres;
#[cfg(feature = "url")]
pub mod url;

pub use error::{Blocked, Error, NotRaised, Result, Session, Stale};
pub use leasehold_core::{FencingToken, LockName, Namespace};
pub use raise::{raise_fn, raise_outcome};
pub use schema::Schema;
pub use term::Term;
