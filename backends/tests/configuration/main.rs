//! These tests cover settings from options, the environment, files and defaults.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod arbitrary;
mod files;
mod keys;
mod messages;
mod originals;
mod own_keys;
mod precedence;
mod validation;
