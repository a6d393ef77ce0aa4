//! Leasehold's HTTP control API: see who leads, disable and enable names, move the lead on.
//!
//! [`AdminApi`] makes an [`axum::Router`] to mount in an application; the feature `serve` (on by
//! default) adds [`Server`], which serves it by itself, with bounds on everything a client can
//! hold on to. The feature `prometheus` (on by default) adds `Metrics` and `Exporter`, which show
//! what the process measures. `docs/reference/http.md` describes each endpoint, with a command line
//! to try it.
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
//! Without a [`Token`] only this machine is answered: see [`Access`]. No answer carries CORS
//! headers, and writes that a page of another site caused are refused.
//!
//! # What it does not do
//! It does not run elections. It decides nothing by what it shows, which is old when it arrives;
//! neither should its readers.

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
