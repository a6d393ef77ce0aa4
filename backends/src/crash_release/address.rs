//! The helper opens the same store as the application.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::{LockStore, Namespace, OpenOptions, Result, Schema, url};

/// A store address is what another process needs to open the same store. Relative paths in it count
/// from the working folder, which the helper inherits.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StoreAddress {
    /// The URL may contain a password.
    pub(super) url: String,
    pub(super) namespace: Namespace,
    pub(super) max_connections: Option<NonZeroU32>,
}

impl StoreAddress {
    pub(super) fn new(url: &str, options: &OpenOptions) -> Self {
        let OpenOptions { namespace, max_connections, .. } = options.clone();
        Self { url: url.to_owned(), namespace, max_connections }
    }

    /// Opens the store without creating anything.
    pub(super) async fn open(&self) -> Result<Arc<dyn LockStore>> {
        let options = OpenOptions::default()
            .with_namespace(self.namespace.clone())
            .with_schema(Schema::Require)
            .with_max_connections(self.max_connections);
        url::open(&self.url, &options).await
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreAddress").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
