//! What the backends would otherwise each write alike.

mod about;
pub(crate) mod limit;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod pooled;

pub(crate) use about::about;
