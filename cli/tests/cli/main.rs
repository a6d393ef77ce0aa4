//! These tests use the command line as its users do: real processes on real SQLite files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bad_input;
mod config;
mod contention;
mod control;
mod crash;
mod endings;
mod fence;
mod forwarding;
mod kinds;
#[cfg(feature = "http")]
mod metrics;
mod reaper;
mod scripting;
#[cfg(feature = "http")]
mod serve;
mod status;
mod support;
mod takeover;
mod terminal;
mod watchdog;
#[cfg(not(feature = "http"))]
mod without_http;
