//! A store address lets another process open the same store.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::registry::open;
use crate::{LockStore, Namespace, OpenOptions, Result, Schema};

/// A store address is what another process needs to open the same store, and can be sent to it.
/// A relative path in it counts from the working folder of the process that opens it.
///
/// ```
/// use leasehold::OpenOptions;
/// use leasehold::url::StoreAddress;
///
/// let address = StoreAddress::new("postgres://app:secret@db/app", &OpenOptions::default());
/// assert!(!format!("{address:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAddress {
    /// The URL may contain a password.
    url: String,
    namespace: Namespace,
    max_connections: Option<NonZeroU32>,
}

impl StoreAddress {
    /// Returns the address of the store that these arguments open.
    #[must_use]
    pub fn new(url: &str, options: &OpenOptions) -> Self {
        let OpenOptions { namespace, max_connections, .. } = options.clone();
        Self { url: url.to_owned(), namespace, max_connections }
    }

    /// Opens the store without creating anything.
    ///
    /// # Errors
    /// This fails for the same reasons as [`url::open`](crate::url::open).
    ///
    /// # Cancel safety
    /// A dropped call changes nothing.
    pub async fn open(&self) -> Result<Arc<dyn LockStore>> {
        let options = OpenOptions::default()
            .with_namespace(self.namespace.clone())
            .with_schema(Schema::Require)
            .with_max_connections(self.max_connections);
        open(&self.url, &options).await
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreAddress").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
