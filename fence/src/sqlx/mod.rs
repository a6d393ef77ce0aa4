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

mod fence;
mod pool;
mod session;
mod table;

pub use self::fence::Fence;
#[cfg(feature = "url")]
pub(crate) use self::session::SqlxSession;
pub use self::table::FenceTable;

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

#[cfg(feature = "sqlx-sqlite")]
#[cfg(test)]
mod tests;
