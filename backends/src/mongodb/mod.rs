//! Locks in MongoDB, one document each.
//!
#![doc = include_str!("../../docs/mongodb.md")]

mod change_stream;
mod clients;
mod collection;
mod config;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod instances;
mod list;
mod permits;
mod pipeline;
mod prune;
mod record;
mod refused;
mod renew;
mod shared;
mod store;
mod watch;

use std::sync::Arc;

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
    label: config::label_of,
};
