//! Locks in etcd.
//!
//! # What it guarantees, and what not
//!
//! * Every write is agreed on by a majority of the members, so that a failover loses none. While
//!   there is no majority, nothing is granted, renewed or released.
//! * Leases run by the monotonic clock of the member that leads. A new leader starts all of them
//!   again, with their whole ttl: leases may last longer than they were granted for, never shorter.
//!   etcd looks for leases that ran out every half second.
//! * A fencing token is the revision of the grant, which grows with every write in the whole
//!   cluster. **Restoring a backup sets it back**, unless it is restored with
//!   `etcdutl snapshot restore --bump-revision … --mark-compacted`.
//! * A `disable` that comes between the two steps of a renewal, which are a few milliseconds apart,
//!   lets that lease be extended one last time; the next renewal notifies its holder.
//! * A name that was disabled, but never granted, is forgotten when it is enabled.
//! * **etcd before 3.5.13** (and 3.4.31) may end leases that are in force: a leader that stalls and
//!   comes back revokes them. Opening a store there logs a warning.
//!
//! # How it works
//!
//! An acquire is a `LeaseGrant` and then one transaction that puts the keys of the lock, attached
//! to that etcd lease, unless the name is held or disabled. Release and expiry delete the keys,
//! which etcd reports to watchers. A renewal reads the keys of the whole batch in one transaction,
//! and then sends keep-alives for the leases that are in force, all at once and over up to eight
//! streams that are kept open: a keep-alive takes no conditions, so one round trip would also
//! extend a lease that its holder is to give up. Each lease has at most one keep-alive without
//! an answer.
//!
//! Requests go to the leader if the URL names it. A member without a leader did nothing, so the
//! next is asked at once. If a member does not answer for a second, later requests go to the next
//! one, and calls that change nothing and keep-alives under way are sent there too. The text of an
//! instance is a key that is attached to an etcd lease of its own, which is kept alive as well.
//!
//! Each runtime that calls the store has its own connections and streams, so that heartbeats do not
//! depend on the application's threads. If nothing comes over a connection although an answer is
//! due, later requests go over a new one.
//!
//! ```no_run
//! use leasehold::etcd::EtcdStore;
//! use leasehold::{Client, OpenOptions};
//!
//! # #[tokio::main]
//! # async fn main() -> leasehold::Result<()> {
//! let url = "etcd://user:password@10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379";
//! let client = Client::new(EtcdStore::connect(url, &OpenOptions::default()).await?)?;
//! let guard = client.lock("nightly-report")?.try_acquire().await?;
//! # Ok(())
//! # }
//! ```

mod backend;
mod client;
mod connection;
mod error_codes;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod instances;
mod keep_alive;
mod keep_alive_request;
mod keys;
mod lease_id;
mod limits;
mod list;
mod members;
mod pending_keep_alives;
mod prune;
mod record;
mod renew;
mod request;
mod server_version;
mod store;
mod stored_lock;
mod transaction;
mod url;
mod watch;

use std::sync::Arc;

pub use backend::Etcd;
pub use store::EtcdStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            Ok(Arc::new(EtcdStore::connect(url, options).await?) as Arc<dyn LockStore>)
        })
    },
    schema: EtcdStore::schema,
    #[cfg(fuzzing)]
    label: |url| Ok(url::EtcdUrl::from_url(url)?.label()),
};
