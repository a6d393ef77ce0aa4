//! What the commands write, and the statuses with which they exit.

pub(crate) mod exit;
pub(crate) mod log;
pub(crate) mod stderr;
pub(crate) mod stdout;
pub(crate) mod table;
