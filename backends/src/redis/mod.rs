//! Locks in Redis or Valkey, one hash each.
//!
//! # What it guarantees, and what not
//!
//! * Replication is **asynchronous**: a failover, to a replica of a cluster or by sentinels, can
//!   lose the last grants, and a primary that is cut off goes on granting and renewing: then two
//!   holders have the lock. `min-replicas-to-write 1` with a small `min-replicas-max-lag` on the
//!   servers bounds that; with `?wait_replicas=N` in the URL, a holder notices that its renewals do
//!   not reach replicas. Fencing tokens follow the clock and still grow.
//! * A **restart** loses what was not on disk: everything without persistence, a second by default
//!   with the append-only file (`appendfsync everysec`), nothing with `appendfsync always`. A lock
//!   whose lease is lost so is granted again at once.
//! * A server with an **eviction policy** of `allkeys-…` may throw records away. Take `noeviction`,
//!   or one of `volatile-…`: the keys of locks have no expiry.
//! * Leases run by the **clock of the primary**, in microseconds. Setting it forward ends leases
//!   early; so does a failover to a server whose clock is ahead.
//! * Records of locks do not expire; `prune` removes those of unused names.
//!
//! # How it works
//!
//! Each operation is one Lua script on one key, `NAMESPACE:lock:NAME`, which the server runs with
//! nothing in between. The time is read inside of it, so nothing waits between clock and decision.
//! Scripts that change who may have a lock publish its name on `NAMESPACE:hints`. The text of each
//! instance is at `NAMESPACE:instance:ID`, until it expires.
//!
//! ```no_run
//! use leasehold::redis::RedisStore;
//! use leasehold::{Client, OpenOptions};
//!
//! # async fn example() -> leasehold::Result<()> {
//! let store = RedisStore::connect("redis://localhost", &OpenOptions::default()).await?;
//! let client = Client::new(store)?;
//! assert!(client.lock("nightly-report")?.try_acquire().await?.is_some());
//! # Ok(()) }
//! ```

mod address;
mod backend;
mod check;
mod cluster;
mod connect;
mod connection_state;
mod error_codes;
mod fetch_slots;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod in_flight;
mod instances;
mod liveness;
mod pipeline;
mod primary;
mod record;
mod renew;
mod request;
mod runtimes;
mod scan;
mod script_runner;
mod scripts;
mod sentinel;
mod servers;
mod shared_connection;
mod slots;
mod store;
mod topology;
mod url;
mod url_options;
mod votes;
mod wait_pool;
mod watch;

use std::sync::Arc;

pub use backend::Redis;
pub use store::RedisStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = RedisStore::connect(url, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: |namespace| Ok(RedisStore::schema(namespace)),
    #[cfg(fuzzing)]
    label: |url| Ok(url::parse(url)?.label),
};
