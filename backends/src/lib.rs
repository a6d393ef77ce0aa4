//! Named locks and leader election on the datastore you already have.
//!
//! Of many instances of an application, one at a time holds a named lock, or leads and runs a job;
//! when it dies, another takes over. The datastore that the application already has decides, by its
//! own clock: you add no server, and the instances' clocks need not agree.
//!
//! # What it cannot do
//!
//! No lease can keep a process that was paused, and wakes too late, from acting on what it once
//! held: for that, hand the fencing token to whatever would be damaged, and let it refuse a token
//! older than the newest it has seen. What else each datastore cannot promise stands on the page of
//! its module.
//!
//! # A lock
//!
//! For a section that one instance at a time may be in:
//!
//! ```
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold::Result<()> {
//! let client = leasehold::connect("memory:").await?;
//! let lock = client.lock("nightly-report")?;
//!
//! // Once, or with patience:
//! if let Some(guard) = lock.try_acquire().await? {
//!     guard.release().await?;
//! }
//! let guard = lock.acquire(Duration::from_secs(30)).await?;
//!
//! tokio::select! {
//!     () = write_report(guard.token().get()) => guard.release().await?,
//!     loss = guard.lost() => eprintln!("giving up half-way: {loss}"),
//! }
//! # Ok(()) }
//! # async fn write_report(_: u64) {}
//! ```
//!
//! The [`Guard`] is kept by heartbeats for as long as it lives. [`Guard::is_held`] compares with the
//! clock at the call and turns false before anybody else can be granted the lock.
//!
//! # An election
//!
//! For work that one instance does for as long as it lives, and another when it dies: a [`Job`],
//! or closures.
//!
//! ```
//! use leasehold::election::{self, Leadership, StopReason};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold::Result<()> {
//! let client = leasehold::connect("memory:").await?;
//! let job = election::start_stop(
//!     |leadership: Leadership| async move {
//!         println!("scheduling, under token {}", leadership.token());
//!         leadership.cancelled().await; // or return at once: the term goes on
//!         Ok(())
//!     },
//!     |reason: StopReason| async move { println!("no longer scheduling: {reason}") },
//! );
//! let handle = client.election("job-scheduler")?.spawn(job);
//!
//! // Any instance sees who leads, and can stop the job everywhere:
//! client.disable("job-scheduler", "database upgrade").await?;
//! client.enable("job-scheduler").await?;
//!
//! handle.shutdown().await; // stops the job, then gives the lead to another at once
//! # Ok(()) }
//! ```
//!
//! For each term `start` is called once, on the leader, and then `stop` exactly once, on that same
//! instance, before another starts. [`Settings`] has one knob, the ttl, and consistent defaults.
//!
//! # Settings from outside
//!
//! With feature `config`, `configuration::load()` reads and checks settings from environment
//! variables and files, and the module says which hold.
//!
//! # The choice of a backend
//!
//! Each is a cargo feature and a module; [`url`] lists the URLs, and each module takes the
//! application's own pool as well.
//!
//! | feature | store | pick it when |
//! |---|---|---|
//! | (none) | [`MemoryStore`] | one process is all there is, as in tests |
//! | `sqlite` | `sqlite::SqliteStore` | all instances run on one machine |
//! | `postgres` | `postgres::PostgresStore` | the application has PostgreSQL |
//! | `mysql` | `mysql::MySqlStore` | the application has MySQL or MariaDB |
//! | `redis` | `redis::RedisStore` | the application has Redis or Valkey, and fences what a failover must not hurt |
//! | `mongodb` | `mongodb::MongoStore` | the application has MongoDB |
//! | `etcd` | `etcd::EtcdStore` | the application has etcd, and leases of 2 s or more will do |
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
//! A datastore that is not here needs an implementation of [`LockStore`], which the crate
//! `leasehold-conformance` puts through the same suite as these.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub use leasehold_core::*;

mod common;
#[cfg(feature = "config")]
pub mod configuration;
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
pub mod url;

pub use open_options::{OpenOptions, Schema};

/// A client of the store of that URL, with the default namespace and settings.
///
/// [`url::open`] and [`Client::builder`] together do the same with options; [`url`] lists the
/// forms.
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
