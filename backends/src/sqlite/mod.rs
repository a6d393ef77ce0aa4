//! This module keeps locks in an SQLite database, for the processes of one machine.
//!
#![doc = include_str!("../../docs/sqlite.md")]

mod backend;
mod calls;
mod clock;
mod connections;
mod decide;
mod error_codes;
mod file;
mod instances;
mod notification;
mod prune;
mod queue;
mod queue_statements;
mod renew;
mod retry_busy;
mod row;
mod schema;
mod signals;
mod sql;
mod store;
mod stored_queue;
mod table_check;
mod tables;
mod url;
mod watch;

use std::sync::Arc;

pub use calls::Sqlite;
pub use file::FileChanged;
pub use store::SqliteStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = SqliteStore::open_at(&url::Location::from_url(url)?, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: SqliteStore::schema,
    #[cfg(fuzzing)]
    label: |url| Ok(url::Location::from_url(url)?.label()),
};
