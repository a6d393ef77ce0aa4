//! This crate is Leasehold's HTTP control API: see who leads, disable and enable names, ask a
//! leader to resign.
//!
//! [`AdminApi`] creates an [`axum::Router`] to mount in an application; it needs the feature `api`
//! (on by default). The feature `serve` (on by default) adds [`Server`], which serves only this API,
//! with limits on the resources of a client. The feature `prometheus` (on by default) adds
//! `Metrics` and `Exporter`, which export the metrics of the process. `docs/reference/http.md`
//! describes each endpoint, with a command line to try it.
//!
#![cfg_attr(feature = "api", doc = "```")]
#![cfg_attr(not(feature = "api"), doc = "```ignore")]
//! use leasehold_admin::{Access, AdminApi, Token};
//! use leasehold_core::{Client, MemoryStore};
//!
//! # fn main() -> Result<(), leasehold_core::Error> {
//! let client = Client::new(MemoryStore::new())?;
//! let token = Token::new("0123456789abcdef-0123456789abcdef")?;
//! let api = AdminApi::new(client).access(Access::Token(token));
//! let app: axum::Router = axum::Router::new().nest("/leasehold", api.router());
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # Safe by default
//! Without a [`Token`], only direct local requests are accepted: see [`Access`]. No response has
//! CORS headers, and cross-site writes are refused.
//!
//! # What it does not do
//! It does not run elections. The data that it shows may be outdated when it arrives, so no
//! decision may depend on it.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "api")]
mod access;
#[cfg(feature = "api")]
mod api;
#[cfg(feature = "api")]
mod compat;
#[cfg(feature = "api")]
mod dashboard;
#[cfg(feature = "api")]
mod events;
#[cfg(feature = "prometheus")]
mod exporter;
#[cfg(feature = "api")]
mod extract;
#[cfg(feature = "api")]
mod health;
#[cfg(feature = "api")]
mod instances;
#[cfg(feature = "api")]
mod limits;
#[cfg(feature = "api")]
mod lock_poller;
#[cfg(feature = "api")]
mod locks;
#[cfg(feature = "prometheus")]
mod metrics;
#[cfg(feature = "api")]
mod openapi;
#[cfg(feature = "api")]
mod problem;
#[cfg(feature = "api")]
mod readiness;
#[cfg(feature = "serve")]
mod server;
#[cfg(feature = "api")]
mod state;
mod views;

#[cfg(feature = "api")]
pub use access::{Access, Token};
#[cfg(feature = "api")]
pub use api::AdminApi;
#[cfg(feature = "prometheus")]
pub use exporter::Exporter;
#[cfg(feature = "api")]
pub use limits::Limits;
#[cfg(feature = "prometheus")]
pub use metrics::Metrics;
#[cfg(feature = "serve")]
pub use server::{Server, Service, Tls};
pub use views::{HolderView, LockView};
