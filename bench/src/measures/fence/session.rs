//! The fence is checked in a session of each SQL database.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use leasehold_fence::sqlx::{Fence, FenceTable};
use leasehold_fence::{FencingToken, LockName, Namespace, Schema, Term};
use sqlx::pool::PoolOptions;
use sqlx::{Database, MySql, Pool, Postgres, Sqlite, Transaction};

use super::locked_row::{MYSQL, POSTGRES, SQLITE};
use crate::leasehold_client::{NAMESPACE, sqlite_options};
use crate::url::scheme;

const LOCK: &str = "bench-fence";

/// All sessions have the same term, so a raise waits for no other transaction.
const RAISE_LIMIT: Duration = Duration::from_secs(10);

/// A transaction begins with this statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum FirstStatement {
    SelectOne,
    LockedRow,
    Check,
}

/// A session runs one transaction at a time, all on the same connection.
#[async_trait]
pub(super) trait Session: Send {
    /// Begins a transaction with that statement, and returns how long the statement took.
    async fn begin(&mut self, first: FirstStatement) -> Result<Duration>;

    /// Commits the transaction.
    async fn commit(&mut self) -> Result<()>;
}

/// Opens a session and raises its fence, or returns `None` if this is not an SQL database.
pub(super) async fn open(url: &str) -> Result<Option<Box<dyn Session>>> {
    let session = match scheme(url) {
        "postgres" => {
            OneConnection::<Postgres>::open(options::<Postgres>().connect(url).await?).await?
        }
        "mysql" => OneConnection::<MySql>::open(options::<MySql>().connect(url).await?).await?,
        "sqlite" => {
            let pool = options::<Sqlite>().connect_with(sqlite_options(url)).await?;
            OneConnection::<Sqlite>::open(pool).await?
        }
        _ => return Ok(None),
    };
    Ok(Some(session))
}

/// Returns the options of a pool of one connection, so that a transaction can own it.
fn options<DB: Database>() -> PoolOptions<DB> {
    PoolOptions::new().max_connections(1).test_before_acquire(false)
}

struct OneConnection<DB: Database> {
    pool: Pool<DB>,
    fence: Fence<DB>,
    open: Option<Transaction<'static, DB>>,
}

/// Implements the session of a database, whose transactions begin with that command. The locked row
/// has these statements, and its name is bound in that form.
macro_rules! session {
    ($database:ty, $begin:literal, $row:expr, $name:expr) => {
        impl OneConnection<$database> {
            async fn open(pool: Pool<$database>) -> Result<Box<dyn Session>> {
                let namespace = Namespace::new(NAMESPACE)?;
                let table =
                    FenceTable::<$database>::open(&pool, &namespace, Schema::Create).await?;
                let term = Term::new(&LockName::new(LOCK)?, FencingToken::new(1)?);
                let fence = table.fence(&term);
                fence.raise(&pool, RAISE_LIMIT).await?;
                sqlx::query::<$database>($row.create).execute(&pool).await?;
                sqlx::query::<$database>($row.insert).bind($name).execute(&pool).await?;
                Ok(Box::new(Self { pool, fence, open: None }))
            }
        }

        #[async_trait]
        impl Session for OneConnection<$database> {
            async fn begin(&mut self, first: FirstStatement) -> Result<Duration> {
                let mut transaction = self.pool.begin_with($begin).await?;
                let began = Instant::now();
                match first {
                    FirstStatement::SelectOne => {
                        let query = sqlx::query::<$database>("SELECT 1");
                        query.fetch_optional(&mut *transaction).await?;
                    }
                    FirstStatement::LockedRow => {
                        let query = sqlx::query::<$database>($row.read).bind($name);
                        let row = query.fetch_optional(&mut *transaction).await?;
                        row.context("the locked row is missing")?;
                    }
                    FirstStatement::Check => self.fence.check(&mut transaction).await?,
                }
                let took = began.elapsed();
                self.open = Some(transaction);
                Ok(took)
            }

            async fn commit(&mut self) -> Result<()> {
                let transaction = self.open.take().context("no transaction is open")?;
                Ok(transaction.commit().await?)
            }
        }
    };
}

session!(Postgres, "BEGIN", POSTGRES, LOCK);
session!(MySql, "BEGIN", MYSQL, LOCK.as_bytes());
session!(Sqlite, "BEGIN IMMEDIATE", SQLITE, LOCK);
