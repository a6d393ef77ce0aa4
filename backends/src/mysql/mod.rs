//! This module keeps locks in a MySQL or MariaDB database.
//!
#![doc = include_str!("../../docs/mysql.md")]

mod backend;
mod calls;
mod error_codes;
mod listen_task;
mod listener;
mod listener_state;
mod notifier;
mod queue;
mod queue_statements;
mod release_notifications;
mod row;
mod schema;
mod session;
mod sql;
mod store;
mod table_check;
mod tables;
mod url;
mod user_lock;
mod watch;

use std::sync::Arc;

pub use calls::MySql;
pub use store::MySqlStore;

use crate::LockStore;
use crate::driver::Driver;

pub(crate) const DRIVER: Driver = Driver {
    open: |url, options| {
        Box::pin(async move {
            let store = MySqlStore::connect(url, options).await?;
            Ok(Arc::new(store) as Arc<dyn LockStore>)
        })
    },
    schema: MySqlStore::schema,
    #[cfg(fuzzing)]
    label: |url| Ok(url::label(&url::from_url(url)?)),
};
