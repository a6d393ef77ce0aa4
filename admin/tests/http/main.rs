//! These tests send real requests to a server that listens.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod compat;
mod events;
mod fault_store;
mod hostile;
mod locks;
mod metrics;
mod names;
mod page;
mod problems;
mod queues;
mod shutdown;
mod support;
mod tls;
