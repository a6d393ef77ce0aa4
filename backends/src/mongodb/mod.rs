//! This module keeps locks in MongoDB, one document each.
//!
#![doc = include_str!("../../docs/mongodb.md")]

mod backend;
mod change_stream;
mod clients;
mod collection;
mod commands;
mod error_codes;
mod fields;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod instances;
mod permits;
mod pipeline;
mod prune;
mod queue;
mod queue_pipeline;
mod record;
mod renew;
mod renewal_updates;
mod store;
mod stored_queue;
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
