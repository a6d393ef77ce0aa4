//! Locks in a MySQL or MariaDB database.
//!
//! # What it guarantees, and what not
//!
//! * Leases run by the **server's clock**, and a grant lasts as a commit does. A fail-over to an
//!   *asynchronous* replica can lose the last commits, and with them a grant or a disable: two
//!   holders are then possible until the older one's lease ends. So can a crash of a server with
//!   `innodb_flush_log_at_trx_commit` other than 1.
//! * Fencing tokens follow the server's clock in microseconds, so that they grow even when commits
//!   were lost, unless the new server's clock is behind by more than the time since the last grant.
//! * A server whose clock is set **forward** ends leases early: keep servers on NTP, slewing.
//! * Galera and group replication check for conflicts when they commit: send all locks' traffic to
//!   one node. A store refuses to open on a server that does not accept writes.
//! * With `binlog_format = STATEMENT` replicas would get other times: use `ROW`, the default.
//!
//! # How it works
//!
//! A lock is a row of the InnoDB table `<namespace>_locks`. Each operation is decided by one prepared
//! statement, which is its own transaction: nothing is left open when a call is dropped. Acquiring a
//! free name, renewing and releasing take one round trip; a name that is held or disabled is looked
//! at in a second one. Where a statement may wait for a row, the clock is read
//! after the row's lock is had, so that a lease that ran out meanwhile is not revived.
//!
//! [`watch`](crate::LockStore::watch) reads every two seconds what was released, disabled or
//! enabled since, and twice a second while a change is waited for that no user-level lock will
//! announce. After a release a store passes on the user-level lock of its holder, for which waiters
//! wait, so that they read at once. That takes a few connections beside the pool's: one
//! for a store that holds leases, and up to three for one that waits.
//!
//! ```no_run
//! use leasehold::mysql::MySqlStore;
//! use leasehold::{Client, OpenOptions};
//! use sqlx::MySqlPool;
//! use std::time::Duration;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = MySqlPool::connect("mysql://app@localhost/app").await?;
//! let store = MySqlStore::from_pool(pool.clone(), &OpenOptions::default()).await?;
//! let lock = Client::new(store)?.lock("nightly-report")?;
//! let guard = lock.acquire(Duration::from_secs(30)).await?;
//! println!("held under token {}", guard.token());
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```

mod backend;
mod calls;
mod config;
mod error_codes;
mod instances;
mod listener;
mod notifier;
mod prune;
mod release_notifications;
mod row;
mod schema;
mod session;
mod sql;
mod store;
mod user_lock;
mod watch;

use std::sync::Arc;

pub use calls::MySql;
pub use store::MySqlStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = MySqlStore::connect(url, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: MySqlStore::schema,
    #[cfg(fuzzing)]
    label: |url| Ok(config::label(&config::from_url(url)?)),
};
