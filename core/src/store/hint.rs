//! A hint wakes waiters early; nothing depends on it.

use std::pin::Pin;

use futures_core::Stream;

use crate::{LeaseId, LockName};

/// [`LockStore::watch`](crate::LockStore::watch) returns this stream of hints.
pub type HintStream = Pin<Box<dyn Stream<Item = Hint> + Send>>;

/// A hint says that something may have changed.
///
/// Treat a hint of a kind that you do not know as [`Anything`](Self::Anything).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// This name may have changed.
    Name(LockName),
    /// The entries of these leases may hold the lock of this name now. The others in its queue need
    /// not ask.
    Entries(LockName, Vec<LeaseId>),
    /// Any name may have changed: hints may have been missed.
    Anything,
}
