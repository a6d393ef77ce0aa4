//! Named locks and leader election on the datastore you already have.
//!
//! This crate is what applications depend on: it holds all of [`leasehold_core`] and one module per
//! datastore, each behind the cargo feature of its name. [`connect`] makes a client from a URL;
//! each module makes a store from a pool or client that the application already has.

pub use leasehold_core::*;

#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod url;

pub use url::{OpenOptions, Schema};

/// A client of the store of that URL, with the default namespace and settings.
///
/// [`url::open`] and [`Client::builder`] together do the same with options; [`url`] lists the
/// forms.
///
/// # Errors
/// As [`url::open`].
///
/// # Cancel safety
/// A dropped call leaves the schema either as it was or complete.
pub async fn connect(url: &str) -> Result<Client> {
    let store = url::open(url, &OpenOptions::default()).await?;
    Client::builder(store).build()
}
