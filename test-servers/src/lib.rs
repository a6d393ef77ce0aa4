//! This crate starts real servers in containers, for the tests of Leasehold itself. It is not
//! published.
//!
//! A server is started with [`Server::start`], which uses the image that
//! `LEASEHOLD_TEST_<NAME>_IMAGE` names, otherwise an image that `cargo xtask images` built, and
//! otherwise the public image. If `LEASEHOLD_TEST_<NAME>_URL` names a running server, that server
//! is used and left running. [`Certificates`] are for servers that are reached over TLS. [`Proxy`]
//! forwards between a client and a server, and delays or drops data on request.

pub mod catalog;
mod certificates;
mod image;
pub mod pgbouncer;
mod proxy;
mod server;

pub use certificates::{Certificates, Signed};
pub use image::{Image, skipped};
pub use proxy::{LinkBehaviour, Proxy};
pub use server::{Server, until_ready};
