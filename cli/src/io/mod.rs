//! This module prints messages, tables and logs, and has the exit statuses.

pub(crate) mod exit;
pub(crate) mod log;
pub(crate) mod stderr;
pub(crate) mod stdout;
pub(crate) mod table;
