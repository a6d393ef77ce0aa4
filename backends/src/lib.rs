//! Named locks and leader election on the datastore you already have.
//!
//! This crate is what applications depend on: it holds all of [`leasehold_core`] and one module per
//! datastore, each behind the cargo feature of its name. [`connect::open`] makes a store from a URL;
//! each module makes one from a pool or client that the application already has.

pub use leasehold_core::*;

pub mod connect;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use connect::{OpenOptions, Schema};
