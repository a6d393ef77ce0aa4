//! What the stores of SQL databases have in common.
#![allow(dead_code, unused_imports, reason = "which parts are used depends on the features")]

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod backend;
mod corrupt;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod dialect;
pub(crate) mod encode;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod error;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod error_codes;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod pool;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod prune;
pub(crate) mod row;
pub(crate) mod schema;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod statement;

pub(crate) use corrupt::CorruptRecord;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use error_codes::{Description, ErrorCodes};
