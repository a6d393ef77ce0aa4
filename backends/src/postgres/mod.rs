//! This module keeps locks in a PostgreSQL database.
//!
#![doc = include_str!("../../docs/postgres.md")]

mod asynchronous;
mod backend;
mod calls;
mod clock;
mod connect_url;
mod error_codes;
mod listen_state;
mod listener;
mod notify;
mod poll;
mod polled_names;
mod pooler;
mod queue;
mod queue_statements;
mod row;
mod schema;
mod session;
mod sql;
mod store;
mod table_check;
mod tables;
mod url;
mod watch;

use std::sync::Arc;

pub use calls::Postgres;
pub use store::PostgresStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = PostgresStore::connect(url, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: PostgresStore::schema,
    #[cfg(fuzzing)]
    label: |url| Ok(url::label(&url::from_url(url)?)),
};
