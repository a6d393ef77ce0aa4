//! What the backends would otherwise each write alike.
#![allow(dead_code, unused_imports, reason = "which parts are used depends on the features")]

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod abandoned;
mod about;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod damage;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod idle_connections;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod in_use;
pub(crate) mod instance;
pub(crate) mod limit;
mod nearest;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod own_connections;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod pool_fallback;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod pooled;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod prune;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub(crate) mod row;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod server;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod turns;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod upkeep;
pub(crate) mod url;
pub(crate) mod url_options;

pub(crate) use about::about;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub(crate) use damage::Damage;
pub(crate) use nearest::nearest;
