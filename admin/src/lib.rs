//! This crate is Leasehold's HTTP control API: see who leads, disable and enable names, ask a
//! leader to resign.
//!
//! [`AdminApi`] creates an [`axum::Router`] to mount in an application. The feature `serve` (on by
//! default) adds [`Server`], which serves only this API and limits the resources of a client. The
//! feature `prometheus` (on by default) adds `Metrics` and `Exporter`, which export the metrics of
//! the process. `docs/reference/http.md` describes each endpoint, with a command line to try it.
//!
//! ```
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

mod access;
mod api;
mod compat;
mod dashboard;
mod events;
#[cfg(feature = "prometheus")]
mod exporter;
mod extract;
mod health;
mod instances;
mod limits;
mod lock_poller;
mod locks;
#[cfg(feature = "prometheus")]
mod metrics;
mod openapi;
mod problem;
mod readiness;
#[cfg(feature = "serve")]
mod server;
mod state;
mod views;

pub use access::{Access, Token};
pub use api::AdminApi;
#[cfg(feature = "prometheus")]
pub use exporter::Exporter;
pub use limits::Limits;
#[cfg(feature = "prometheus")]
pub use metrics::Metrics;
#[cfg(feature = "serve")]
pub use server::{Server, Service, Tls};
pub use views::{HolderView, LockView};
