//! This module prints messages, tables and logs, and has the exit statuses.

pub(crate) mod exit;
pub(crate) mod log;
mod log_filter;
pub(crate) mod log_format;
pub(crate) mod stderr;
pub(crate) mod stdout;
pub(crate) mod table;
