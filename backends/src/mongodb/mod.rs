//! Locks in MongoDB, one document each.
//!
//! # What it guarantees, and what not
//!
//! * Every write is acknowledged by a **majority** of the replica set, so a grant that was answered
//!   outlives a failover. A write that no majority acknowledged in time reports
//!   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown).
//! * Leases run by the **primary's clock**. After a failover the next primary's clock decides: if
//!   it is ahead, leases end early by the difference, before their holders know. Keep the members'
//!   clocks in step (NTP). Behind `mongos` the router's clock decides, so each of them must be in
//!   step as well, by the same measure.
//! * The clock counts milliseconds. Setting a primary's clock forward ends leases early.
//! * A **standalone** server works, without push: the watch looks again every 250 ms. What its
//!   journal had not synced when the power failed is lost.
//! * Fencing tokens follow the clock, and grow even if a record is removed.
//!
//! # How it works
//!
//! Each operation is one `findAndModify` of one document, found by its `_id`, whose condition and
//! change are computed on the server from `$$NOW`: nothing is read first and written later. Refused
//! operations write nothing, and a name that was refused recently is read before the next attempt
//! to acquire it. No grant is reported from such a read. Heartbeats, releases and disables have permits and connections of their own, so
//! that waiters do not delay them. Each runtime that calls the store has its own client of the driver,
//! so that heartbeats do not depend on the application's threads, and a client whose connections
//! became silent is replaced. What instances say of themselves stands in a collection beside
//! that of the locks. A whole batch of renewals is one `update` command with a statement per lease,
//! and one read for the answers.
//!
//! `$$NOW` is the server's time when the command began, and stays that when the command has to
//! wait. This is safe, since the time can only be too early, by less than the time limit of the
//! command (`maxTimeMS`):
//!
//! * A grant begins when a lease had run out by that earlier time, hence has run out.
//! * Whatever another wrote meanwhile makes the command start over on the new document, in which
//!   the lease is another's: a renewal that waited takes nothing from anybody.
//! * What a grant or a renewal gives ends a ttl after that earlier time, which is after the request
//!   was sent, and holders count from before they send.
//!
//! Driver retries are safe: the server answers a repeated `findAndModify` of one transaction
//! number with what it answered first.
//!
//! ```no_run
//! use leasehold::mongodb::MongoStore;
//! use leasehold::{Client, OpenOptions};
//!
//! # async fn example() -> leasehold::Result<()> {
//! let store = MongoStore::connect("mongodb://localhost/app", &OpenOptions::default()).await?;
//! let client = Client::new(store)?;
//! assert!(client.lock("nightly-report")?.try_acquire().await?.is_some());
//! # Ok(()) }
//! ```

mod backend;
mod change_stream;
mod clients;
mod collection;
mod commands;
mod error_codes;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod instances;
mod permits;
mod pipeline;
mod prune;
mod record;
mod renew;
mod store;
mod url;
mod watch;

use std::sync::Arc;

pub use commands::Mongo;
pub use store::MongoStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = MongoStore::connect(url, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: |namespace| Ok(MongoStore::schema(namespace)),
    #[cfg(fuzzing)]
    label: url::label_of,
};
