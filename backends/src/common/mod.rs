//! What the backends would otherwise each write alike.
#![allow(dead_code, unused_imports, reason = "which parts are used depends on the features")]

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod abandoned;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod checked_out;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod connection_permits;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod corrupt;
mod error_context;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod idle_connections;
mod nearest;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod own_connections;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod pool_call;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod pool_fallback;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod prune;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod reaper;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub(crate) mod row;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod server;
pub(crate) mod timeout;
pub(crate) mod url;
pub(crate) mod url_options;

#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub(crate) use corrupt::CorruptRecord;
pub(crate) use error_context::with_context;
pub(crate) use nearest::nearest;
