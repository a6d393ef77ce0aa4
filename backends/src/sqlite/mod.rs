//! Locks in an SQLite database, for the processes of one machine.
//!
//! # What it guarantees, and what not
//!
//! * All processes must run on **one kernel**: SQLite's write-ahead log needs shared memory, and
//!   leases run by that machine's own clock. Containers on one host are one kernel, whatever boot id
//!   and time namespace they have. Network file systems (NFS, SMB) are not supported, by SQLite nor
//!   here.
//! * Leases run by the time since the machine booted, suspend included, which neither NTP nor an
//!   operator moves. A lease of an earlier boot is over, since its holder died with that boot; it can
//!   keep its name for its ttl where the machine had been up for about as long as it is now.
//!   Where there is no such clock (other than Linux) the calendar clock serves, and
//!   setting it forward ends leases early.
//! * A power failure can lose the last writes (`synchronous = NORMAL`). Every lease ends with the
//!   boot, and fencing tokens follow the calendar clock, so that they grow even then, unless that
//!   clock was set back. A process that crashes loses nothing.
//! * The file, and the log beside it, must not be deleted or replaced while a process has it open.
//!   A store notices this at its next call, and then loses its leases.
//!
//! # How it works
//!
//! Each operation that writes is one `BEGIN IMMEDIATE` transaction of, in the ordinary case, one
//! statement. The clock is read once SQLite has granted the write lock: a statement that waited
//! for it with a time read before would revive a lease that ran out in between. Writers of one
//! store queue in this process, fairly, and only then contend with other processes. Renewals and
//! releases have a connection of their own, so that they do not wait for the pool.
//!
//! [`watch`](crate::LockStore::watch) asks the file system twenty times a second whether the
//! database was written, and only then reads what was signalled.
//!
//! ```
//! use leasehold::sqlite::SqliteStore;
//! use leasehold::{AcquireOptions, AcquireOutcome, Holder, LeaseId, LockName, LockStore, OpenOptions};
//! use std::time::Duration;
//!
//! # #[tokio::main]
//! # async fn main() -> leasehold::Result<()> {
//! let store = SqliteStore::in_memory(&OpenOptions::default()).await?;
//! let lease = LeaseId::new();
//! let options = AcquireOptions { lease, holder: Holder::current(), ttl: Duration::from_secs(15) };
//! let name = LockName::new("nightly-report")?;
//! assert!(matches!(store.acquire(&name, &options).await?, AcquireOutcome::Granted(_)));
//! # Ok(())
//! # }
//! ```

mod backend;
mod clock;
mod config;
mod connections;
mod error_codes;
mod file;
mod instances;
mod pages;
mod renew;
mod retry_busy;
mod row;
mod schema;
mod sql;
mod store;
mod table;
mod transactions;
mod watch;

use std::sync::Arc;

pub use file::FileChanged;
pub use store::SqliteStore;
pub use transactions::Sqlite;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = SqliteStore::open_at(&config::Location::from_url(url)?, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: SqliteStore::schema,
    #[cfg(fuzzing)]
    label: |url| Ok(config::Location::from_url(url)?.label()),
};
