//! Locks in a PostgreSQL database.
//!
//! # What it guarantees, and what not
//!
//! * Leases run by the **server's clock**, and a grant lasts as a commit does. A fail-over to an
//!   *asynchronous* replica can lose the last commits, and with them a grant or a disable: two
//!   holders are then possible until the older one's lease ends. With synchronous replication
//!   (`synchronous_standby_names`) nothing is lost. `synchronous_commit = off` can lose the last
//!   commits of a server that crashes.
//! * Fencing tokens follow the server's clock in microseconds, so that they grow even when commits
//!   were lost, unless the new server's clock is behind by more than the time since the last grant.
//! * A server whose clock is set **forward** ends leases early: keep servers on NTP, slewing.
//! * The locks are of one database. Readers of a replica see an older state; a store refuses to
//!   open on a server that does not accept writes.
//!
//! # How it works
//!
//! A lock is a row of the table `<namespace>_locks`. Each operation is one prepared statement, which
//! is its own transaction: one round trip, and nothing is left open when a call is dropped. Where a
//! statement may wait for a row, the clock is read after the row's lock is had, so that a lease that
//! ran out meanwhile is not revived. Asking for a name that is held writes nothing.
//!
//! [`watch`](crate::LockStore::watch) listens for notifications on one connection of its own,
//! beside the pool; they are sent by release, disable and enable, never by heartbeats. Behind a
//! pooler that shares sessions (PgBouncer in transaction mode) it never listens: one query a second
//! reads the changes of all the names that this process asks about.
//!
//! ```no_run
//! use leasehold::postgres::PostgresStore;
//! use leasehold::{Client, OpenOptions};
//! use sqlx::PgPool;
//! use std::time::Duration;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = PgPool::connect("postgres://app@localhost/app").await?;
//! let store = PostgresStore::from_pool(pool.clone(), &OpenOptions::default()).await?;
//! let lock = Client::new(store)?.lock("nightly-report")?;
//! let guard = lock.acquire(Duration::from_secs(30)).await?;
//! println!("held under token {}", guard.token());
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```

mod backend;
mod calls;
mod columns;
mod config;
mod connect_url;
mod error_codes;
mod instances;
mod listen_state;
mod listener;
mod notify;
mod poll;
mod polled_names;
mod pooler;
mod prune;
mod row;
mod schema;
mod session;
mod sql;
mod store;
mod watch;

use std::sync::Arc;

pub use calls::Postgres;
pub use store::PostgresStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = PostgresStore::connect(url, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: PostgresStore::schema,
    #[cfg(fuzzing)]
    label: |url| Ok(config::label(&config::from_url(url)?)),
};
