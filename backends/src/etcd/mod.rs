//! This module keeps locks in etcd, a few keys each.
//!
#![doc = include_str!("../../docs/etcd.md")]

mod acquire;
mod backend;
mod client;
mod connection;
mod entry;
mod error_codes;
#[cfg(test)]
mod fake_etcd;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod instances;
mod keep_alive;
mod keep_alive_request;
mod kept_leases;
mod keys;
mod lease_id;
mod lease_pool;
mod limits;
mod list;
mod members;
mod own_queues;
mod pending_keep_alives;
mod prune;
mod queue;
mod queue_hints;
mod queue_transaction;
mod record;
mod renew;
mod renew_entries;
mod request;
mod server_version;
mod store;
mod stored_lock;
mod times_left;
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
