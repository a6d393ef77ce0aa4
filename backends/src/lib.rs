//! Named locks and leader election on the datastore you already have.
//!
//! Of many instances of an application, one at a time holds a named lock, or leads and runs a job;
//! when it dies, another takes over. The datastore that the application already has decides, by its
//! own clock: you add no server, and the instances' clocks need not agree.
//!
//! # What it cannot do
//!
//! No lease can stop a process that was paused and resumes too late: pass the fencing token to the
//! resource that you protect, and let it refuse tokens older than the newest one that it has seen.
//! The page of each module says what else its datastore cannot promise.
//!
//! # A lock
//!
//! A lock protects a section of code that one instance at a time may run:
//!
//! ```
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold::Result<()> {
//! let client = leasehold::connect("memory:").await?;
//! let lock = client.lock("nightly-report")?;
//!
//! // Try once, or wait up to a limit:
//! if let Some(guard) = lock.try_acquire().await? {
//!     guard.release().await?;
//! }
//! let guard = lock.acquire(Duration::from_secs(30)).await?;
//!
//! tokio::select! {
//!     () = write_report(guard.token().get()) => guard.release().await?,
//!     loss = guard.lost() => eprintln!("the report was interrupted: {loss}"),
//! }
//! # Ok(()) }
//! # async fn write_report(_: u64) {}
//! ```
//!
//! Heartbeats renew the lease for as long as the [`Guard`] exists. [`Guard::is_held`] compares with
//! the clock at the call, and returns false before another client can be granted the lock.
//!
//! # An election
//!
//! An election runs work on one instance, and on another one when the first dies. The work is a
//! [`Job`] or closures.
//!
//! ```
//! use leasehold::election::{self, Leadership, StopReason};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold::Result<()> {
//! let client = leasehold::connect("memory:").await?;
//! let job = election::job_from_fns(
//!     |leadership: Leadership| async move {
//!         println!("scheduling, under token {}", leadership.token());
//!         leadership.cancelled().await; // or return at once: the term continues
//!         Ok(())
//!     },
//!     |reason: StopReason| async move { println!("no longer scheduling: {reason}") },
//! );
//! let handle = client.election("job-scheduler")?.spawn(job);
//!
//! // Any instance can stop the job on all instances:
//! client.disable("job-scheduler", "database upgrade").await?;
//! client.enable("job-scheduler").await?;
//!
//! handle.shutdown().await; // stops the job, then another leads at once
//! # Ok(()) }
//! ```
//!
//! For each term `start` is called once, on the leader, and then `stop` exactly once, on that same
//! instance, before another starts. [`Settings`] has one main value, the ttl, and consistent
//! defaults.
//!
//! # Configuration
//!
//! With the feature `config`, `configuration::load()` reads and checks settings from environment
//! variables and files; the module says which source is used.
//!
//! # Choosing a backend
//!
//! Each backend is a cargo feature and a module. [`url`] lists the URLs; each module also accepts
//! the application's own pool or client.
//!
//! | feature | store | choose it when |
//! |---|---|---|
//! | (none) | [`MemoryStore`] | there is only one process, as in tests |
//! | `sqlite` | `sqlite::SqliteStore` | all instances run on one machine |
//! | `postgres` | `postgres::PostgresStore` | the application has PostgreSQL |
//! | `mysql` | `mysql::MySqlStore` | the application has MySQL or MariaDB |
//! | `redis` | `redis::RedisStore` | the application has Redis or Valkey, and fences writes that a failover must not damage |
//! | `mongodb` | `mongodb::MongoStore` | the application has MongoDB |
//! | `mongodb-srv` | the same, with URLs of `mongodb+srv` too | DNS names the servers of MongoDB |
//! | `etcd` | `etcd::EtcdStore` | the application has etcd, and leases of 2 s or more are short enough |
//! | `config` | none: it adds the module `configuration` | the environment and files hold the settings |
//! | `crash-release` | none: it adds the module `crash_release`, on Unix | another instance must take over at once when a process was killed |
//!
#![cfg_attr(
    feature = "sqlite",
    doc = r#"
```
use leasehold::sqlite::SqliteStore;
use leasehold::{Client, OpenOptions};
use sqlx::sqlite::SqlitePoolOptions;

# #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
let store = SqliteStore::from_pool(pool, &OpenOptions::default()).await?;
let client = Client::new(store)?;
assert!(client.lock("nightly-report")?.try_acquire().await?.is_some());
# Ok(()) }
```
"#
)]
//!
//! For another datastore, implement [`shell::Backend`] or [`LockStore`], and run the suite of the
//! crate `leasehold-conformance` on it.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub use leasehold_core::*;

mod common;
#[cfg(feature = "config")]
pub mod configuration;
#[cfg(all(unix, feature = "crash-release"))]
pub mod crash_release;
mod driver;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "mysql")]
pub mod mysql;
mod open_options;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
mod registry;
pub mod shell;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store_address;
pub mod url;

pub use open_options::{OpenOptions, Schema};

/// Connects to the store of that URL, with the default namespace and settings.
///
/// To set options, use [`url::open`] and [`Client::builder`] instead; [`url`] lists the forms of
/// URLs.
///
/// # Errors
/// This fails for the same reasons as [`url::open`].
///
/// # Cancel safety
/// A dropped call leaves the schema either as it was or complete.
pub async fn connect(url: &str) -> Result<Client> {
    let store = url::open(url, &OpenOptions::default()).await?;
    Client::builder(store).build()
}
