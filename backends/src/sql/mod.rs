//! What the stores of SQL databases have in common.
//!
//! A database is a [`Dialect`](dialect::Dialect), which becomes a backend here. The stores of
//! servers also share their connections and how errors are described.
#![allow(dead_code, unused_imports, reason = "which parts are used depends on the features")]

mod backend;
mod corrupt;
pub(crate) mod dialect;
pub(crate) mod encode;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod error;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod error_codes;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod pool;
pub(crate) mod prune;
pub(crate) mod purpose;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod statement;

pub(crate) use corrupt::CorruptRecord;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use error_codes::{Description, ErrorCodes};
