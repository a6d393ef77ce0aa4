//! This module keeps locks in Redis or Valkey, one hash each.
//!
#![doc = include_str!("../../docs/redis.md")]

mod address;
mod backend;
mod call;
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
mod queue;
mod record;
mod renew;
mod renewal_reply;
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
mod stored_queue;
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
