//! The functions that each backend offers to the registry.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::{LockStore, Namespace, OpenOptions, Result};

/// Resolves to the opened store.
pub(crate) type OpenFuture<'a> = BoxFuture<'a, Result<Arc<dyn LockStore>>>;

/// The functions of one backend. They get the whole URL, whose scheme is one of the backend's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver {
    pub(crate) open: for<'a> fn(&'a str, &'a OpenOptions) -> OpenFuture<'a>,
    pub(crate) schema: fn(&Namespace) -> Result<String>,
    /// Reads the URL, and connects to nothing.
    #[cfg(fuzzing)]
    pub(crate) label: fn(&str) -> Result<String>,
}
