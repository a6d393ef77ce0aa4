//! Locks in etcd, a few keys each.
//!
#![doc = include_str!("../../docs/etcd.md")]

mod client;
mod config;
mod connection;
mod error;
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
mod shared;
mod store;
mod version;
mod watch;

use std::sync::Arc;

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
    label: |url| Ok(config::EtcdUrl::from_url(url)?.label()),
};
