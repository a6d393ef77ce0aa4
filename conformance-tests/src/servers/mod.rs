//! Real servers in containers, for the tests of this repository.
//!
//! A server is started with [`Server::start`], which takes the image that
//! `LEASEHOLD_TEST_<NAME>_IMAGE` names, else one that `cargo xtask images` built, else the public
//! one. Where `LEASEHOLD_TEST_<NAME>_URL` names a running server, that is used instead and left
//! running. [`Certificates`] let it be reached over TLS. [`Proxy`] stands between a client and a server and misbehaves on request.

pub mod catalog;
mod certificates;
mod image;
mod link;
mod proxy;
mod server;

pub use certificates::{Certificates, Signed};
pub use image::{Image, skipped};
pub use link::ProxiedLink;
pub use proxy::{Conduct, Proxy};
pub use server::{Server, until_ready};
