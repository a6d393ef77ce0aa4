//! This module has what the stores of SQL databases have in common.
//!
//! A database is a [`Dialect`](dialect::Dialect), which becomes a backend here. The stores of
//! servers also share their connections (`pool`), the descriptions of errors and how tables are
//! created. Another server needs in a folder of its own:
//!
//! * `backend.rs`: the dialect, which runs a statement and reads its answer
//! * `calls.rs`: how values are bound, and the connections
//! * `row.rs`: the types that columns have in rows
//! * `sql.rs` and `tables.rs`: the statements, and the tables
//! * `schema.rs` and `table_check.rs`: whether the server and its tables can be used
//! * `error_codes.rs` and `session.rs`: what errors mean to a caller and for a connection
//! * `url.rs` and `store.rs`: how a store is opened
//! * `watch.rs`: how hints arrive
//!
//! A dialect with queues also implements `add_entry`, `remove_entry` and `extend_entries`, selects
//! the columns `kind` and `queue` as text wherever it selects `lease`, and says so in its
//! capabilities. [`shell::entries`](crate::shell::entries) says what is in these columns.
#![allow(dead_code, unused_imports, reason = "which parts are used depends on the features")]

mod backend;
mod corrupt;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod create;
pub(crate) mod dialect;
pub(crate) mod encode;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod error;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod error_codes;
mod page;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod pool;
pub(crate) mod prune;
pub(crate) mod purpose;
pub(crate) mod released_names;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod statement;

pub(crate) use corrupt::CorruptRecord;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use error_codes::{Description, ErrorCodes};
